"""``fixed_period``: DiLoCo every H inner steps, blind to links and light.

*Blocking*: a node that has trained H steps waits for all that are not known to be down, and for the result of an
all-reduce (:mod:`orbital_train.schedule.policies.blocking`). Where contributions have to stay ``apart``, as for a
median, each goes to a fixed site, as in the skipping form, and all are waited for without end. *Skipping*: a node sends
its outer gradient to a fixed site, which merges ``timeout_s`` after a round's first contribution came in, or when all
have come; a node that hears nothing for that long trains on with what it has (as in the DiLoCo paper, a node that
misses a round keeps its local parameters) and tries again H steps later. What was computed from an older version is
refused. While the site is down, the first node that is up takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orbital_train.schedule import known
from orbital_train.schedule.known import Adoption, Decision, Event, Key, View
from orbital_train.schedule.network import FAR_US
from orbital_train.schedule.policies import blocking
from orbital_train.schedule.policies.blocking import WHOLE


@dataclass(frozen=True, slots=True)
class FixedPeriodMemory:
    """Where to merge; contributions that were sent, and those of them that have come. Keys are (node, its steps)."""

    site: int
    sent: frozenset[Key] = frozenset()
    arrived: frozenset[Key] = frozenset()

    def without(self, keys: frozenset[Key]) -> FixedPeriodMemory:
        """The memory when these are merged or refused."""
        return FixedPeriodMemory(self.site, self.sent - keys, self.arrived - keys)


Memory = FixedPeriodMemory | blocking.Round
Decided = tuple[list[Decision], FixedPeriodMemory]


@dataclass(frozen=True, kw_only=True)
class FixedPeriod:
    """See the module's docstring. ``inner_steps`` None means: only at the end."""

    inner_steps: int | None
    site: int = 0  # a node's index; an all-reduce chooses its own
    form: Literal["blocking", "skipping"] = "blocking"
    timeout_s: float = 0.0  # of the skipping form
    apart: bool = False  # no sums are formed on the way
    weights: Literal["uniform", "tokens"] = "tokens"
    home: tuple[int, ...] = ()
    name: str = "fixed_period"

    @property
    def adoption(self) -> Adoption:
        """Who waits has nothing to keep."""
        return Adoption("replace" if self.form == "blocking" else "keep")

    @property
    def wants(self) -> frozenset[type[Event]]:
        """Every node decides for itself."""
        nodes = {known.GoalReached, known.Adopted, known.Lost, known.NodeDown, known.NodeBack}
        return frozenset(nodes | {known.Started, known.Gathered, known.Merged, known.Woke, known.BudgetReached})

    def start(self) -> Memory:
        """Nothing was sent."""
        reduces = self.form == "blocking" and not self.apart
        return blocking.Round() if reduces else FixedPeriodMemory(self.site)

    def decide(self, event: Event, view: View, memory: Memory) -> tuple[list[Decision], Memory]:
        """One rule an event."""
        if isinstance(memory, blocking.Round):
            return blocking.decide(self.inner_steps, event, view, memory)
        return self._decide(event, view, memory)

    def _decide(self, event: Event, view: View, memory: FixedPeriodMemory) -> Decided:
        match event:
            case known.Started():
                return [self._train(view, i) for i in view.training_nodes], memory
            case known.GoalReached(node):
                return self._offer(view, node, memory)
            case known.Gathered(key):
                return self._collect(view, key, memory)
            case known.Lost(key) if key in memory.sent:
                return self._again(view, frozenset({key}), memory)
            case known.NodeDown(node):
                return self._without(view, node, memory)
            case known.NodeBack(node):
                moved, memory = self._move(view, node, memory) if node == self.site else ([], memory)
                goes_on, memory = self._go_on(view, node, memory)
                return [*moved, *goes_on], memory
            case known.Adopted(node):
                return self._go_on(view, node, memory)
            case known.Woke(note) if note.startswith("close"):
                return self._merge(memory) if note == _close_note(view) else ([], memory)
            case known.Woke(note):
                return self._give_up(view, note), memory
            case known.BudgetReached() | known.Merged():
                return self._drain(view, memory) if view.draining else ([], memory)
        return [], memory

    def _train(self, view: View, node: int) -> Decision:
        goal = None if self.inner_steps is None else view.node(node, WHOLE).steps + self.inner_steps
        return known.Train(node, goal)

    def _offer(self, view: View, node: int, memory: FixedPeriodMemory) -> Decided:
        state = view.node(node, WHOLE)
        if state.under_way or state.waiting_for is not None:
            return [self._train(view, node)], memory  # its last contribution is still on the way: carry on
        sends, memory = self._send(view, node, memory)
        wake = known.Wake(view.now_us + self._timeout_us, f"{node}:{state.steps}")
        return [known.Hold(node), *sends, wake], memory

    def _send(self, view: View, node: int, memory: FixedPeriodMemory) -> Decided:
        key = (node, view.node(node, WHOLE).steps)
        send = known.Send(key, node, WHOLE, memory.site)
        return [send], FixedPeriodMemory(memory.site, memory.sent | {key}, memory.arrived)

    @property
    def _timeout_us(self) -> int:
        return FAR_US if self.form == "blocking" else round(self.timeout_s * 1e6)

    def _give_up(self, view: View, note: str) -> list[Decision]:
        node, steps = (int(part) for part in note.split(":"))
        state = view.node(node, WHOLE)
        waits_still = state.holding and state.steps == steps
        return [self._train(view, node)] if waits_still and not view.draining else []

    # -- at the site ---

    def _collect(self, view: View, key: Key, memory: FixedPeriodMemory) -> Decided:
        if not view.draining and view.node(key[0], WHOLE).base_version != view.version(WHOLE):
            return [known.Discard(key)], memory.without(frozenset({key}))
        first = not memory.arrived
        memory = FixedPeriodMemory(memory.site, memory.sent, memory.arrived | {key})
        if self._all_in(view, memory):
            return self._merge(memory)
        return ([known.Wake(view.now_us + self._timeout_us, _close_note(view))] if first else []), memory

    def _all_in(self, view: View, memory: FixedPeriodMemory) -> bool:
        """Whether every node's contribution has come that is to be waited for."""
        come = {key[0] for key in memory.arrived}
        waited_for = (i for i in view.training_nodes if i not in come and i not in view.down)
        return bool(come) and all(view.draining and view.node(i, WHOLE).unmerged_steps == 0 for i in waited_for)

    def _merge(self, memory: FixedPeriodMemory) -> Decided:
        if not memory.arrived:
            return [], memory
        merge = known.MergeNow(WHOLE, tuple(sorted(memory.arrived)))
        return [merge], memory.without(memory.arrived)

    # -- faults ---

    def _again(self, view: View, keys: frozenset[Key], memory: FixedPeriodMemory) -> Decided:
        """Give up what was sent, and let those send again who wait for an answer."""
        decisions: list[Decision] = [known.Discard(key) for key in sorted(keys)]
        memory = memory.without(keys)
        for node in sorted({node for node, _ in keys} - view.down):
            if view.node(node, WHOLE).holding:
                sends, memory = self._send(view, node, memory)
                decisions += sends
        return decisions, memory

    def _move(self, view: View, site: int, memory: FixedPeriodMemory) -> Decided:
        """Merge somewhere else from now on."""
        return self._again(view, memory.sent, FixedPeriodMemory(site, memory.sent, memory.arrived))

    def _without(self, view: View, node: int, memory: FixedPeriodMemory) -> Decided:
        """Go on without a node that is down."""
        if node == memory.site:
            up = (i for i in view.training_nodes if i not in view.down)
            decisions, memory = self._move(view, next(up, node), memory)
        else:
            gone = frozenset(key for key in memory.sent if key[0] == node and key not in memory.arrived)
            decisions, memory = self._again(view, gone, memory)
        merges, memory = self._merge(memory) if self._all_in(view, memory) else ([], memory)
        if view.draining and not merges:
            return self._drain(view, memory, decisions)
        return [*decisions, *merges], memory

    # -- the end ---

    def _go_on(self, view: View, node: int, memory: FixedPeriodMemory) -> Decided:
        if view.draining:
            return self._drain(view, memory)
        return [self._train(view, node)], memory

    def _drain(self, view: View, memory: FixedPeriodMemory, before: list[Decision] | None = None) -> Decided:
        """Send what is unmerged and not under way; finish when there is nothing left."""
        decisions = before or []
        up = [view.node(i, WHOLE) for i in view.training_nodes if i not in view.down]
        left = [state for state in up if state.unmerged_steps]
        if not left:
            return [*decisions, known.Finish()], memory
        sending = {node for node, _ in memory.sent}
        for state in left:
            if not state.under_way and state.waiting_for is None and state.node not in sending:
                sends, memory = self._send(view, state.node, memory)
                decisions = [*decisions, *sends]
        return decisions, memory


def _close_note(view: View) -> str:
    """Names the round that is open now, so that a wake-up meant for an earlier round closes none."""
    return f"close {view.version(WHOLE)}"
