"""Trees of latest departures as plans for sums, followed by hand. 1 Mbit at 1 Mbit/s takes a second."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest

from orbital_train.schedule.bookings import Bookings
from orbital_train.schedule.gather import gather_by
from orbital_train.schedule.network import Hop, Network
from orbital_train.schedule.routes import Departures, latest_departures
from orbital_train.windows.plan import ContactPlan
from tests.unit.schedule.scenarios import contacts, one_way, ring

S = 1_000_000
MBIT = 1_000_000


def departures(plan: ContactPlan, site: int, deadline_s: float, bookings: Bookings | None = None) -> Departures:
    return latest_departures(Network(plan), bookings or Bookings(), site, round(deadline_s * S), MBIT)


def one_size(count: int) -> int:
    return MBIT


def gathered(
    plan: ContactPlan, site: int, deadline_s: float, nodes: Sequence[int]
) -> tuple[dict[int, float], list[tuple[int, int, float, float]]]:
    """When each node's outer gradient is taken, and (source, dest, start, arrival) of the legs as they come."""
    tree = departures(plan, site, deadline_s)
    snapshots, legs = gather_by(tree, site, round(deadline_s * S), nodes, one_size)
    assert [node for node, _ in snapshots] == list(nodes)
    return {node: at_us / S for node, at_us in snapshots}, [row(leg) for leg in legs]


def row(leg: Hop) -> tuple[int, int, float, float]:
    return leg.source, leg.dest, leg.start_us / S, leg.arrival_us / S


CHAIN = contacts(4, [(0, 1, 0.0, 100.0), (1, 2, 0.0, 100.0), (2, 3, 0.0, 100.0)], 100.0, 1e6, 0.25)


def test_each_leaves_as_late_as_its_message_can_still_be_there() -> None:
    """A second on the link and a quarter of it in flight, three times."""
    taken_s, legs = gathered(CHAIN, 0, 50.0, [0, 1, 2, 3])
    assert taken_s == {0: 50.0, 1: 48.75, 2: 47.5, 3: 46.25}
    assert legs == [(3, 2, 46.25, 47.5), (2, 1, 47.5, 48.75), (1, 0, 48.75, 50.0)]


def test_nodes_that_give_nothing_pass_on_what_comes_and_others_have_no_leg() -> None:
    taken_s, legs = gathered(CHAIN, 1, 50.0, [3])
    assert taken_s == {3: 47.5}
    assert legs == [(3, 2, 47.5, 48.75), (2, 1, 48.75, 50.0)]


def test_the_site_alone_sends_nothing_and_gives_at_the_deadline() -> None:
    assert gathered(CHAIN, 2, 50.0, [2]) == ({2: 50.0}, [])


def test_two_branches_share_the_legs_from_where_they_meet() -> None:
    """3 and 4 meet at 1, 2 joins at the site: five nodes, four legs."""
    star = [(1, 0, 0.0, 100.0), (2, 0, 0.0, 100.0), (3, 1, 0.0, 30.0), (4, 1, 0.0, 40.0)]
    taken_s, legs = gathered(contacts(5, star, 100.0, 1e6, 0.0), 0, 50.0, [0, 1, 2, 3, 4])
    assert taken_s == {0: 50.0, 1: 49.0, 2: 49.0, 3: 29.0, 4: 39.0}
    assert legs == [(3, 1, 29.0, 30.0), (4, 1, 39.0, 40.0), (1, 0, 49.0, 50.0), (2, 0, 49.0, 50.0)]


def test_what_is_booked_is_kept_out_of_the_way() -> None:
    bookings, net = Bookings(), Network(CHAIN)
    bookings.add(departures(CHAIN, 0, 50.0).leg(1), 0)
    tree = latest_departures(net, bookings, 0, 50 * S, MBIT)
    snapshots, legs = gather_by(tree, 0, 50 * S, [1, 2], one_size)
    assert snapshots == ((1, 47_750_000), (2, 46_500_000))
    assert [row(leg) for leg in legs] == [(2, 1, 46.5, 47.75), (1, 0, 47.75, 49.0)]


@pytest.mark.parametrize("site", range(5))
def test_messages_that_take_no_time_leave_together_and_those_from_farther_away_go_first(site: int) -> None:
    plan = contacts(5, ring(5, 100.0), 100.0, math.inf, 0.0)
    taken_s, legs = gathered(plan, site, 50.0, range(5))
    assert set(taken_s.values()) == {50.0}
    assert len(legs) == 4
    near = {(site + 1) % 5, (site - 1) % 5}
    assert [leg[0] in near for leg in legs] == [False, False, True, True]
    has = {site}
    for source, dest, start_s, arrival_s in reversed(legs):
        assert dest in has
        assert (start_s, arrival_s) == (50.0, 50.0)
        has.add(source)


def test_a_long_way_through_links_that_take_no_time_is_gone_node_by_node() -> None:
    """Names in no order along the way."""
    way = [0, 5, 1, 4, 2, 3]
    windows = [(a, b, 0.0, 100.0) for a, b in itertools.pairwise(way)]
    _, legs = gathered(contacts(6, windows, 100.0, math.inf, 0.0), 0, 50.0, [3])
    assert [(source, dest) for source, dest, _, _ in legs] == [(3, 2), (2, 4), (4, 1), (1, 5), (5, 0)]


def test_a_message_in_pieces_is_one_leg() -> None:
    """Half a second of each of three windows, of which the last two are needed."""
    plan = one_way([(1, 0, 10.0, 10.5), (1, 0, 20.0, 20.5), (1, 0, 30.0, 30.5)], 2)
    snapshots, legs = gather_by(departures(plan, 0, 50.0), 0, 50 * S, [1], one_size)
    assert snapshots == ((1, 20 * S),)
    assert [[(p.start_us / S, p.end_us / S, p.bits) for p in leg.pieces] for leg in legs] == [
        [(20.0, 20.5, MBIT // 2), (30.0, 30.5, MBIT // 2)]
    ]
