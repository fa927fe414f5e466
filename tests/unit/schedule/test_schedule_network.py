"""Store and forward on contact plans that can be followed by hand. 1 Mbit at 1 Mbit/s takes a second."""

from __future__ import annotations

import math

import pytest

from orbital_train.schedule.bookings import Bookings
from orbital_train.schedule.hops import first_hop, last_hop
from orbital_train.schedule.network import Network, Route
from orbital_train.schedule.routes import Arrivals, earliest_arrivals, latest_departures
from orbital_train.windows.plan import ContactPlan
from tests.unit.schedule.scenarios import Window, one_way

S = 1_000_000
MBIT = 1_000_000


def routes(the_plan: ContactPlan, ready_s: float = 0.0, bits: int = MBIT, source: int = 0) -> dict[int, Route]:
    found = earliest_arrivals(Network(the_plan), Bookings(), {source: round(ready_s * S)}, bits)
    return {dest: first_route(found, dest) for dest in found.hop_into}


def first_route(found: Arrivals, dest: int) -> Route:
    route = found.route(dest)
    assert route is not None
    assert route[-1].arrival_us == found.arrival_us[dest]
    return route


def route_of(net: Network, bookings: Bookings, ready_us: int, bits: int) -> Route:
    """From node 0 to node 1."""
    return first_route(earliest_arrivals(net, bookings, {0: ready_us}, bits), 1)


def taken(route: Route) -> list[tuple[int, float, float, float]]:
    """(contact, start_s, end_s, arrival_s) of every hop, none of which is in pieces."""
    assert all(len(hop.pieces) == 1 for hop in route)
    return [(hop.pieces[0].contact, hop.start_us / S, hop.end_us / S, hop.arrival_us / S) for hop in route]


def pieces(route: Route) -> list[tuple[int, float, float, float]]:
    """(contact, start_s, end_s, Mbit) of every piece."""
    return [(c, a / S, b / S, bits / MBIT) for hop in route for c, a, b, bits in hop.pieces]


def test_a_message_is_stored_until_the_next_contact_and_forwarded() -> None:
    found = routes(one_way([(0, 1, 10.0, 20.0), (1, 2, 100.0, 200.0), (2, 3, 150.0, 160.0)]))
    assert taken(found[3]) == [(0, 10.0, 11.0, 11.0), (1, 100.0, 101.0, 101.0), (2, 150.0, 151.0, 151.0)]
    assert taken(found[1]) == [(0, 10.0, 11.0, 11.0)]


def test_light_takes_its_time_on_every_hop() -> None:
    found = routes(one_way([(0, 1, 0.0, 50.0), (1, 2, 0.0, 50.0)], owlt_s=[0.25, 0.5]))
    assert taken(found[2]) == [(0, 0.0, 1.0, 1.25), (1, 1.25, 2.25, 2.75)]


def test_a_message_that_is_received_too_late_for_a_contact_takes_the_next() -> None:
    found = routes(one_way([(0, 1, 0.0, 50.0), (1, 2, 0.0, 2.2), (1, 2, 30.0, 40.0)], owlt_s=0.25))
    assert pieces(found[2][1:]) == [(1, 1.25, 2.2, 0.95), (2, 30.0, 30.05, 0.05)]
    assert found[2][1].arrival_us == 30_300_000
    found = routes(one_way([(0, 1, 0.0, 50.0), (1, 2, 0.0, 1.2), (1, 2, 30.0, 40.0)], owlt_s=0.25))
    assert taken(found[2])[1] == (2, 30.0, 31.0, 31.25)


def test_equal_arrivals_take_fewer_hops() -> None:
    found = routes(one_way([(0, 1, 0.0, 9.0), (0, 2, 1.0, 9.0), (1, 2, 1.0, 9.0)]))
    assert taken(found[2]) == [(1, 1.0, 2.0, 2.0)]


def test_a_longer_way_that_is_faster_is_taken() -> None:
    found = routes(one_way([(0, 1, 0.0, 9.0), (1, 2, 1.0, 9.0), (0, 2, 3.0, 9.0)]))
    assert [hop.pieces[0].contact for hop in found[2]] == [0, 1]


