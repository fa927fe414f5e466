"""The blocking form of ``fixed_period``: one all-reduce of everybody's progress, when everybody has got so far.

A node that has trained H steps waits. When all that are not known to be down do, their outer gradients are added up and
brought back by whatever collective has the last of them going again first (:mod:`orbital_train.schedule.collectives`).
If one of them fails meanwhile, or a message of a collective in parts is lost, or it takes much longer than planned, it
is begun again with those that are up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from orbital_train.schedule import known
from orbital_train.schedule.collectives.choose import best
from orbital_train.schedule.collectives.plan import Collective, Wanted
from orbital_train.schedule.known import Decision, Event, NodeView, View

WHOLE = 0  # the model is one fragment
LATE_US = 60_000_000  # after a round should have ended, before it is given up


@dataclass(frozen=True, slots=True)
class Round:
    """The round that is under way, or the one that is waited for."""

    number: int = 0
    nodes: tuple[int, ...] = ()  # whose outer gradients are on their way; none: it has not begun
    site: int = -1  # where they meet, if it is one place
    expected: int = 0  # nodes that will yet say that they are ready: looking at each costs time in large fleets


Decided = tuple[list[Decision], Round]


def decide(inner_steps: int | None, event: Event, view: View, now: Round) -> Decided:
    """One rule an event."""
    match event:
        case known.Started():
            return [_train(inner_steps, view, i) for i in view.training_nodes], _awaited(view, now.number)
        case known.GoalReached(node):
            decisions, now = _one_more(view, now)
            return [known.Hold(node), *decisions], now
        case known.Adopted() if view.draining:
            return _one_more(view, now)
        case known.Adopted(node):
            return [_train(inner_steps, view, node)], now
        case known.Gathered((number,)) if number == now.number and now.nodes:
            return [known.MergeNow(WHOLE, ((number,),), now.nodes)], now
        case known.Merged():
            now = _awaited(view, now.number)
            return _begin(inner_steps, view, now) if view.draining else ([], now)
        case known.Lost((number,)) if number == now.number and now.nodes:
            return _again(view, now)
        case known.Woke(note) if note == f"late {now.number}" and now.nodes:
            return _again(view, now)
        case known.NodeDown(node) if node in now.nodes or node == now.site:
            return _again(view, now)
        case known.NodeDown() | known.NodeBack() | known.BudgetReached() | known.Woke("begin"):
            return _begin(inner_steps, view, now)
    return [], now


def _train(inner_steps: int | None, view: View, node: int) -> Decision:
    return known.Train(node, None if inner_steps is None else view.node(node, WHOLE).steps + inner_steps)


def _up(view: View) -> list[int]:
    return [i for i in view.training_nodes if i not in view.down]


def _awaited(view: View, number: int) -> Round:
    """No round is under way, and everybody is waited for."""
    return Round(number, expected=len(_up(view)))


def _one_more(view: View, now: Round) -> Decided:
    """A node is ready; begin if it is the last."""
    now = replace(now, expected=now.expected - 1)
    return [known.Wake(view.now_us, "begin")] if now.expected <= 0 else [], now


def _begin(inner_steps: int | None, view: View, now: Round) -> Decided:
    """Begin a round if everybody is ready; finish if the run ends and nothing is left."""
    if now.nodes:
        return [], now
    up = [view.node(i, WHOLE) for i in _up(view)]
    left = [state for state in up if state.unmerged_steps]
    if view.draining and not left:
        return [known.Finish()], now
    ready = [state for state in up if _waits(view, state)]
    # Who has come back may have nothing yet.
    idle = [] if view.draining else [state for state in ready if not state.unmerged_steps]
    late = sum(not _waits(view, state) for state in (left if view.draining else up)) + len(idle)
    if late:
        return [_train(inner_steps, view, state.node) for state in idle], replace(now, expected=late)
    nodes = tuple(state.node for state in left)
    plan = best(_wanted(view, nodes), in_parts=set(nodes) <= set(view.holders))
    if plan is None:
        return [], now  # until another node is back that has the links to carry it
    now = Round(now.number + 1, nodes, plan.site)
    return [_as_planned((now.number,), plan), known.Wake(plan.last_us + LATE_US, f"late {now.number}")], now


def _waits(view: View, state: NodeView) -> bool:
    """Whether a node waits with the newest version and what it has made of it."""
    newest = state.base_version == view.version(WHOLE) and state.waiting_for is None
    return state.holding and newest and not state.under_way


def _wanted(view: View, nodes: tuple[int, ...]) -> Wanted:
    return Wanted(
        network=view.network,
        bookings=view.bookings,
        now_us=view.now_us,
        ready_us=dict.fromkeys(nodes, view.now_us),
        message_bits=view.fragment_bits,
        sum_bits=view.sum_bits,
        sites=_sites(view, nodes),
        avoid=view.down,
    )


def _sites(view: View, nodes: tuple[int, ...]) -> list[int]:
    """Where it can be merged: who holds the global model must have its newest version."""
    taking_part, holding = set(nodes), set(view.holders)
    arrival_us = {i: view.result_arrival_us(i, WHOLE, view.version(WHOLE)) for i in holding - taking_part}
    behind = {i for i, at_us in arrival_us.items() if at_us is None or at_us > view.now_us}
    return [site for site in view.sites if site not in behind]


def _as_planned(key: known.Key, plan: Collective) -> Decision:
    """On a tree, it is a gathering; the way back from its site is that of every merge."""
    if plan.parts > 1:
        return known.AllReduce(key, WHOLE, plan)
    legs = tuple(hop for move in plan.moves if not move.total for hop in move.route)
    return known.Gather(key, WHOLE, plan.site, plan.snapshots, legs)


def _again(view: View, now: Round) -> Decided:
    """Give up a round, and begin it again with those that are up."""
    return [known.Discard((now.number,)), known.Wake(view.now_us, "begin")], _awaited(view, now.number)
