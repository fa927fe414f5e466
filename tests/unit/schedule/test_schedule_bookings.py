"""What is booked or blocked on one edge, by hand. 1 Mbit at 1 Mbit/s takes a second."""

from __future__ import annotations

import math

import pytest

from orbital_train.schedule.bookings import Bookings
from orbital_train.schedule.hops import first_hop, last_hop
from orbital_train.schedule.network import Edge, Hop, Network
from tests.unit.schedule.scenarios import one_way

S = 1_000_000
MBIT = 1_000_000


def edge(*windows: tuple[float, float], rate_bps: float = 1e6) -> Edge:
    return Network(one_way([(0, 1, *window) for window in windows], 2, rate_bps=rate_bps)).out[0][1]


def book(bookings: Bookings, on: Edge, ready_s: float, mbit: int = 1) -> Hop:
    hop = found(bookings, on, ready_s, mbit)
    bookings.add(hop, 0)
    return hop


def found(bookings: Bookings, on: Edge, ready_s: float, mbit: int = 1) -> Hop:
    hop = first_hop(on, bookings, round(ready_s * S), mbit * MBIT)
    assert hop is not None
    return hop


def times_s(hop: Hop | None) -> list[tuple[float, float]]:
    assert hop is not None
    return [(piece.start_us / S, piece.end_us / S) for piece in hop.pieces]


def test_a_second_message_queues_behind_the_first() -> None:
    bookings, on = Bookings(), edge((0.0, 2.5), (60.0, 70.0))
    assert [times_s(book(bookings, on, 0.0)) for _ in range(4)] == [
        [(0.0, 1.0)], [(1.0, 2.0)], [(2.0, 2.5), (60.0, 60.5)], [(60.5, 61.5)],
    ]  # fmt: skip


def test_a_message_goes_around_what_is_booked() -> None:
    bookings, on = Bookings(), edge((0.0, 20.0))
    early = book(bookings, on, 2.0)
    book(bookings, on, 5.0)
    assert times_s(book(bookings, on, 0.0, 2)) == [(0.0, 2.0)]
    assert times_s(found(bookings, on, 0.0, 2)) == [(3.0, 5.0)]
    assert times_s(found(bookings, on, 0.0, 3)) == [(3.0, 5.0), (6.0, 7.0)]
    assert times_s(last_hop(on, bookings, 7 * S, 3 * MBIT)) == [(3.0, 5.0), (6.0, 7.0)]
    bookings.remove((early,))
    assert times_s(found(bookings, on, 0.0, 3)) == [(2.0, 5.0)]


def test_a_stretch_is_booked_once() -> None:
    bookings, on = Bookings(), edge((0.0, 20.0))
    hop = book(bookings, on, 2.0)
    with pytest.raises(AssertionError, match="two messages at once"):
        bookings.add(hop, 0)


def test_messages_at_an_infinite_rate_book_nothing() -> None:
    bookings, on = Bookings(), edge((5.0, 50.0), rate_bps=math.inf)
    hops = [book(bookings, on, 0.0) for _ in range(3)]
    assert [times_s(hop) for hop in hops] == [[(5.0, 5.0)]] * 3
    bookings.remove(tuple(hops))
    assert bookings.taken == {}


def test_what_a_copy_does_does_not_show() -> None:
    bookings, on = Bookings(), edge((0.0, 20.0))
    kept = book(bookings, on, 0.0)
    trial = bookings.fork()
    book(trial, on, 0.0)
    trial.block(on, 10 * S, 20 * S)
    assert times_s(found(bookings, on, 0.0, 15)) == [(1.0, 16.0)]
    bookings.remove((kept,))
    assert times_s(found(trial, on, 0.0)) == [(2.0, 3.0)]
    assert times_s(found(bookings, on, 0.0)) == [(0.0, 1.0)]


def test_a_blocked_edge_carries_nothing_meanwhile() -> None:
    bookings, on = Bookings(), edge((0.0, 20.0), (30.0, 40.0))
    bookings.block(on, 4 * S, 8 * S)
    bookings.block(on, 7 * S, 31 * S)
    assert times_s(found(bookings, on, 3.0, 2)) == [(3.0, 4.0), (31.0, 32.0)]
    assert times_s(last_hop(on, bookings, 31 * S, MBIT)) == [(3.0, 4.0)]


def test_what_is_booked_can_be_given_back_where_it_was_blocked_since_and_stays_blocked() -> None:
    bookings, on = Bookings(), edge((0.0, 20.0))
    hop = book(bookings, on, 2.0, 4)
    bookings.block(on, 3 * S, 5 * S)
    assert times_s(found(bookings, on, 2.0)) == [(6.0, 7.0)]
    bookings.remove((hop,))
    assert times_s(found(bookings, on, 2.0, 2)) == [(2.0, 3.0), (5.0, 6.0)]


def test_a_block_holds_at_an_infinite_rate() -> None:
    bookings, on = Bookings(), edge((5.0, 20.0), rate_bps=math.inf)
    bookings.block(on, 8 * S, 12 * S)
    assert [times_s(found(bookings, on, t))[0][0] for t in (7.0, 8.0, 8.000001, 11.0, 12.0)] == [
        7.0,
        8.0,
        12.0,
        12.0,
        12.0,
    ]
    assert [times_s(last_hop(on, bookings, t * S, MBIT))[0][0] for t in (7, 8, 9, 11, 12, 13)] == [7, 8, 8, 8, 12, 13]
    bookings.block(on, 5 * S, 20 * S)
    assert first_hop(on, bookings, 0, MBIT) is None
    assert last_hop(on, bookings, 100 * S, MBIT) is None


def test_what_is_past_is_forgotten() -> None:
    bookings, on = Bookings(), edge((0.0, 90.0))
    for start_s in range(0, 80, 2):
        hop = found(bookings, on, start_s)
        bookings.add(hop, start_s * S)
        assert len(bookings.taken[on.id]) <= 4
    assert bookings.taken[on.id] == [78 * S, 79 * S]
