"""``quorum``: decoupled merging (arXiv 2604.21428): merge when K of M have contributed, and a moment later.

A node that has trained H inner steps since its last contribution sends its outer gradient to the site, and trains on:
nodes never wait. When ``quorum`` of the nodes that are up (all, if fewer are) have contributed, the site waits a grace
window for others that are about to come, then merges what it has; who comes later is in the next merge, stale by the
versions between.

The grace window is ``grace`` times the usual spread, and no longer than H inner steps. The spread of a round is the
time from its first contribution to the one that made the quorum; the usual spread is its running mean, in which each
new round counts a quarter: contributions that come close together are worth a short wait, scattered ones a longer one.

The paper weighs contributions by tokens^2 / steps. Here every node takes the same tokens in a step, however long the
step is, so that this is proportional to its tokens: ``weights = "tokens"``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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
    site_now,
)

WHOLE = 0  # the model is one fragment


@dataclass(frozen=True, slots=True)
class QuorumMemory:
    """Contributions, when the open round's first one came in, and the usual spread."""

    contributions: Contributions = field(default_factory=Contributions)
    first_us: int = 0
    spread_us: int | None = None


Decided = tuple[list[Decision], QuorumMemory]


@dataclass(frozen=True, kw_only=True)
class Quorum:
    """See the module's docstring. ``site`` is a node index; with ``home`` it alone holds the model."""

    inner_steps: int
    quorum: int
    site: int
    grace: float = 0.5
    weights: Literal["uniform", "tokens"] = "tokens"
    home: tuple[int, ...] = ()
    name: str = "quorum"

    @property
    def adoption(self) -> Adoption:
        """Nobody waits, so everybody has something to keep."""
        return Adoption("keep")

    @property
    def wants(self) -> frozenset[type[Event]]:
        """Every node decides for itself."""
        nodes = {known.GoalReached, known.Adopted, known.Lost, known.NodeDown, known.NodeBack}
        return frozenset(nodes | {known.Started, known.Gathered, known.Merged, known.Woke, known.BudgetReached})

    def start(self) -> QuorumMemory:
        """Nothing was sent."""
        return QuorumMemory()

    def decide(self, event: Event, view: View, memory: QuorumMemory) -> Decided:
        """One rule an event."""
        have = memory.contributions
        match event:
            case known.Started():
                return [known.Train(i, self.inner_steps) for i in view.training_nodes], memory
            case known.Gathered(key):
                return self._collect(view, key, memory)
            case known.Woke(note) if note.startswith("close"):
                closes = note == _close_note(view) and len(have.come) >= self._enough(view)
                return (self._merge(view, memory) if closes else []), memory
        decisions, have = self._carry(event, view, have)
        memory = replace(memory, contributions=have)
        if isinstance(event, known.NodeDown) and have.come and len(have.come) >= self._enough(view):
            decisions = [*decisions, *self._merge(view, memory)]  # those who were waited for are fewer now
        return decisions, memory

    def _carry(self, event: Event, view: View, have: Contributions) -> Carried:
        """What concerns nodes and their contributions, and not the time of a merge."""
        site = self._site(view)
        match event:
            case known.Adopted(node) if view.draining:
                return drain_one(view, node, WHOLE, site, have)
            case known.Adopted(node) if not has_enough(view.node(node, WHOLE), self.inner_steps):
                return [], have
            case known.GoalReached(node) | known.Adopted(node):
                return offer(view.node(node, WHOLE), self.inner_steps, lambda _: site, have)
            case known.Merged():
                have = have.without(have.come)
                return drain(view, lambda _: site, have) if view.draining else ([], have)
            case known.Lost(key):
                return refuse(frozenset({key}), have)
            case known.NodeDown() | known.NodeBack():
                return refuse(have.elsewhere(site), have)
            case known.BudgetReached() | known.Woke():
                return drain_again(view, lambda _: site, have)
        return [], have

    def _site(self, view: View) -> int:
        return self.site if self.home else site_now(view, self.site)

    # -- at the site ---

    def _enough(self, view: View) -> int:
        """How many contributions make a quorum; in the end, when nobody comes twice, one does."""
        up = len(view.training_nodes) - sum(i in view.down for i in view.training_nodes)
        return 1 if view.draining else max(1, min(self.quorum, up))

    def _collect(self, view: View, key: Key, memory: QuorumMemory) -> Decided:
        have = memory.contributions.arrived(key)
        memory = replace(memory, contributions=have, first_us=memory.first_us if len(have.come) > 1 else view.now_us)
        if len(have.come) < self._enough(view):
            return [], memory
        if self._all_in(view, have):
            return self._merge(view, memory), memory
        if len(have.come) == self._enough(view):
            memory = replace(memory, spread_us=_mean(memory.spread_us, view.now_us - memory.first_us))
        return [known.Wake(view.now_us + self._grace_us(view, memory), _close_note(view))], memory

    def _grace_us(self, view: View, memory: QuorumMemory) -> int:
        return min(round(self.grace * (memory.spread_us or 0)), self.inner_steps * view.step_us)

    def _all_in(self, view: View, have: Contributions) -> bool:
        nodes = {key[0] for key in have.come}
        missing = (i for i in view.training_nodes if i not in nodes and i not in view.down)
        return all(view.draining and view.node(i, WHOLE).unmerged_steps == 0 for i in missing)

    def _merge(self, view: View, memory: QuorumMemory) -> list[Decision]:
        """Merge what has come; try again if the site could not."""
        to = tuple(i for i in view.training_nodes if i not in view.down) if self.home else ()
        again = known.Wake(view.now_us + RETRY_US, _close_note(view))
        return [known.MergeNow(WHOLE, tuple(sorted(memory.contributions.come)), to), again]


def _mean(usual_us: int | None, last_us: int) -> int:
    return last_us if usual_us is None else (3 * usual_us + last_us) // 4


def _close_note(view: View) -> str:
    """Names the round that is open now, so that a wake-up meant for an earlier one closes none."""
    return f"close {view.version(WHOLE)}"