def test_the_same_pair_meets_again() -> None:
    the_plan = one_way([(0, 1, 0.0, 5.0), (0, 1, 50.0, 55.0), (0, 1, 90.0, 95.0)])
    assert taken(routes(the_plan, ready_s=3.9)[1]) == [(0, 3.9, 4.9, 4.9)]
    assert taken(routes(the_plan, ready_s=4.0)[1]) == [(0, 4.0, 5.0, 5.0)]
    assert taken(routes(the_plan, ready_s=5.1)[1]) == [(1, 50.0, 51.0, 51.0)]
    assert taken(routes(the_plan, ready_s=80.0)[1]) == [(2, 90.0, 91.0, 91.0)]


def test_of_overlapping_contacts_the_one_that_arrives_first_is_taken() -> None:
    the_plan = one_way([(0, 1, 0.0, 90.0), (0, 1, 2.0, 90.0)], owlt_s=[9.0, 0.5])
    assert taken(routes(the_plan)[1]) == [(1, 2.0, 3.0, 3.5)]


def test_of_overlapping_contacts_the_fastest_is_used_at_each_moment() -> None:
    the_plan = one_way([(0, 1, 0.0, 90.0), (0, 1, 2.0, 4.0), (0, 1, 2.0, 3.0)], rate_bps=[1e5, 2e5, 1e6])
    assert pieces(routes(the_plan, bits=2 * MBIT)[1]) == [(0, 0.0, 2.0, 0.2), (2, 2.0, 3.0, 1.0), (1, 3.0, 4.0, 0.2),
                                                         (0, 4.0, 10.0, 0.6)]  # fmt: skip
    net = Network(one_way([(0, 1, 0.0, 50.0), (0, 1, 10.0, 20.0)], rate_bps=[1e6, math.inf]))
    assert net.out[0][1].windows_us() == [(0, 10 * S, 0), (10 * S, 20 * S, 0), (20 * S, 50 * S, 0)]
    assert pieces(route_of(net, Bookings(), 9 * S, 3 * MBIT)) == [(0, 9.0, 10.0, 1.0), (1, 10.0, 10.0, 2.0)]


def test_a_long_contact_is_found_behind_a_short_one_that_began_later() -> None:
    found = routes(one_way([(0, 1, 0.0, 500.0), (0, 1, 10.0, 20.0)]), ready_s=100.0)
    assert taken(found[1]) == [(0, 100.0, 101.0, 101.0)]


def test_what_does_not_fit_a_window_continues_in_the_next() -> None:
    the_plan = one_way([(0, 1, 0.0, 5.0), (1, 2, 0.0, 50.0), (0, 1, 7.0, 9.9)], rate_bps=[1e6, 1e6, 2e6])
    assert pieces(routes(the_plan, bits=5 * MBIT)[1]) == [(0, 0.0, 5.0, 5.0)]
    assert pieces(routes(the_plan, bits=6 * MBIT)[1]) == [(0, 0.0, 5.0, 5.0), (2, 7.0, 7.5, 1.0)]
    # Its parts are stored until the last has come, and forwarded together.
    assert pieces(routes(the_plan, bits=6 * MBIT)[2][1:]) == [(1, 7.5, 13.5, 6.0)]


def test_slices_of_one_link_join_and_a_message_is_there_when_its_last_piece_is_heard() -> None:
    rows: list[Window] = [(0, 1, 0.0, 5.0), (0, 1, 5.0, 10.0), (0, 1, 10.0, 15.0)]
    found = routes(one_way(rows, rate_bps=[1e6, 2e6, 4e6], owlt_s=[3.0, 2.0, 1.0]), ready_s=3.0, bits=16 * MBIT)
    assert pieces(found[1]) == [(0, 3.0, 5.0, 2.0), (1, 5.0, 10.0, 10.0), (2, 10.0, 11.0, 4.0)]
    assert found[1][0][2:5] == (3 * S, 11 * S, 12 * S)


