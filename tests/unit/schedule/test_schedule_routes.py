"""Store and forward on contact plans that can be followed by hand. 1 Mbit at 1 Mbit/s takes a second."""

from __future__ import annotations

import math

import pytest

from orbital_train.schedule.bookings import Bookings
from orbital_train.schedule.network import Network, Route
from orbital_train.schedule.routes import Arrivals, earliest_arrivals, latest_departures
from orbital_train.windows.plan import ContactPlan
from tests.unit.schedule.scenarios import one_way

S = 1_000_000
MBIT = 1_000_000


def routes(the_plan: ContactPlan, ready_s: float = 0.0, bits: int = MBIT, source: int = 0) -> dict[int, Route]:
    found = earliest_arrivals(Network(the_plan), Bookings(), {source: round(ready_s * S)}, bits)
    return {dest: first_route(found, dest) for dest in found.arrival_us if dest != source}


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


def test_what_does_not_fit_a_window_continues_in_the_next() -> None:
    the_plan = one_way([(0, 1, 0.0, 5.0), (1, 2, 0.0, 50.0), (0, 1, 7.0, 9.9)], rate_bps=[1e6, 1e6, 2e6])
    assert pieces(routes(the_plan, bits=5 * MBIT)[1]) == [(0, 0.0, 5.0, 5.0)]
    assert pieces(routes(the_plan, bits=6 * MBIT)[1]) == [(0, 0.0, 5.0, 5.0), (2, 7.0, 7.5, 1.0)]
    # Its parts are stored until the last has come, and forwarded together.
    assert pieces(routes(the_plan, bits=6 * MBIT)[2][1:]) == [(1, 7.5, 13.5, 6.0)]


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


def test_a_second_message_takes_another_way() -> None:
    net, bookings = Network(one_way([(0, 1, 0.0, 1.5), (0, 2, 0.0, 9.0), (2, 1, 0.0, 9.0)])), Bookings()
    bookings.add(route_of(net, bookings, 0, MBIT), 0)
    assert [hop.pieces[0].contact for hop in route_of(net, bookings, 0, MBIT)] == [1, 2]


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


def test_of_equal_arrivals_over_equally_many_hops_the_lower_neighbour_counts() -> None:
    """Node 2 has the message before node 1, and both pass it on at 5 s."""
    net = Network(one_way([(0, 2, 0.0, 9.0), (0, 1, 1.0, 9.0), (1, 3, 5.0, 9.0), (2, 3, 5.0, 9.0)]))
    found = earliest_arrivals(net, Bookings(), {0: 0}, MBIT)
    assert [hop.dest for hop in first_route(found, 3)] == [1, 3]
    net = Network(one_way([(0, 1, 0.0, 3.0), (0, 2, 0.0, 3.0), (1, 3, 4.0, 8.0), (2, 3, 4.0, 9.0)]))
    late = latest_departures(net, Bookings(), 3, 9 * S, MBIT)
    assert [hop.dest for hop in late.route(0) or ()] == [1, 3]


def test_of_equal_departures_fewer_hops_count() -> None:
    net = Network(one_way([(0, 1, 0.0, 3.0), (0, 3, 0.0, 3.0), (1, 3, 4.0, 8.0)]))
    late = latest_departures(net, Bookings(), 3, 9 * S, MBIT)
    assert late.leave_us == {3: 9 * S, 1: 7 * S, 0: 2 * S}
    assert [hop.dest for hop in late.route(0) or ()] == [3]


def test_a_route_of_latest_departures_waits_at_every_node_as_long_as_it_can() -> None:
    net = Network(one_way([(0, 1, 0.0, 30.0), (1, 3, 0.0, 20.0), (1, 3, 40.0, 50.0)]))
    late = latest_departures(net, Bookings(), 3, 41 * S, 2 * MBIT)
    assert pieces(late.route(0) or ()) == [(0, 17.0, 19.0, 2.0), (1, 19.0, 20.0, 1.0), (2, 40.0, 41.0, 1.0)]
    assert (late.route(3), late.route(2)) == ((), None)
    assert {node: late.leg(node).dest for node in (0, 1)} == {0: 1, 1: 3}


def test_a_message_comes_from_the_source_that_is_first() -> None:
    net = Network(one_way([(0, 1, 0.0, 90.0), (2, 1, 0.0, 90.0), (1, 3, 0.0, 90.0), (1, 2, 0.0, 90.0)]))
    found = earliest_arrivals(net, Bookings(), {0: 10 * S, 2: 30 * S}, MBIT)
    assert found.arrival_us == {0: 10 * S, 1: 11 * S, 2: 12 * S, 3: 12 * S}  # node 2 hears it before it would have it
    assert [hop.dest for hop in first_route(found, 2)] == [1, 2]
    found = earliest_arrivals(net, Bookings(), {0: 10 * S, 2: 3 * S}, MBIT)
    assert [(hop.source, hop.dest) for hop in first_route(found, 3)] == [(2, 1), (1, 3)]
    assert (found.route(0), found.route(2)) == ((), ())


def test_avoided_nodes_neither_send_nor_receive() -> None:
    net = Network(one_way([(0, 1, 0.0, 90.0), (0, 2, 0.0, 90.0), (1, 3, 0.0, 90.0), (2, 3, 5.0, 90.0)]))
    found = earliest_arrivals(net, Bookings(), {0: 0, 1: 0}, MBIT, avoid=(1,))
    assert found.arrival_us == {0: 0, 2: 1 * S, 3: 6 * S}
    assert latest_departures(net, Bookings(), 3, 5 * S, MBIT, avoid={1}).leave_us == {3: 5 * S}
    assert latest_departures(net, Bookings(), 3, 9 * S, MBIT, avoid={2}).leave_us == {3: 9 * S, 1: 8 * S, 0: 7 * S}


def test_hops_are_those_that_were_found_whatever_is_booked_since() -> None:
    net, bookings = Network(one_way([(0, 1, 0.0, 90.0), (1, 2, 0.0, 90.0)])), Bookings()
    found, late = earliest_arrivals(net, bookings, {0: 0}, MBIT), latest_departures(net, bookings, 2, 9 * S, MBIT)
    for out in net.out[:2]:
        for edge in out.values():
            bookings.block(edge, 0, 90 * S)
    assert taken(first_route(found, 2)) == [(0, 0.0, 1.0, 1.0), (1, 1.0, 2.0, 2.0)]
    assert taken(late.route(0) or ()) == [(0, 7.0, 8.0, 8.0), (1, 8.0, 9.0, 9.0)]
    assert earliest_arrivals(net, bookings, {0: 0}, MBIT).arrival_us == {0: 0}
