from __future__ import annotations

import itertools

import numpy as np

from orbital_train.windows.ideal import ideal_contacts, ideal_light
from orbital_train.windows.plan import LinkKind

NAMES = ("a", "b", "c", "d")


def test_every_pair_in_both_directions_over_the_whole_horizon() -> None:
    plan = ideal_contacts(NAMES, 100.0)
    assert set(zip(plan.source.tolist(), plan.dest.tolist(), strict=True)) == set(itertools.permutations(range(4), 2))
    assert len(plan) == 12
    assert plan.contact_id.tolist() == list(range(12))
    assert (plan.start_s == 0).all()
    assert (plan.end_s == 100.0).all()
    assert np.isinf(plan.rate_bps).all()
    assert (plan.owlt_s == 0).all()
    assert set(plan.kind) == {LinkKind.IDEAL}


def test_each_link_has_terminals_of_its_own() -> None:
    plan = ideal_contacts(NAMES, 100.0)
    out = [(int(n), int(t)) for n, t in zip(plan.source, plan.source_terminal, strict=True)]
    assert len(set(out)) == 12
    assert max(t for _, t in out) == 2
    for link in range(6):
        first, second = np.flatnonzero(plan.link_id == link)
        assert plan.source[first] == plan.dest[second]
        assert plan.source_terminal[first] == plan.dest_terminal[second]
        assert plan.dest_terminal[first] == plan.source_terminal[second]


def test_one_node_has_no_contacts() -> None:
    assert len(ideal_contacts(("a",), 100.0)) == 0


def test_light_is_full_at_one_astronomical_unit() -> None:
    light = ideal_light(NAMES, 100.0)
    assert [f.tolist() for f in light.fraction] == [[1.0]] * 4
    assert [e.tolist() for e in light.edge_s] == [[0.0, 100.0]] * 4
    assert light.sun_distance_au == 1.0
