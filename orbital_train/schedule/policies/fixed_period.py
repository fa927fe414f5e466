"""``fixed_period``: DiLoCo every H inner steps, blind to links and light.

A node that has trained H steps stops, sends its outer gradient to a fixed home, and waits for the result.
*Blocking*: the home waits for every node. *Skipping*: the home merges ``timeout_s`` after a round's first contribution
came in, or when all have come; a node that hears nothing for that long trains on with what it has (as in the DiLoCo
paper, a node that misses a round keeps its local parameters) and tries again H steps later. The home refuses what was
computed from an older version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orbital_train.schedule import known
from orbital_train.schedule.known import Adoption, Decision, Event, View

WHOLE = 0  # the model is one fragment


@dataclass(frozen=True, slots=True)
class FixedPeriodMemory:
    """Contributions waiting at the home."""

    arrived: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class FixedPeriod:
    """See the module's docstring. ``site`` is a node index; ``inner_steps`` None means: only at the end."""

    inner_steps: int | None
    site: int
    form: Literal["blocking", "skipping"] = "blocking"
    timeout_s: float = 0.0
    weights: Literal["uniform", "tokens"] = "tokens"
    name: str = "fixed_period"

    @property
    def home(self) -> tuple[int, ...]:
        """All nodes hold the global model."""
        return ()

    @property
    def adoption(self) -> Adoption:
        """Who waits has nothing to keep."""
        return Adoption("replace" if self.form == "blocking" else "keep")

    @property
    def wants(self) -> frozenset[type[Event]]:
        """Every node decides for itself."""
        return frozenset(
            {known.Started, known.GoalReached, known.Gathered, known.Woke, known.Adopted, known.Merged}
            | {known.BudgetReached}
        )

    def start(self) -> FixedPeriodMemory:
        """No contribution has arrived."""
        return FixedPeriodMemory()

    def decide(self, event: Event, view: View, memory: FixedPeriodMemory) -> tuple[list[Decision], FixedPeriodMemory]:
        """One rule an event."""
        match event:
            case known.Started():
                return [self._train(view, i) for i in view.training_nodes], memory
            case known.GoalReached(node):
                return self._offer(view, node), memory
            case known.Gathered((node,)):
                return self._collect(view, node, memory)
            case known.Woke(note) if note.startswith("close"):
                return self._merge(memory) if note == _close_note(view) else ([], memory)
            case known.Woke(note):
                return self._give_up(view, note), memory
            case known.Adopted(node):
                return self._go_on(view, node), memory
            case known.BudgetReached() | known.Merged():
                return (self._drain(view) if view.draining else []), memory
        return [], memory

    def _train(self, view: View, node: int) -> Decision:
        goal = None if self.inner_steps is None else view.node(node, WHOLE).steps + self.inner_steps
        return known.Train(node, goal)

    def _offer(self, view: View, node: int) -> list[Decision]:
        state = view.node(node, WHOLE)
        if state.under_way or state.waiting_for is not None:
            return [self._train(view, node)]  # its last contribution is still on the way: carry on
        decisions: list[Decision] = [known.Hold(node), known.Send((node,), node, WHOLE, self.site)]
        if self.form == "skipping":
            decisions.append(known.Wake(view.now_us + self._timeout_us, f"{node}:{state.steps}"))
        return decisions

    @property
    def _timeout_us(self) -> int:
        return round(self.timeout_s * 1e6)

    def _give_up(self, view: View, note: str) -> list[Decision]:
        node, steps = (int(part) for part in note.split(":"))
        state = view.node(node, WHOLE)
        waits_still = state.holding and state.steps == steps
        return [self._train(view, node)] if waits_still and not view.draining else []

    def _collect(self, view: View, node: int, memory: FixedPeriodMemory) -> tuple[list[Decision], FixedPeriodMemory]:
        if self.form == "skipping" and not view.draining and view.node(node, WHOLE).base_version != view.version(WHOLE):
            return [known.Discard((node,))], memory
        first = not memory.arrived
        memory = FixedPeriodMemory(memory.arrived | {node})
        if all(self._is_in(view, memory, i) for i in view.training_nodes):
            return self._merge(memory)
        waits = self.form == "skipping" and first
        return ([known.Wake(view.now_us + self._timeout_us, _close_note(view))] if waits else []), memory

    def _is_in(self, view: View, memory: FixedPeriodMemory, node: int) -> bool:
        return node in memory.arrived or (view.draining and view.node(node, WHOLE).unmerged_steps == 0)

    def _merge(self, memory: FixedPeriodMemory) -> tuple[list[Decision], FixedPeriodMemory]:
        decisions: list[Decision] = [known.MergeNow(WHOLE, tuple((node,) for node in sorted(memory.arrived)))]
        return decisions, FixedPeriodMemory()

    def _go_on(self, view: View, node: int) -> list[Decision]:
        if not view.draining:
            return [self._train(view, node)]
        return self._drain(view)

    def _drain(self, view: View) -> list[Decision]:
        """Send what is unmerged and not under way; finish when there is nothing left."""
        left = [view.node(i, WHOLE) for i in view.training_nodes if view.node(i, WHOLE).unmerged_steps]
        if not left:
            return [known.Finish()]
        ready = [s.node for s in left if not s.under_way and s.waiting_for is None]
        return [known.Send((node,), node, WHOLE, self.site) for node in ready]


def _close_note(view: View) -> str:
    """Names the round that is open now, so that a wake-up meant for an earlier round closes none."""
    return f"close {view.version(WHOLE)}"