def test_where_light_time_falls_what_would_be_overtaken_is_not_sent() -> None:
    net = Network(one_way([(0, 1, 0.0, 10.0), (0, 1, 10.0, 99.0)], owlt_s=[9.0, 0.0]))
    assert pieces(route_of(net, Bookings(), 5 * S, 10 * MBIT)) == [(0, 5.0, 8.0, 3.0), (1, 10.0, 17.0, 7.0)]
    hop = last_hop(net.out[0][1], Bookings(), 17 * S, 10 * MBIT)
    assert hop == first_hop(net.out[0][1], Bookings(), 5 * S, 10 * MBIT)


def test_a_window_too_short_for_a_bit_is_skipped() -> None:
    the_plan = one_way([(0, 1, 0.0, 1e-5), (0, 1, 1.0, 1.00001), (0, 1, 2.0, 3.0)], rate_bps=[1e4, 1e6, 1e6])
    assert pieces(routes(the_plan, bits=100)[1]) == [(1, 1.0, 1.00001, 1e-5), (2, 2.0, 2.00009, 9e-5)]
    assert routes(one_way([(0, 1, 0.0, 900.0)], rate_bps=0.9), bits=1) == {}


def test_a_message_that_its_windows_together_do_not_carry_has_no_route() -> None:
    the_plan = one_way([(0, 1, 0.0, 5.0), (1, 2, 0.0, 50.0), (0, 1, 7.0, 9.9)])
    assert 1 in routes(the_plan, bits=7_900_000)
    assert routes(the_plan, bits=7_900_001) == {}
    assert routes(the_plan, ready_s=951.0) == {}


def test_an_arrival_after_the_horizon_is_none() -> None:
    the_plan = one_way([(0, 1, 990.0, 1000.0)], owlt_s=0.5)
    assert taken(routes(the_plan, ready_s=998.5)[1]) == [(0, 998.5, 999.5, 1000.0)]
    assert routes(the_plan, ready_s=998.6) == {}


def test_an_infinite_rate_takes_no_time() -> None:
    the_plan = one_way([(0, 1, 5.0, 50.0), (1, 2, 5.0, 50.0)], rate_bps=math.inf)
    assert taken(routes(the_plan)[2]) == [(0, 5.0, 5.0, 5.0), (1, 5.0, 5.0, 5.0)]


def test_messages_at_an_infinite_rate_are_not_in_each_others_way() -> None:
    net, bookings = Network(one_way([(0, 1, 5.0, 50.0)], rate_bps=math.inf)), Bookings()
    for _ in range(3):
        route = route_of(net, bookings, 0, MBIT)
        assert route[-1].arrival_us == 5 * S
        bookings.add(route, 0)
    bookings.add(route, 5 * S)
    for _ in range(4):
        bookings.remove(route)


def test_a_second_message_queues_behind_the_first() -> None:
    net, bookings = Network(one_way([(0, 1, 0.0, 2.0), (0, 1, 60.0, 70.0)])), Bookings()
    arrivals_us = []
    for _ in range(3):
        route = route_of(net, bookings, 0, MBIT)
        bookings.add(route, 0)
        arrivals_us.append(route[-1].arrival_us)
    assert arrivals_us == [1 * S, 2 * S, 61 * S]


def test_a_second_message_takes_another_way() -> None:
    net, bookings = Network(one_way([(0, 1, 0.0, 1.5), (0, 2, 0.0, 9.0), (2, 1, 0.0, 9.0)])), Bookings()
    bookings.add(route_of(net, bookings, 0, MBIT), 0)
    assert [hop.pieces[0].contact for hop in route_of(net, bookings, 0, MBIT)] == [1, 2]


