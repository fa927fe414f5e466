import numpy as np
import pytest

from orbital_train.windows.measures import (
    eclipses,
    fraction_at,
    linked,
    open_at,
    open_links_at,
    pair_shares,
    pairs_linked,
    typical_moment_s,
)
from orbital_train.windows.plan import ContactPlan, Illumination, LinkKind


def plan(rows: list[tuple[int, int, float, float]], nodes: int = 3, horizon_s: float = 100.0) -> ContactPlan:
    """Both ways of links from a to b, open from start to end."""
    both = [
        row for a, b, start, end in sorted(rows, key=lambda r: r[2]) for row in ((a, b, start, end), (b, a, start, end))
    ]
    source, dest, start_s, end_s = np.array(both).reshape(-1, 4).T
    count, zero = np.arange(len(both)), np.zeros(len(both), dtype=np.int64)
    return ContactPlan(
        node_names=tuple(f"n{i}" for i in range(nodes)), horizon_s=horizon_s, contact_id=count, link_id=count // 2,
        source=source.astype(np.int64), dest=dest.astype(np.int64), source_terminal=zero, dest_terminal=zero,
        acquire_start_s=start_s, start_s=start_s, end_s=end_s, rate_bps=np.full(len(both), 1e9),
        owlt_s=np.full(len(both), 0.01), kind=np.full(len(both), LinkKind.ISL),
    )  # fmt: skip


PLAN = plan([(0, 1, 10.0, 50.0), (0, 2, 30.0, 70.0), (0, 1, 80.0, 90.0)])


def test_shadow_is_measured_by_time_by_light_and_by_stretch():
    light = Illumination(
        node_names=("a", "b"), horizon_s=100.0, sun_distance_au=1.0,
        edge_s=(np.array([0.0, 20.0, 25.0, 40.0, 45.0, 80.0, 100.0]), np.array([0.0, 100.0])),
        fraction=(np.array([1.0, 0.4, 0.0, 0.6, 1.0, 0.0]), np.array([1.0])),
    )  # fmt: skip
    dark = eclipses(light)
    assert dark.umbra.tolist() == [0.35, 0.0]
    assert dark.shaded.tolist() == pytest.approx([0.35 + 0.05 * 0.6 + 0.05 * 0.4, 0.0])
    assert dark.longest_s.tolist() == [25.0, 0.0]
    assert fraction_at(light, 22.0).tolist() == [0.4, 1.0]
    assert fraction_at(light, 25.0).tolist() == [0.0, 1.0]


def test_links_that_overlap_count_once_towards_the_duty():
    shares = linked(PLAN)
    assert shares.contacts.tolist() == [3, 2, 1]
    assert shares.duty.tolist() == [0.7, 0.5, 0.4]
    assert shares.open_links.tolist() == [0.9, 0.5, 0.4]


def test_pairs_are_linked_both_ways():
    assert pairs_linked(PLAN) == 2
    assert pair_shares(PLAN).tolist() == [[0.0, 0.5, 0.4], [0.5, 0.0, 0.0], [0.4, 0.0, 0.0]]


def test_open_links_are_those_of_half_open_windows():
    t_s = np.array([0.0, 10.0, 30.0, 49.9, 50.0, 70.0, 85.0, 90.0])
    count = open_links_at(PLAN, t_s)
    assert count[0].tolist() == [0, 1, 2, 2, 1, 0, 1, 0]
    assert count[2].tolist() == [0, 0, 1, 1, 1, 0, 0, 0]
    for k, moment_s in enumerate(t_s.tolist()):
        assert 2 * len(open_at(PLAN, moment_s)) == count[:, k].sum()
    assert open_at(PLAN, 40.0).tolist() == [[0, 1], [0, 2]]


def test_the_typical_moment_has_as_many_open_links_as_the_median():
    assert typical_moment_s(PLAN) == 20.0  # one link is open half of the time, first from 10 s to 30 s
    assert typical_moment_s(plan([(0, 1, 30.0, 5e4)], horizon_s=5e4)) == 630.0
    assert typical_moment_s(plan([], horizon_s=1000.0)) == 500.0


def test_without_contacts_nothing_is_linked():
    empty = plan([])
    assert linked(empty).duty.tolist() == [0.0, 0.0, 0.0]
    assert pairs_linked(empty) == 0
    assert open_at(empty, 1.0).shape == (0, 2)
