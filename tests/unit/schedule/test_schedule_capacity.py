"""Whole messages, last departures and cuts, by hand."""

from __future__ import annotations

import math

import numpy as np

from orbital_train.schedule.capacity import Capacity, narrowest_cuts, pair_capacity
from tests.unit.schedule.scenarios import Window, contacts

S = 1_000_000
BITS = 1_000_000


def capacity(nodes: int, windows: list[Window], rate_bps: float = 1e6, until_s: int = 100) -> Capacity:
    """A message takes a second at the standard rate, and is heard half a second later."""
    return pair_capacity(contacts(nodes, windows, 100.0, rate_bps, 0.5), BITS, until_s * S)


def test_messages_may_be_split_over_the_windows_of_a_pair() -> None:
    found = capacity(3, [(0, 1, 0.0, 1.6), (0, 1, 10.0, 11.6), (1, 2, 0.0, 0.9)])
    pairs = list(zip(found.source.tolist(), found.dest.tolist(), found.messages.tolist(), strict=True))
    assert pairs == [(0, 1, 3.0), (1, 0, 3.0), (1, 2, 0.0), (2, 1, 0.0)]
    assert (found.leaving().tolist(), found.arriving().tolist()) == ([3.0, 3.0, 0.0], [3.0, 3.0, 0.0])


def test_a_volume_of_exactly_so_many_messages_counts_them_all() -> None:
    for k in range(1, 40):
        found = capacity(2, [(0, 1, 0.0, 0.7 * k)], rate_bps=BITS / 0.7)
        assert found.messages.tolist() == [k, k]


def test_a_message_must_arrive_in_time() -> None:
    found = capacity(2, [(0, 1, 3.0, 90.0)], until_s=10)
    assert found.messages.tolist() == [6.0, 6.0]  # within 6.5 s
    assert np.allclose(found.last_us, 8.5 * S, atol=5)
    assert capacity(2, [(0, 1, 3.0, 90.0)], until_s=3).messages.size == 0


def test_the_last_departure_is_the_latest_over_all_neighbours() -> None:
    windows = [(0, 1, 0.0, 20.0), (0, 2, 30.0, 30.8), (0, 2, 40.0, 40.5), (1, 2, 50.0, 50.5)]
    found = capacity(4, windows)
    last_s = found.last_departure_us() / S
    assert np.allclose(last_s[:3], [30.3, 19.0, 30.3], atol=1e-5)  # 0.5 s in each of two windows
    assert found.last_departure_us()[3] == -1


def test_ideal_links_carry_any_number_until_their_very_end() -> None:
    found = capacity(2, [(0, 1, 0.0, 20.0)], rate_bps=math.inf)
    assert found.messages.tolist() == [math.inf, math.inf]
    assert 20 * S <= found.last_us.min() <= found.last_us.max() <= 20 * S + 2


def test_two_clusters_are_cut_at_the_weak_link_between_them() -> None:
    inside = [(0, 1, 0.0, 90.0), (1, 2, 0.0, 90.0), (0, 2, 0.0, 90.0), (3, 4, 0.0, 90.0)]
    cuts = narrowest_cuts(capacity(5, [*inside, (2, 3, 0.0, 7.0)]), np.arange(5), 10_000)
    assert np.array_equal(cuts[:3, 3:], np.full((3, 2), 7.0))
    assert (cuts[0, 1], cuts[0, 2], cuts[3, 4], cuts[2, 2]) == (180.0, 180.0, 90.0, math.inf)
    assert np.array_equal(cuts, cuts.T)


def test_what_any_of_a_group_hears_all_of_it_hear() -> None:
    windows = [(0, 1, 0.0, 9.0), (0, 2, 0.0, 4.0), (1, 2, 0.0, 50.0)]
    cuts = narrowest_cuts(capacity(3, windows), np.array([0, 1, 1]), 10_000)
    assert cuts[0, 1] == 13.0


def test_counts_stop_to_matter_somewhere() -> None:
    cuts = narrowest_cuts(capacity(2, [(0, 1, 0.0, 20.0)], rate_bps=math.inf), np.arange(2), 500)
    assert cuts[0, 1] == 500.0
