"""Properties of planned all-reduces, on random contacts with gaps, rates and light times."""

from __future__ import annotations

import math
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from orbital_train.schedule.bookings import Bookings
from orbital_train.schedule.collectives.choose import best
from orbital_train.schedule.collectives.pairwise import pairwise
from orbital_train.schedule.collectives.plan import Collective, Wanted
from orbital_train.schedule.collectives.ring import ring
from orbital_train.schedule.collectives.tree import tree
from orbital_train.schedule.network import Network
from orbital_train.schedule.routes import earliest_arrivals
from tests.unit.schedule.scenarios import contacts

S = 1_000_000


def sum_bits(bits: int, most: int, count: int) -> int:
    """As large as what is added up, up to some size."""
    return min(count, most) * bits


@st.composite
def all_reduces(draw: st.DrawFn) -> Wanted:
    """Two to seven nodes, one perhaps a relay, mostly linked most of the time."""
    nodes, horizon_s = draw(st.integers(2, 7)), 1000.0
    windows = [(a, (a + 1) % nodes, 0.0, horizon_s) for a in range(nodes) if draw(st.integers(0, 5))]
    for _ in range(draw(st.integers(0, 10))):
        a, b = draw(st.permutations(range(nodes)))[:2]
        start_s = float(draw(st.integers(0, 300)))
        windows.append((a, b, start_s, start_s + draw(st.integers(1, 600))))
    if not windows:
        windows = [(0, 1, 0.0, horizon_s)]
    taking_part = range(nodes - draw(st.integers(0, nodes > 2)))
    bits = draw(st.sampled_from([1, 1_000_001, 8_000_000]))
    return Wanted(
        network=Network(contacts(nodes, windows, horizon_s, draw(st.sampled_from([1e6, math.inf])), 0.02)),
        bookings=Bookings(),
        now_us=0,
        ready_us={i: draw(st.integers(0, 100)) * S for i in taking_part},
        message_bits=bits,
        sum_bits=partial(sum_bits, bits, draw(st.integers(1, 4))),
        sites=range(nodes),
    )


def assert_adds_up(plan: Collective, wanted: Wanted) -> None:
    """Done as it says, it brings everything to everybody once: hops follow on each other, and no edge is used twice."""
    everything = frozenset(wanted.ready_us)
    snapshots = dict(plan.snapshots)
    assert snapshots.keys() == everything
    assert all(snapshots[node] >= ready_us for node, ready_us in wanted.ready_us.items())
    has = {(i, part): (frozenset({i}), snapshots[i]) for i in everything for part in range(plan.parts)}
    taken = wanted.bookings.fork()
    for move in plan.moves:
        holds, at_us = has[move.source, move.part]
        assert move.total == (holds == everything)
        size = wanted.message_bits if move.total else wanted.sum_bits(len(holds))
        for hop in move.route:
            assert hop.start_us >= at_us
            assert sum(piece.bits for piece in hop.pieces) == math.ceil(size / plan.parts)
            taken.add(hop, 0)  # it asserts that the stretch is free
            at_us = hop.arrival_us
        before, since_us = has.get((move.dest, move.part), (frozenset(), 0))
        if move.total:
            assert move.dest not in everything or before != everything
            has[move.dest, move.part] = (everything, at_us)
        else:
            del has[move.source, move.part]
            assert not before & holds
            has[move.dest, move.part] = (before | holds, max(at_us, since_us))
    for node, complete_us in plan.complete_us:
        mine = [has[node, part] for part in range(plan.parts)]
        assert all(holds == everything for holds, _ in mine)
        assert max(since_us for _, since_us in mine) == complete_us


@given(wanted=all_reduces())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_everything_is_added_up_once_and_the_best_is_chosen(wanted: Wanted) -> None:
    late_us = wanted.network.horizon_us
    plans = [plan for plan in (tree(wanted), ring(wanted, late_us), pairwise(wanted, late_us)) if plan is not None]
    for plan in plans:
        assert_adds_up(plan, wanted)
    chosen = best(wanted, in_parts=True)
    if chosen is None:
        assert not plans
    else:
        assert (chosen.last_us, chosen.hops) == min((plan.last_us, plan.hops) for plan in plans)


@given(wanted=all_reduces())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_on_a_tree_the_sum_is_complete_when_the_last_could_be_there_at_the_earliest(wanted: Wanted) -> None:
    plan = tree(wanted)
    if plan is None:
        return
    largest_bits = wanted.sum_bits(len(wanted.ready_us))
    arrivals = [
        earliest_arrivals(wanted.network, wanted.bookings, {i: t}, largest_bits) for i, t in wanted.ready_us.items()
    ]
    there_us = max(found.arrival_us[plan.site] for found in arrivals)
    back = earliest_arrivals(wanted.network, wanted.bookings, {plan.site: there_us}, wanted.message_bits)
    assert plan.last_us == max(back.arrival_us[i] for i in wanted.ready_us)
