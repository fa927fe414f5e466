"""All-reduces by hand: 3.2 s a message and hop, in parts of it, and 10 ms of light."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from orbital_train.schedule.bookings import Bookings
from orbital_train.schedule.collectives.choose import best
from orbital_train.schedule.collectives.pairwise import pairwise
from orbital_train.schedule.collectives.plan import MOST_NODES, Collective, Wanted
from orbital_train.schedule.collectives.ring import ring
from orbital_train.schedule.collectives.tree import tree
from orbital_train.schedule.network import Network
from tests.unit.schedule.scenarios import Window, contacts
from tests.unit.schedule.scenarios import ring as ring_of

S = 1_000_000
BITS = 32_000_000
LATE_US = 900 * S


def wanted(
    nodes: int,
    windows: Sequence[Window],
    *,
    taking_part: Sequence[int] | None = None,
    rate_bps: float = 1e7,
    owlt_s: float = 0.01,
    bits: int = BITS,
) -> Wanted:
    return Wanted(
        network=Network(contacts(nodes, windows, 1000.0, rate_bps, owlt_s)),
        bookings=Bookings(),
        now_us=0,
        ready_us=dict.fromkeys(range(nodes) if taking_part is None else taking_part, 0),
        message_bits=bits,
        sum_bits=lambda count: bits,
        sites=range(nodes),
    )


def mesh(nodes: int) -> list[Window]:
    return [(a, b, 0.0, 1000.0) for a, b in itertools.combinations(range(nodes), 2)]


def ends(plan: Collective | None) -> tuple[str, float, int]:
    assert plan is not None
    assert {node for node, _ in plan.snapshots} == {node for node, _ in plan.complete_us}
    return plan.name, plan.last_us / S, plan.hops


def test_on_a_ring_of_four() -> None:
    """Six stages of a quarter; two hops there and two back; pairs at distance two go over a third node."""
    asked = wanted(4, ring_of(4, 1000.0))
    assert ends(ring(asked, LATE_US)) == ("ring", 6 * 0.81, 24)
    assert ends(tree(asked)) == ("tree", 4 * 3.21, 6)
    assert ends(pairwise(asked, LATE_US)) == ("pairwise", 6.43, 32)
    assert ends(best(asked, in_parts=True)) == ("ring", 4.86, 24)
    assert ends(best(asked, in_parts=False)) == ("tree", 12.84, 6)


def test_two_nodes_exchange_halves() -> None:
    asked = wanted(2, [(0, 1, 0.0, 1000.0)])
    assert ends(ring(asked, LATE_US)) == ("ring", 2 * 1.61, 4)
    assert ends(pairwise(asked, LATE_US)) == ("pairwise", 2 * 1.61, 4)
    assert ends(best(asked, in_parts=True)) == ("ring", 3.22, 4)


def test_where_all_are_linked_pairs_are_soonest() -> None:
    """Half of the message and a quarter, there and back, and a part goes on as soon as it has come: five quarters."""
    asked = wanted(4, mesh(4))
    assert ends(tree(asked)) == ("tree", 2 * 3.21, 6)
    assert ends(ring(asked, LATE_US)) == ("ring", 4.86, 24)
    assert ends(pairwise(asked, LATE_US)) == ("pairwise", 4.04, 24)
    plan = best(asked, in_parts=True)
    assert plan is not None
    assert plan.name == "pairwise"


def test_on_a_star_the_middle_is_the_site_and_there_is_no_ring() -> None:
    asked = wanted(5, [(leaf, 4, 0.0, 1000.0) for leaf in range(4)], taking_part=range(4))
    plan = best(asked, in_parts=True)
    assert ends(plan) == ("tree", 6.42, 8)
    assert plan is not None
    assert plan.site == 4
    assert ring(asked, LATE_US) is None
    assert ends(pairwise(asked, LATE_US))[1] > 6.42


def test_a_number_that_is_no_power_of_two_is_folded() -> None:
    """Node 2 gives node 0 all that it has, both halves, and gets them back when they are complete."""
    plan = pairwise(wanted(3, mesh(3)), LATE_US)
    assert plan is not None
    assert (plan.parts, plan.holds()) == (2, [1, 1, 1, 3, 3, 2, 3, 3])
    first, last = plan.moves[0], plan.moves[-1]
    assert (first.source, first.dest, first.total) == (2, 0, False)
    assert (last.source, last.dest, last.total) == (0, 2, True)
    # the first half is complete at node 0 at 1.61 s; the second leaves node 2 at 1.6 s, node 0 at 3.21 s, and is
    # complete at node 1 at 4.82 s, from where it goes back the same way
    assert dict(plan.complete_us) == {0: 6_430_000, 1: 4_820_000, 2: 8_040_000}


def test_no_time_at_all_is_decided_by_hops() -> None:
    asked = wanted(4, mesh(4), rate_bps=math.inf, owlt_s=0.0)
    assert [ends(planner(asked, LATE_US)) for planner in (ring, pairwise)] == [("ring", 0, 24), ("pairwise", 0, 24)]
    plan = best(asked, in_parts=True)
    assert ends(plan) == ("tree", 0, 6)
    assert plan is not None
    assert plan.site == 0


def test_a_ring_of_twelve_at_100_gbps() -> None:
    """8 billion parameters of 16 bits: 1.28 s a message; 11.8 ms of light to the neighbour at 500 km."""
    asked = wanted(12, ring_of(12, 1000.0), rate_bps=1e11, owlt_s=0.0118, bits=128 * 10**9)
    assert ends(tree(asked)) == ("tree", pytest.approx(12 * (1.28 + 0.0118)), 22)
    name, last_s, hops = ends(ring(asked, LATE_US))
    assert (name, hops) == ("ring", 264)
    assert last_s == pytest.approx(22 * (1.28 / 12 + 0.0118), abs=22e-6)  # whole microseconds, rounded up
    assert ends(best(asked, in_parts=True))[0] == "ring"


def test_the_site_waits_for_the_last_and_earlier_ones_leave_as_late() -> None:
    """A chain; node 2 is ready at 50 s, and has the others' sum then. At node 1 the sum would be there later, and with
    all at the same time: 56.42 s, after four hops."""
    asked = replace(wanted(3, [(0, 1, 0.0, 1000.0), (1, 2, 0.0, 1000.0)]), ready_us={0: 0, 1: 0, 2: 50 * S})
    plan = tree(asked)
    assert plan is not None
    assert (plan.site, plan.last_us) == (2, 56_420_000)
    assert dict(plan.snapshots) == {0: 43_580_000, 1: 46_790_000, 2: 50 * S}
    assert dict(plan.complete_us) == {0: 56_420_000, 1: 53_210_000, 2: 50 * S}


def test_a_ring_takes_links_that_are_open_soon() -> None:
    """Nodes 0, 1, 2, 3 in this order would wait for the link of 1 and 2 until 100 s; 0, 1, 3, 2 need not."""
    windows = [(0, 1, 0.0, 1000.0), (1, 2, 100.0, 1000.0), (2, 3, 0.0, 1000.0), (0, 3, 100.0, 1000.0)]
    windows += [(1, 3, 0.0, 1000.0), (0, 2, 0.0, 1000.0)]
    plan = ring(wanted(4, windows), LATE_US)
    assert plan is not None
    assert [node for node, _ in plan.snapshots] == [0, 1, 3, 2]
    assert plan.last_us == 4_860_000


def test_there_is_no_ring_where_a_node_has_one_neighbour() -> None:
    chain = [(0, 1, 0.0, 1000.0), (1, 2, 0.0, 1000.0)]
    assert ring(wanted(3, chain), LATE_US) is None
    grid = [(a, b, 0.0, 1000.0) for a, b in ((0, 1), (1, 2), (3, 4), (4, 5), (6, 7), (7, 8))]
    grid += [(a, a + 3, 0.0, 1000.0) for a in range(6)]
    assert ring(wanted(9, grid), LATE_US) is None  # of nine squares the corners are one too many
    assert ring(wanted(6, [w for w in grid if w[1] < 6]), LATE_US) is not None


def test_plans_that_come_too_late_are_not_finished() -> None:
    asked = wanted(4, ring_of(4, 1000.0))
    assert ring(asked, 4_859_999) is None
    assert ring(asked, 4_860_000) is not None
    assert pairwise(asked, 6_429_999) is None


def test_one_node_has_it_all() -> None:
    plan = best(wanted(2, [(0, 1, 0.0, 1000.0)], taking_part=[1]), in_parts=True)
    assert plan is not None
    assert (plan.name, plan.site, plan.moves, plan.complete_us) == ("tree", 1, (), ((1, 0),))


def test_a_node_out_of_reach_leaves_no_plan() -> None:
    assert best(wanted(3, [(0, 1, 0.0, 1000.0)]), in_parts=True) is None
    asked = wanted(3, [(0, 1, 0.0, 1000.0), (1, 2, 0.0, 1000.0)], taking_part=[0, 2])
    assert best(asked, in_parts=True) is not None
    assert best(replace(asked, avoid=[1]), in_parts=True) is None


def test_large_fleets_go_on_trees() -> None:
    count = MOST_NODES + 1
    asked = wanted(count, ring_of(count, 1000.0))
    assert ring(asked, LATE_US) is None
    assert pairwise(asked, LATE_US) is None
    assert ends(best(asked, in_parts=True)) == ("tree", pytest.approx(2 * 32 * 3.21), 2 * (count - 1))


def test_sums_may_be_larger_than_what_they_add_up() -> None:
    """On a chain of three to the far end: one message of 3.2 s, a sum of 6.4 s, and 3.2 s a hop back."""
    chain = wanted(3, [(0, 1, 0.0, 1000.0), (1, 2, 0.0, 1000.0)])
    asked = replace(chain, sum_bits=lambda count: min(count, 2) * BITS, sites=[2])
    plan = tree(asked)
    assert plan is not None
    there = [sum(piece.bits for piece in move.route[0].pieces) for move in plan.moves if not move.total]
    assert there == [BITS, 2 * BITS]
    # planned for a sum on either hop, the first of which then turns out to be one message and leaves 3.2 s later
    assert dict(plan.snapshots) == {0: 3_200_000, 1: 6_410_000, 2: 12_820_000}
    assert plan.last_us == 12_820_000 + 2 * 3_210_000


def test_sums_may_grow_with_what_is_in_them() -> None:
    """A ring of four: a quarter of one, two and three messages, and of one again once it is complete."""
    asked = replace(wanted(4, ring_of(4, 1000.0)), sum_bits=lambda count: count * BITS)
    plan = ring(asked, LATE_US)
    assert plan is not None
    assert plan.last_us == 810_000 + 1_610_000 + 2_410_000 + 3 * 810_000
    # in pairs: two quarters of one message each, then a quarter of two, and back
    found = pairwise(replace(asked, network=Network(contacts(4, mesh(4), 1000.0, 1e7, 0.01))), LATE_US)
    assert found is not None
    sizes = [sum(piece.bits for piece in move.route[0].pieces) * 4 // BITS for move in found.moves]
    assert sorted(sizes) == [1] * 20 + [2] * 4
    # on a tree over a chain to its end, the message of the farthest goes 3.2 s after it would as a sum of four
    chain = wanted(4, [(a, a + 1, 0.0, 1000.0) for a in range(3)])
    tree_plan = tree(replace(chain, sum_bits=lambda count: count * BITS, sites=[3]))
    assert tree_plan is not None
    there = [sum(piece.bits for piece in move.route[0].pieces) for move in tree_plan.moves if not move.total]
    assert there == [BITS, 2 * BITS, 3 * BITS]