def test_a_message_goes_around_what_is_booked() -> None:
    net, bookings = Network(one_way([(0, 1, 0.0, 20.0)])), Bookings()
    early = route_of(net, bookings, 2 * S, MBIT)
    bookings.add(early, 0)
    bookings.add(route_of(net, bookings, 5 * S, MBIT), 0)
    assert taken(route_of(net, bookings, 0, 2 * MBIT)) == [(0, 0.0, 2.0, 2.0)]
    bookings.add(route_of(net, bookings, 0, 2 * MBIT), 0)
    assert taken(route_of(net, bookings, 0, 2 * MBIT)) == [(0, 3.0, 5.0, 5.0)]
    assert pieces(route_of(net, bookings, 0, 3 * MBIT)) == [(0, 3.0, 5.0, 2.0), (0, 6.0, 7.0, 1.0)]
    bookings.remove(early)
    assert taken(route_of(net, bookings, 0, 3 * MBIT)) == [(0, 2.0, 5.0, 5.0)]


def test_a_plan_that_is_tried_out_books_nothing() -> None:
    net, bookings = Network(one_way([(0, 1, 0.0, 20.0)])), Bookings()
    route = route_of(net, bookings, 0, MBIT)
    bookings.fork().add(route, 0)
    assert route_of(net, bookings, 0, MBIT) == route


def test_windows_are_rounded_inwards_and_light_up() -> None:
    the_plan = one_way([(0, 1, 0.0000004, 1.0000019)], owlt_s=0.0000001)
    assert taken(routes(the_plan)[1]) == [(0, 0.000001, 1.000001, 1.000002)]
    assert routes(the_plan, bits=MBIT + 1) == {}


def test_latest_departures_by_hand() -> None:
    net = Network(one_way([(0, 1, 0.0, 30.0), (1, 3, 0.0, 20.0), (1, 3, 40.0, 50.0), (0, 3, 45.0, 48.0)], owlt_s=0.5))
    late = latest_departures(net, Bookings(), 3, 100 * S, MBIT).leave_us
    assert late == {3: 100 * S, 1: 49 * S, 0: 47 * S}
    assert latest_departures(net, Bookings(), 3, 45 * S, MBIT).leave_us == {3: 45 * S, 1: 43_500_000, 0: 29 * S}
    # Half of it is heard from node 1 by 20.5 s, the other half by 41 s.
    assert latest_departures(net, Bookings(), 3, 41 * S, MBIT).leave_us[0] == 18 * S
    assert latest_departures(net, Bookings(), 3, 1 * S, MBIT).leave_us == {3: 1 * S}


def test_latest_departures_make_room_for_what_is_booked() -> None:
    net, bookings = Network(one_way([(0, 1, 0.0, 30.0)])), Bookings()
    bookings.add(route_of(net, bookings, 9_500_000, MBIT), 0)
    assert latest_departures(net, bookings, 1, 10 * S, MBIT).leave_us[0] == 8_500_000
    assert latest_departures(net, bookings, 1, 11 * S, MBIT).leave_us[0] == 9 * S
    assert latest_departures(net, bookings, 1, 12 * S, MBIT).leave_us[0] == 11 * S


def test_of_overlapping_contacts_the_one_that_leaves_last_counts() -> None:
    net = Network(one_way([(0, 1, 0.0, 100.0), (0, 1, 10.0, 50.0)]))
    assert latest_departures(net, Bookings(), 1, 90 * S, MBIT).leave_us[0] == 89 * S
    net = Network(one_way([(0, 1, 0.0, 100.0), (0, 1, 10.0, 100.0)], rate_bps=[1e6, 1e5]))
    assert latest_departures(net, Bookings(), 1, 90 * S, MBIT).leave_us[0] == 89 * S


@pytest.mark.parametrize("deadline_s", [5.0, 19.9, 20.0, 500.0])
def test_at_an_infinite_rate_the_latest_departure_is_in_time(deadline_s: float) -> None:
    net = Network(one_way([(0, 1, 5.0, 20.0)], rate_bps=math.inf))
    leave_us = latest_departures(net, Bookings(), 1, round(deadline_s * S), MBIT).leave_us[0]
    assert leave_us == round(min(deadline_s, 20.0) * S)
    assert route_of(net, Bookings(), leave_us, MBIT)[-1].arrival_us == leave_us
    assert earliest_arrivals(net, Bookings(), {0: 20 * S + 1}, MBIT).route(1) is None
