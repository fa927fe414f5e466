"""What a network makes of a contact plan."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np

from orbital_train.schedule.network import Network
from orbital_train.windows.plan import ContactPlan
from tests.unit.schedule.scenarios import one_way

S = 1_000_000


def test_windows_and_rates_are_rounded_inwards_and_light_up() -> None:
    net = Network(one_way([(0, 1, 0.0000004, 1.0000019)], rate_bps=1e6 + 0.9, owlt_s=0.0000001, horizon_s=2.0000009))
    assert net.horizon_us == 2 * S
    assert net.out[0][1].windows_us() == [(1, S + 1, 1)]
    assert net.segments.rate_bps == [1_000_000]


def test_what_carries_nothing_is_left_out() -> None:
    rows = [(0, 1, 0.0000001, 0.0000019), (0, 1, 1.0, 900.0)]
    net = Network(one_way(rows, rate_bps=[1e9, 0.9]))
    assert (net.out, net.into) == ([{}] * 4, [{}] * 4)
    empty = one_way([(0, 1, 0.0, 1.0)])
    columns = {
        f.name: getattr(empty, f.name)[:0] for f in fields(ContactPlan) if f.name not in ("node_names", "horizon_s")
    }
    assert Network(replace(empty, **columns)).out == [{}] * 4


def test_every_pair_has_one_edge_with_a_dense_id() -> None:
    net = Network(one_way([(2, 3, 0.0, 5.0), (0, 1, 0.0, 5.0), (1, 0, 2.0, 5.0), (0, 1, 7.0, 9.0), (0, 3, 8.0, 9.0)]))
    edges = [edge for out in net.out for edge in out.values()]
    assert [(e.id, e.source, e.dest) for e in edges] == [(0, 0, 1), (1, 0, 3), (2, 1, 0), (3, 2, 3)]
    assert [e.windows_us() for e in edges[:2]] == [[(0, 5 * S, 0), (7 * S, 9 * S, 0)], [(8 * S, 9 * S, 0)]]
    assert {(i, j) for j, into in enumerate(net.into) for i in into} == {(e.source, e.dest) for e in edges}
    assert all(net.into[e.dest][e.source] is e for e in edges)


def test_of_overlapping_contacts_the_fastest_counts_at_each_moment() -> None:
    rows = [(0, 1, 0.0, 50.0), (0, 1, 10.0, 20.0), (0, 1, 15.0, 70.0), (1, 0, 15.0, 70.0), (0, 1, 80.0, 90.0)]
    net = Network(one_way(rows, rate_bps=[2e6, math.inf, 1e6, 1e6, 1e6]))
    s = net.segments
    assert net.out[0][1].windows_us() == [
        (0, 10 * S, 0), (10 * S, 20 * S, 0), (20 * S, 50 * S, 0), (50 * S, 70 * S, 0), (80 * S, 90 * S, 0),
    ]  # fmt: skip
    assert s.contact == [0, 1, 0, 2, 4, 3]
    assert s.rate_bps == [2_000_000, 0, 2_000_000, 1_000_000, 1_000_000, 1_000_000]


def test_of_equally_fast_contacts_the_nearer_counts_and_then_the_first() -> None:
    rows = [(0, 1, 0.0, 9.0), (0, 1, 2.0, 9.0), (0, 1, 2.0, 6.0), (0, 1, 3.0, 9.0)]
    net = Network(one_way(rows, owlt_s=[0.2, 0.1, 0.1, 0.1]))
    assert net.segments.contact == [0, 1]
    assert net.out[0][1].windows_us() == [(0, 2 * S, 200_000), (2 * S, 9 * S, 100_000)]


def test_a_segment_knows_when_a_later_one_can_be_heard() -> None:
    rows = [(0, 1, 0.0, 5.0), (0, 1, 5.0, 10.0), (0, 1, 10.0, 15.0), (0, 2, 15.0, 20.0)]
    later_us = np.array(Network(one_way(rows, owlt_s=[9.0, 8.0, 0.5, 0.0])).segments.later_us)
    assert later_us[:2].tolist() == [10_500_000, 10_500_000]
    assert (later_us[2:] > 10**15).all()
