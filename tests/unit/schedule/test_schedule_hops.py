"""One message on one edge, by hand. 1 Mbit at 1 Mbit/s takes a second."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from orbital_train.schedule.bookings import Bookings
from orbital_train.schedule.hops import first_hop, last_hop
from orbital_train.schedule.network import Edge, Hop, Network
from tests.unit.schedule.scenarios import one_way

S = 1_000_000
MBIT = 1_000_000
Timed = tuple[int, float, float, float]  # contact, start_s, end_s, Mbit


def edge(
    windows: Sequence[tuple[float, float]],
    rate_bps: Sequence[float] | float = 1e6,
    owlt_s: Sequence[float] | float = 0.0,
) -> Edge:
    return Network(one_way([(0, 1, *window) for window in windows], 2, rate_bps=rate_bps, owlt_s=owlt_s)).out[0][1]


def pieces(hop: Hop | None) -> list[Timed]:
    assert hop is not None
    return [(c, start_us / S, end_us / S, bits / MBIT) for c, start_us, end_us, bits in hop.pieces]


def first(on: Edge, ready_s: float, bits: int) -> list[Timed]:
    return pieces(first_hop(on, Bookings(), round(ready_s * S), bits))


def last(on: Edge, deadline_s: float, bits: int) -> list[Timed]:
    return pieces(last_hop(on, Bookings(), round(deadline_s * S), bits))


def test_a_message_takes_the_first_window_that_is_open_and_the_next_for_what_is_left() -> None:
    on = edge([(0.0, 5.0), (50.0, 55.0), (90.0, 95.0)])
    assert first(on, 3.9, MBIT) == [(0, 3.9, 4.9, 1.0)]
    assert first(on, 4.0, MBIT) == [(0, 4.0, 5.0, 1.0)]
    assert first(on, 4.25, MBIT) == [(0, 4.25, 5.0, 0.75), (1, 50.0, 50.25, 0.25)]
    assert first(on, 5.0, MBIT) == [(1, 50.0, 51.0, 1.0)]
    assert first(on, 2.0, 9 * MBIT) == [(0, 2.0, 5.0, 3.0), (1, 50.0, 55.0, 5.0), (2, 90.0, 91.0, 1.0)]
    assert first_hop(on, Bookings(), 94_000_001, MBIT) is None
    assert first_hop(on, Bookings(), 0, 15 * MBIT + 1) is None


def test_the_last_hop_takes_the_last_windows() -> None:
    on = edge([(0.0, 5.0), (50.0, 55.0), (90.0, 95.0)], owlt_s=0.5)
    assert last(on, 200.0, MBIT) == [(2, 94.0, 95.0, 1.0)]
    assert last(on, 95.25, MBIT) == [(2, 93.75, 94.75, 1.0)]
    assert last(on, 91.0, 2 * MBIT) == [(1, 53.5, 55.0, 1.5), (2, 90.0, 90.5, 0.5)]
    assert last(on, 91.0, 7 * MBIT) == [(0, 3.5, 5.0, 1.5), (1, 50.0, 55.0, 5.0), (2, 90.0, 90.5, 0.5)]
    assert last(on, 90.5, MBIT) == [(1, 54.0, 55.0, 1.0)]
    assert last_hop(on, Bookings(), 1_499_999, MBIT) is None


def test_slices_of_one_link_join_and_a_message_is_there_when_its_last_bit_is_heard() -> None:
    hop = first_hop(edge([(0, 5), (5, 10), (10, 15)], [1e6, 2e6, 4e6], [3.0, 2.0, 1.0]), Bookings(), 3 * S, 16 * MBIT)
    assert pieces(hop) == [(0, 3.0, 5.0, 2.0), (1, 5.0, 10.0, 10.0), (2, 10.0, 11.0, 4.0)]
    assert hop is not None
    assert (hop.source, hop.dest, hop.edge) == (0, 1, 0)
    assert (hop.start_us, hop.end_us, hop.arrival_us) == (3 * S, 11 * S, 12 * S)


def test_of_overlapping_contacts_the_fastest_is_used_at_each_moment() -> None:
    on = edge([(0.0, 90.0), (2.0, 4.0), (2.0, 3.0)], [1e5, 2e5, 1e6])
    expected = [(0, 0.0, 2.0, 0.2), (2, 2.0, 3.0, 1.0), (1, 3.0, 4.0, 0.2), (0, 4.0, 10.0, 0.6)]
    assert first(on, 0.0, 2 * MBIT) == last(on, 10.0, 2 * MBIT) == expected


def test_a_long_contact_is_found_behind_a_short_one_that_began_later() -> None:
    assert first(edge([(0.0, 500.0), (10.0, 20.0)]), 100.0, MBIT) == [(0, 100.0, 101.0, 1.0)]


def test_it_is_better_to_wait_for_a_nearer_contact() -> None:
    assert first(edge([(0.0, 90.0), (2.0, 90.0)], owlt_s=[9.0, 0.5]), 0.0, MBIT) == [(1, 2.0, 3.0, 1.0)]


def test_where_light_time_falls_what_would_be_overtaken_is_not_sent() -> None:
    on = edge([(0.0, 10.0), (10.0, 99.0)], owlt_s=[9.0, 0.0])
    assert first(on, 5.0, 10 * MBIT) == last(on, 17.0, 10 * MBIT) == [(0, 5.0, 8.0, 3.0), (1, 10.0, 17.0, 7.0)]


def test_a_window_too_short_for_a_bit_is_skipped() -> None:
    on = edge([(0.0, 1e-5), (1.0, 1.00001), (2.0, 3.0)], [1e4, 1e6, 1e6])
    assert first(on, 0.0, 100) == [(1, 1.0, 1.00001, 1e-5), (2, 2.0, 2.00009, 9e-5)]
    assert last_hop(on, Bookings(), S, 1) is None


@pytest.mark.parametrize("bits", [1, 10**15])
def test_at_an_infinite_rate_a_message_takes_no_time_and_may_leave_at_the_very_end(bits: int) -> None:
    on = edge([(5.0, 20.0)], math.inf, 0.25)
    whole = bits / MBIT
    assert first(on, 0.0, bits) == [(0, 5.0, 5.0, whole)]
    assert first(on, 20.0, bits) == [(0, 20.0, 20.0, whole)]
    assert first_hop(on, Bookings(), 20 * S + 1, bits) is None
    assert last(on, 99.0, bits) == [(0, 20.0, 20.0, whole)]
    assert last(on, 5.25, bits) == [(0, 5.0, 5.0, whole)]
    assert last_hop(on, Bookings(), 5_249_999, bits) is None


def test_what_is_left_when_an_infinite_rate_begins_goes_at_once() -> None:
    on = edge([(0.0, 50.0), (10.0, 20.0)], [1e6, math.inf])
    assert first(on, 9.0, 3 * MBIT) == [(0, 9.0, 10.0, 1.0), (1, 10.0, 10.0, 2.0)]
    assert last(on, 21.0, 3 * MBIT) == [(1, 20.0, 20.0, 2.0), (0, 20.0, 21.0, 1.0)]
