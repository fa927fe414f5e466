"""``streaming``: Streaming DiLoCo (arXiv 2501.18512): one fragment of the model at a time, results adopted late.

A node sends one of P fragments every H/P inner steps of its own and never waits: the one that it has sent nothing of
for longest, among those whose last result it has adopted. Where a message that leaves at the node's next turn would
arrive no later, as in a gap between contacts, it leaves then: a snapshot taken now would only grow old. (All fragments
are of one size, so what fits the coming window decides whether one is sent, and not which.)

The site merges a fragment when every node that is up has contributed, or ``timeout_s`` after a round's first
contribution came in. A node takes the result at its first step boundary ``overlap_steps`` (tau) steps after its
snapshot, or later when it comes later, and blends it into its replica with weight ``alpha``. A node that has no part
in a version blends it too, and so keeps only 1 - alpha of what it has trained: the algorithm's price for being out of
touch. While the site is down, the first node that is up takes its place, unless the site alone holds the model
(``home``).
"""

from __future__ import annotations

from dataclasses import dataclass
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
    is_free,
    refuse,
    send,
    site_now,
)
from orbital_train.schedule.routes import earliest_arrivals


@dataclass(frozen=True, kw_only=True)
class Streaming:
    """See the module's docstring. ``site`` is a node index."""

    inner_steps: int
    site: int
    timeout_s: float
    overlap_steps: int = 5
    alpha: float = 0.5
    weights: Literal["uniform", "tokens"] = "tokens"
    home: tuple[int, ...] = ()
    name: str = "streaming"

    @property
    def adoption(self) -> Adoption:
        """Results are blended in, no sooner than tau steps after the snapshot."""
        return Adoption("blend", self.alpha, self.overlap_steps)

    @property
    def wants(self) -> frozenset[type[Event]]:
        """Every node decides for itself."""
        nodes = {known.GoalReached, known.Adopted, known.Lost, known.NodeDown, known.NodeBack}
        return frozenset(nodes | {known.Started, known.Gathered, known.Merged, known.Woke, known.BudgetReached})

    def start(self) -> Contributions:
        """Nothing was sent."""
        return Contributions()

    def decide(self, event: Event, view: View, memory: Contributions) -> Carried:
        """One rule an event."""
        match event:
            case known.Started():
                return [known.Train(i, self._turn_steps(view)) for i in view.training_nodes], memory
            case known.GoalReached(node):
                return self._take_turn(view, node, memory)
            case known.Gathered(key):
                return self._collect(view, key, memory)
            case known.Woke(note) if note.startswith("close"):
                _, fragment, version = note.split()
                current = view.version(int(fragment)) == int(version)
                return (self._merge(view, int(fragment), memory) if current else []), memory
            case known.Merged(fragment):
                memory = memory.without(memory.of(fragment))
                return drain(view, lambda _: self._site(view), memory) if view.draining else ([], memory)
            case known.Lost(key):
                return refuse(frozenset({key}), memory)
            case known.NodeDown() | known.NodeBack():
                return refuse(memory.elsewhere(self._site(view)), memory)
            case known.Adopted(node, fragment) if view.draining:
                return drain_one(view, node, fragment, self._site(view), memory)
            case known.BudgetReached() | known.Woke():
                return drain_again(view, lambda _: self._site(view), memory)
        return [], memory

    def _turn_steps(self, view: View) -> int:
        return max(1, self.inner_steps // view.fragments)

    def _site(self, view: View) -> int:
        return self.site if self.home else site_now(view, self.site)

    # -- at a node ---

    def _take_turn(self, view: View, node: int, memory: Contributions) -> Carried:
        states = [view.node(node, fragment) for fragment in range(view.fragments)]
        decisions: list[Decision] = [known.Train(node, states[0].steps + self._turn_steps(view))]
        stalest = max((s for s in states if is_free(s)), key=lambda s: (s.unmerged_steps, -s.fragment), default=None)
        if stalest is None:
            return decisions, memory
        site = self._site(view)
        if not self._gains(view, node, site):
            return decisions, memory
        sends, memory = send(stalest, site, memory)
        return [*decisions, *sends], memory

    def _gains(self, view: View, node: int, site: int) -> bool:
        """Whether a message to the site that leaves now is there before one that leaves at the node's next turn."""
        next_us = view.now_us + self._turn_steps(view) * view.step_us
        arrives_us, later_us = (
            earliest_arrivals(
                view.network, view.bookings, {node: at_us}, view.fragment_bits, (site,), view.down
            ).arrival_us.get(site)
            for at_us in (view.now_us, next_us)
        )
        trains_on = view.timeline(node, next_us)[1][-1] >= view.node(node, 0).steps + self._turn_steps(view)
        return arrives_us is not None and not (trains_on and arrives_us == later_us)

    # -- at the site ---

    def _collect(self, view: View, key: Key, memory: Contributions) -> Carried:
        fragment, memory = key[1], memory.arrived(key)
        come = memory.of(fragment)
        if self._all_in(view, fragment, come):
            return self._merge(view, fragment, memory), memory
        closes_us = view.now_us + round(self.timeout_s * 1e6)
        return ([known.Wake(closes_us, _close_note(view, fragment))] if len(come) == 1 else []), memory

    def _all_in(self, view: View, fragment: int, come: frozenset[Key]) -> bool:
        if not view.draining and len(come) < len(view.training_nodes) - len(view.down):
            return False
        nodes = {key[0] for key in come}
        missing = (i for i in view.training_nodes if i not in nodes and i not in view.down)
        return all(view.draining and view.node(i, fragment).unmerged_steps == 0 for i in missing)

    def _merge(self, view: View, fragment: int, memory: Contributions) -> list[Decision]:
        """Merge what has come; try again if the site could not."""
        keys = memory.of(fragment)
        if not keys:
            return []
        to = tuple(i for i in view.training_nodes if i not in view.down) if self.home else ()
        again = known.Wake(view.now_us + RETRY_US, _close_note(view, fragment))
        return [known.MergeNow(fragment, tuple(sorted(keys)), to), again]


def _close_note(view: View, fragment: int) -> str:
    """Names the round that is open now, so that a wake-up meant for an earlier one closes none."""
    return f"close {fragment} {view.version(fragment)}"
