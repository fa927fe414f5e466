"""``asynchronous``: local SGD merged on arrival, one node at a time (arXiv 2401.09135).

A node that has trained H_w inner steps since its last contribution sends its outer gradient to the site, of those that
hold the model, where it arrives first; it trains on. The site merges it as it comes, alone, and sends the new version
to that node only, which keeps what it trained meanwhile. Where several sites hold the model, a contribution waits until
the newest version, made at another, has come.

*Dynamic local updates*: H_w = floor(v_w / v_max x H), and at least 1, so that slow nodes and those that are long in the
dark contribute about as often as the fastest. The pace v_w is counted every two hours, over the two hours before: more
than a low orbit, so that every node's nights count alike. It is H until the first count.

Delayed Nesterov momentum, which the paper adds, is the outer optimizer's matter and not the schedule's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from orbital_train.schedule import known
from orbital_train.schedule.known import Adoption, Decision, Event, Key, View
from orbital_train.schedule.policies.contributions import (
    RETRY_US,
    Carried,
    Contributions,
    drain,
    drain_again,
    drain_one,
    has_enough,
    offer,
    refuse,
)
from orbital_train.schedule.routes import earliest_arrivals

WHOLE = 0  # the model is one fragment
PACE_US = 7_200_000_000  # between two counts


@dataclass(frozen=True, slots=True)
class AsynchronousMemory:
    """Contributions, each node's steps at the last count, and its H_w since."""

    contributions: Contributions = field(default_factory=Contributions)
    steps: dict[int, int] = field(default_factory=dict)  # never changed in place, as the other one
    goals: dict[int, int] = field(default_factory=dict)


Decided = tuple[list[Decision], AsynchronousMemory]


@dataclass(frozen=True, kw_only=True)
class Asynchronous:
    """See the module's docstring. ``home`` are nodes or sites that hold the model, one at least."""

    inner_steps: int
    home: tuple[int, ...]
    weights: Literal["uniform", "tokens"] = "tokens"  # of no consequence for merges of one
    name: str = "asynchronous"

    @property
    def adoption(self) -> Adoption:
        """Nobody waits, so everybody has something to keep."""
        return Adoption("keep")

    @property
    def wants(self) -> frozenset[type[Event]]:
        """Every node decides for itself."""
        nodes = {known.GoalReached, known.Adopted, known.Lost, known.NodeDown}
        return frozenset(nodes | {known.Started, known.Gathered, known.Merged, known.Woke, known.BudgetReached})

    def start(self) -> AsynchronousMemory:
        """Nothing was sent."""
        return AsynchronousMemory()

    def decide(self, event: Event, view: View, memory: AsynchronousMemory) -> Decided:
        """One rule an event."""
        match event:
            case known.Started():
                return self._count(view, memory)
            case known.Woke("count"):
                return ([], memory) if view.draining else self._count(view, memory)
        decisions, have = self._carry(event, view, memory)
        return decisions, replace(memory, contributions=have)

    def _count(self, view: View, memory: AsynchronousMemory) -> Decided:
        """Count everybody's steps since the last time."""
        steps = {i: view.node(i, WHOLE).steps for i in view.training_nodes}
        trained = {i: n - memory.steps.get(i, 0) for i, n in steps.items()}
        most = max(trained.values())
        goals = {i: max(1, self.inner_steps * n // most) if most else self.inner_steps for i, n in trained.items()}
        memory = AsynchronousMemory(memory.contributions, steps, goals)
        begin = [known.Train(i, goals[i]) for i in view.training_nodes] if view.now_us == 0 else []
        return [*begin, known.Wake(view.now_us + PACE_US, "count")], memory

    def _carry(self, event: Event, view: View, memory: AsynchronousMemory) -> Carried:
        have, nearest = memory.contributions, partial(self._nearest, view)
        match event:
            case known.Adopted(node) if view.draining:
                return drain_one(view, node, WHOLE, nearest(node), have)
            case known.Adopted(node) if not has_enough(view.node(node, WHOLE), memory.goals[node]):
                return [], have
            case known.GoalReached(node) | known.Adopted(node):
                return offer(view.node(node, WHOLE), memory.goals[node], nearest, have)
            case known.Gathered(key):
                return self._merge(view, key, have), have.arrived(key)
            case known.Woke(note) if note.startswith("merge"):
                node, steps = (int(part) for part in note.split()[1:])
                key = (node, WHOLE, steps)
                return (self._merge(view, key, have) if key in have.come else []), have
            case known.Merged():
                have = have.without(frozenset(key for key in have.come if not view.gathered(key)))
                return drain(view, nearest, have) if view.draining else ([], have)
            case known.Lost(key):
                return refuse(frozenset({key}), have)
            case known.NodeDown(node) if node in self.home and len(self.home) > 1:
                return refuse(frozenset(key for key, site in have.sent.items() if site == node), have)
            case known.BudgetReached() | known.Woke():
                return drain_again(view, nearest, have)
        return [], have

    # -- at a node ---

    def _nearest(self, view: View, node: int) -> int:
        """Where a message from this node arrives first."""
        if len(self.home) == 1:
            return self.home[0]
        found = earliest_arrivals(
            view.network, view.bookings, {node: view.now_us}, view.fragment_bits, self.home, view.down
        ).arrival_us
        return min(self.home, key=lambda site: (found.get(site, view.horizon_us + 1), site in view.down, site))

    # -- at a site ---

    def _merge(self, view: View, key: Key, have: Contributions) -> list[Decision]:
        """Merge a contribution once its site has the newest version; try again if it could not."""
        node, _, steps = key
        ready_us = view.result_arrival_us(have.sent[key], WHOLE, view.version(WHOLE))
        if ready_us is not None and ready_us > view.now_us:
            return [known.Wake(ready_us, f"merge {node} {steps}")]
        again = known.Wake(view.now_us + RETRY_US, f"merge {node} {steps}")
        return [again] if ready_us is None else [known.MergeNow(WHOLE, (key,), (node,)), again]
