"""``hierarchical``: within a group of nodes that are linked well they merge often, between groups seldom.

Groups follow from the contact plan (:func:`~orbital_train.schedule.groups.groups_of`): planes, clusters. Each has a
model of its own. Within a group rounds are those of ``link_aware``, as if there were no other nodes, with plain
averages (hierarchical local SGD, arXiv 1808.07217). Once a group's nodes have trained ``between_steps`` steps each, on
average, since its last contribution to the global model, it sends its outer gradient, one message for the group, to a
site. That merges when all groups have contributed, or ``between_steps`` further steps after the first contribution, and
what comes later is in the next merge: nobody waits. A group goes on from the result when it merges next and has it, and
keeps what it has merged since its contribution.

The site is where all groups' messages would be first that left after the first ``between_steps`` steps, and of equal
ones the nearest to all nodes; another one is chosen when it fails.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from orbital_train.schedule import known
from orbital_train.schedule.known import Adoption, Decision, Event, Key, View
from orbital_train.schedule.policies.link_aware import LinkAware
from orbital_train.schedule.routes import earliest_arrivals

WHOLE = 0  # the model is one fragment
RETRY_US = 60_000_000  # before what should have happened is tried again
LOOKED_AT = 16  # of equal sites


@dataclass(frozen=True, slots=True)
class HierarchicalMemory:
    """Within each group; between groups the number of the next merge, its site, who has sent, whose have come."""

    within: tuple[Any, ...] = ()
    done: frozenset[int] = frozenset()  # groups that have nothing left to merge within
    number: int = 0
    site: int = -1
    sent: frozenset[Key] = frozenset()  # (-1, serial, group)
    come: frozenset[Key] = frozenset()
    serial: int = 0

    def without(self, keys: frozenset[Key]) -> HierarchicalMemory:
        """Without contributions that are merged or refused."""
        return replace(self, sent=self.sent - keys, come=self.come - keys)


Decided = tuple[list[Decision], HierarchicalMemory]


@dataclass(frozen=True, kw_only=True)
class Hierarchical:
    """See the module's docstring. ``inner_steps`` are those of a contribution within a group, at least."""

    inner_steps: int
    between_steps: int
    max_staleness: int = 8
    drift_steps: float = 500.0
    lookahead_s: float = 21_600.0
    weights: Literal["uniform", "tokens"] = "tokens"
    home: tuple[int, ...] = ()
    name: str = "hierarchical"

    @property
    def adoption(self) -> Adoption:
        """Nodes adopt their group's versions, and keep what they trained meanwhile."""
        return Adoption("keep", scope="group")

    @property
    def wants(self) -> frozenset[type[Event]]:
        """Rounds, and who is there for them."""
        return self._within.wants | {known.Lost}

    @property
    def _within(self) -> LinkAware:
        return LinkAware(
            min_inner_steps=self.inner_steps,
            max_staleness=self.max_staleness,
            drift_steps=self.drift_steps,
            lookahead_s=self.lookahead_s,
            weights=self.weights,
        )

    def start(self) -> HierarchicalMemory:
        """Nothing is under way."""
        return HierarchicalMemory()

    def decide(self, event: Event, view: View, memory: HierarchicalMemory) -> Decided:
        """One rule an event; what concerns one group is decided as for it alone."""
        match event:
            case known.Started():
                memory = replace(memory, within=(self._within.start(),) * len(view.groups))
                return self._each(event, view, replace(memory, site=self._site(view)))
            case known.BudgetReached():
                decisions, memory = self._each(event, view, memory)
                return [*decisions, known.Wake(view.now_us + RETRY_US, _note(view, "drain"))], memory
            case known.Merged(_, _, None):
                return self._next_round(view, memory)
            case known.Merged(_, _, number) if number is not None:
                decisions, memory = self._in_group(number, event, view, memory)
                sends, memory = ([], memory) if view.draining else self._contribute(view, number, memory)
                return [*decisions, *sends], memory
            case known.Gathered(key) if key in memory.sent:
                return self._collect(view, replace(memory, come=memory.come | {key}))
            case known.Lost(key) if key in memory.sent:
                return [known.Discard(key)], memory.without(frozenset({key}))
            case known.Gathered(key) | known.Lost(key):
                own = type(event)(key[:-1])
                return self._in_group(key[-1], own, view, memory)
            case known.NodeDown(node) | known.NodeBack(node):
                return self._change(event, node, view, memory)
            case known.Woke(note):
                return self._wake(note, view, memory)
        return [], memory

    # -- within groups ---

    def _each(self, event: Event, view: View, memory: HierarchicalMemory) -> Decided:
        decisions: list[Decision] = []
        for number in range(len(view.groups)):
            more, memory = self._in_group(number, event, view, memory)
            decisions += more
        return decisions, memory

    def _in_group(self, number: int, event: Event, view: View, memory: HierarchicalMemory) -> Decided:
        """What a group decides by itself. That it has finished means that it has nothing left to merge within."""
        decisions, own = self._within.decide(event, view.group(number), memory.within[number])
        within = (*memory.within[:number], own, *memory.within[number + 1 :])
        finished = any(isinstance(decision, known.Finish) for decision in decisions)
        memory = replace(memory, within=within, done=memory.done | {number} if finished else memory.done)
        late = isinstance(event, known.Woke) and event.note.startswith("close")  # somebody may be down, unheard of
        soonest_us = view.now_us + RETRY_US if late else 0
        mine = [_of_group(d, number, soonest_us) for d in decisions if not isinstance(d, known.Finish)]
        more, memory = self._drain(view, memory) if finished else ([], memory)
        return [*mine, *more], memory

    def _change(
        self, event: known.NodeDown | known.NodeBack, node: int, view: View, memory: HierarchicalMemory
    ) -> Decided:
        """A node has failed or is back; without its site a global round is held elsewhere."""
        decisions: list[Decision] = []
        number = next((k for k, group in enumerate(view.groups) if node in group), None)
        if number is not None:
            decisions, memory = self._in_group(number, event, view, memory)
        if memory.site in view.down:
            decisions += [known.Discard(key) for key in sorted(memory.sent) if view.begun(key)]
            memory = replace(memory.without(memory.sent), site=self._site(view))
        merges, memory = self._collect(view, memory)
        return [*decisions, *merges], memory

    def _wake(self, note: str, view: View, memory: HierarchicalMemory) -> Decided:
        what, rest = note.split(" ", 1)
        if what == "close":
            return self._close(view, memory) if int(rest) == memory.number else ([], memory)
        if what == "drain":
            decisions, memory = self._drain(view, memory)
            return [*decisions, known.Wake(view.now_us + RETRY_US, _note(view, "drain"))], memory
        return self._in_group(int(what), known.Woke(rest), view, memory)

    # -- between groups ---

    def _site(self, view: View) -> int:
        """Where all groups' messages would be first; where those of most groups can get if none is reached by all.

        Of several such nodes, that of which a result would be everywhere soonest, on average.
        """
        then_us = view.now_us + self.between_steps * view.step_us
        lost, last_us = dict.fromkeys(view.training_nodes, 0), dict.fromkeys(view.training_nodes, 0)
        for group in view.groups:
            sources = {i: then_us for i in group if i not in view.down}
            found = earliest_arrivals(view.network, view.bookings, sources, view.fragment_bits, avoid=view.down)
            for node in view.training_nodes:
                at_us = found.arrival_us.get(node)
                lost[node] += at_us is None
                last_us[node] = max(last_us[node], at_us or 0)
        able = [i for i in view.training_nodes if i not in view.down and self._newest_us(view, i) is not None]
        best = min(((lost[i], last_us[i]) for i in able), default=None)
        equal = [i for i in able or view.training_nodes if best in (None, (lost[i], last_us[i]))]
        equal.sort(key=view.network.node_names.__getitem__)  # nothing hangs on their numbers
        looked_at = equal[:: -(-len(equal) // LOOKED_AT)]
        return min(looked_at, key=lambda i: _spread_us(view, i, last_us[i])) if len(equal) > 1 else equal[0]

    def _newest_us(self, view: View, node: int) -> int | None:
        return view.result_arrival_us(node, WHOLE, view.version(WHOLE))

    def _contribute(self, view: View, number: int, memory: HierarchicalMemory) -> Decided:
        """Send a group's outer gradient if it is due, or if nothing more is trained."""
        state, enough = view.group_state(number), self.between_steps * len(view.groups[number])
        if not state.free or state.unmerged_steps < (1 if view.draining else enough):
            return [], memory
        if any(key[-1] == number for key in memory.sent):
            gone = frozenset(key for key in memory.sent if key[-1] == number)  # it was never taken
            memory = memory.without(gone)
        key = (-1, memory.serial, number)
        memory = replace(memory, sent=memory.sent | {key}, serial=memory.serial + 1)
        return [known.SendGroup(key, number, memory.site)], memory

    def _collect(self, view: View, memory: HierarchicalMemory) -> Decided:
        """Merge if all groups are there that can be; if one is the first, not for ever later."""
        if not memory.come:
            return [], memory
        up = {number for number, group in enumerate(view.groups) if not view.down.issuperset(group)}
        if view.draining:
            up = {number for number in up if view.group_state(number).unmerged_steps}
        if up <= {key[-1] for key in memory.come}:
            return self._close(view, memory)
        wait_us = self.between_steps * view.step_us
        return [known.Wake(view.now_us + wait_us, f"close {memory.number}")], memory

    def _close(self, view: View, memory: HierarchicalMemory) -> Decided:
        """Merge what has come once the site has the newest global version; look again if that did not happen."""
        if not memory.come or memory.site in view.down:
            return [], memory
        ready_us = self._newest_us(view, memory.site)
        if ready_us is None or ready_us > view.now_us:
            again_us = view.now_us + RETRY_US if ready_us is None else ready_us
            return [known.Wake(again_us, f"close {memory.number}")], memory
        again = known.Wake(view.now_us + RETRY_US, f"close {memory.number}")
        return [known.MergeNow(WHOLE, tuple(sorted(memory.come))), again], memory

    def _next_round(self, view: View, memory: HierarchicalMemory) -> Decided:
        """A global version was made: what is on its way will be in the next one."""
        return self._drain(view, replace(memory.without(memory.come), number=memory.number + 1))

    # -- the end ---

    def _drain(self, view: View, memory: HierarchicalMemory) -> Decided:
        """Send what groups hold that are done; finish when there is nothing left."""
        if not view.draining or len(memory.done) < len(view.groups):
            return [], memory
        left = [k for k in range(len(view.groups)) if view.group_state(k).unmerged_steps]
        if not left:
            return [known.Finish()], memory
        decisions: list[Decision] = []
        for number in left:
            sends, memory = self._contribute(view, number, memory)
            decisions += sends
        return decisions, memory


def _spread_us(view: View, site: int, at_us: int) -> int:
    """The times at which a message from a site would be at all nodes, added up."""
    found = earliest_arrivals(view.network, view.bookings, {site: at_us}, view.fragment_bits, avoid=view.down)
    return sum(found.arrival_us.get(i, view.horizon_us) for i in view.training_nodes)


def _note(view: View, what: str) -> str:
    return f"{what} {view.now_us}"


def _of_group(decision: Decision, number: int, soonest_us: int) -> Decision:
    """A group's decision, with its gatherings and wake-ups named as its own, and these not before a time."""
    match decision:
        case known.Gather(key):
            return replace(decision, key=(*key, number))
        case known.Cancel(key):
            return known.Cancel((*key, number))
        case known.Discard(key):
            return known.Discard((*key, number))
        case known.MergeNow(fragment, keys, to):
            return known.MergeNow(fragment, tuple((*key, number) for key in keys), to)
        case known.Wake(at_us, note):
            return known.Wake(max(at_us, soonest_us), f"{number} {note}")
    return decision
