"""``gossip``: pairs of nodes in sight of each other mix their models; there is no round, no site and no global model.

Every ``inner_steps`` steps of its own a node mixes each fragment with another node (NoLoCo, arXiv 2506.10911). It picks
one at random, by a seeded generator, of those that it has links with, that have trained at least half as many steps
since they last mixed, and that it has an open contact with: both messages can leave before ``inner_steps`` further
steps. A node without links to others that train picks among those that it reaches by way of relays. One that finds
nobody trains on and looks again a quarter of ``inner_steps`` later; once it has trained twice ``inner_steps``, it takes
the partner with which it is done first, whenever that is. Fragments are due in turn. No node ever waits: what is
trained while messages travel is kept.

At the end every node with steps that no other has taken in yet mixes once more, if it can.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from orbital_train.schedule import known
from orbital_train.schedule.bookings import Bookings
from orbital_train.schedule.hops import first_hop
from orbital_train.schedule.known import Adoption, Decision, Event, Exchange, NodeView, View
from orbital_train.schedule.network import Route
from orbital_train.schedule.routes import earliest_arrivals

PATIENCE_US = 60_000_000  # at the end, after an exchange that has failed
LOOKED_AT = 32  # partners that a node looks at when it is due, of those that it has links with


@dataclass(frozen=True, slots=True)
class GossipMemory:
    """Who can meet whom, how often somebody looked for a partner; at the end what is open and whose steps are left."""

    partners: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    looks: int = 0
    open_sides: int = 0
    left: frozenset[tuple[int, int]] = frozenset()  # (node, fragment)

    def closed(self) -> GossipMemory:
        """The memory when a side is over."""
        return replace(self, open_sides=self.open_sides - 1)


Decided = tuple[list[Decision], GossipMemory]


@dataclass(frozen=True, kw_only=True)
class Gossip:
    """See the module's docstring."""

    inner_steps: int
    seed: int = 0
    weights: Literal["uniform", "tokens"] = "tokens"
    home: tuple[int, ...] = ()
    name: str = "gossip"

    @property
    def adoption(self) -> Adoption:
        """Nodes have slow weights of their own, and keep what they trained meanwhile."""
        return Adoption("keep", scope="own")

    @property
    def wants(self) -> frozenset[type[Event]]:
        """Every node decides for itself."""
        nodes = {known.GoalReached, known.Exchanged, known.NodeDown, known.NodeBack}
        return frozenset(nodes | {known.Started, known.Woke, known.BudgetReached})

    def start(self) -> GossipMemory:
        """Nobody has met anybody."""
        return GossipMemory()

    def decide(self, event: Event, view: View, memory: GossipMemory) -> Decided:
        """One rule an event."""
        match event:
            case known.Started():
                return [self._train(view, i, 1) for i in view.training_nodes], GossipMemory(_partners(view))
            case known.GoalReached(node):
                return self._meet(view, node, memory)
            case known.Exchanged(node, partner, _, mixed) if view.draining:
                if not mixed:
                    return [known.Wake(view.now_us + PATIENCE_US, f"{node}")], memory
                return self._drain(view, memory.closed(), (node, partner))
            case known.Exchanged(node, _, _, mixed):
                return ([] if mixed else [self._train_on(view, node)]), memory.closed()
            case known.Woke(note):
                return self._drain(view, memory.closed(), (int(note),))
            case known.BudgetReached():
                memory = replace(memory, left=_of_all_fragments(view, view.training_nodes))
                return self._drain(view, memory, view.training_nodes)
            case known.NodeBack(node) if view.draining and node in memory.partners:
                memory = replace(memory, left=memory.left | _of_all_fragments(view, (node,)))
                return self._drain(view, memory, (node,))
            case known.NodeDown(node) if view.draining and node in memory.partners:
                return self._drain(view, memory, (node,))
        return [], memory

    # -- while training ---

    def _meet(self, view: View, node: int, memory: GossipMemory) -> Decided:
        """Look for a partner for every fragment of a node that is due."""
        pairing = _Pairing(view, memory, self.seed)
        for fragment in range(view.fragments):
            state = view.node(node, fragment)
            if not state.under_way and state.steps >= _due_steps(state, view.fragments, self.inner_steps):
                overdue = state.steps - state.snapshot_steps >= 2 * self.inner_steps
                pairing.pair(node, fragment, self.inner_steps, overdue=overdue)
        return [*pairing.exchanges, self._train_on(view, node)], pairing.memory()

    def _train_on(self, view: View, node: int) -> Decision:
        return self._train(view, node, max(1, self.inner_steps // 4))

    def _train(self, view: View, node: int, again_steps: int) -> Decision:
        """Let a node train until something is due; what is due already is looked at again a little later."""
        states = [view.node(node, fragment) for fragment in range(view.fragments)]
        steps, due = states[0].steps, [_due_steps(state, view.fragments, self.inner_steps) for state in states]
        return known.Train(node, min(goal if goal > steps else steps + again_steps for goal in due))

    # -- the end ---

    def _drain(self, view: View, memory: GossipMemory, nodes: Iterable[int]) -> Decided:
        """Let those that are free now, and those that could meet them, mix if they have steps left."""
        near = {other for node in nodes for other in (node, *memory.partners[node])}
        around = _of_all_fragments(view, near) & memory.left
        done = {(i, f) for i, f in around if i in view.down or not view.node(i, f).unmerged_steps}
        pairing = _Pairing(view, replace(memory, left=memory.left - done), self.seed)
        for node, fragment in sorted(around - done):
            if pairing.is_free(node, fragment):
                pairing.pair(node, fragment, 0, overdue=True)
        memory = pairing.memory()
        return [*pairing.exchanges, *([] if memory.open_sides else [known.Finish()])], memory


class _Pairing:
    """Pairs that are formed at one moment, one after the other: each books what it needs."""

    def __init__(self, view: View, memory: GossipMemory, seed: int) -> None:
        self.exchanges: list[Decision] = []
        self._view, self._memory, self._seed = view, memory, seed
        self._bookings: Bookings | None = None
        self._taken: set[tuple[int, int]] = set()

    def memory(self) -> GossipMemory:
        """The memory when these pairs are formed."""
        sides = self._memory.open_sides + 2 * len(self.exchanges)
        return replace(self._memory, open_sides=sides)

    def is_free(self, node: int, fragment: int) -> bool:
        """Whether a node could be in another exchange of a fragment."""
        busy = node in self._view.down or (node, fragment) in self._taken
        return not busy and not self._view.node(node, fragment).under_way

    def pair(self, node: int, fragment: int, inner_steps: int, *, overdue: bool) -> None:
        """Find a node its partner, if there is one."""
        view, memory = self._view, self._memory
        chance = random.Random(f"{self._seed}:{memory.looks}")
        self._memory = replace(memory, looks=memory.looks + 1)
        found: list[tuple[int, Exchange]] = []
        partners = memory.partners[node]
        for other in chance.sample(partners, min(LOOKED_AT, len(partners))):
            if other == node or not self._is_ready(other, fragment, inner_steps):
                continue
            exchange = self._exchange(fragment, node, other)
            if exchange is None:
                continue
            leaves_us = max(exchange.to_a[0].start_us, exchange.to_b[0].start_us)
            if leaves_us <= view.now_us + inner_steps * view.step_us:
                found = [(0, exchange)]
                break
            if overdue:
                found.append((max(exchange.to_a[-1].arrival_us, exchange.to_b[-1].arrival_us), exchange))
        if found:
            self._take(min(found, key=lambda row: row[0])[1])

    def _is_ready(self, node: int, fragment: int, inner_steps: int) -> bool:
        if not self.is_free(node, fragment):
            return False
        state = self._view.node(node, fragment)
        due = _due_steps(state, self._view.fragments, inner_steps)
        return not inner_steps or 2 * (state.steps - state.snapshot_steps) >= due - state.snapshot_steps

    def _exchange(self, fragment: int, a: int, b: int) -> Exchange | None:
        """How two nodes can send each other what they have; None if they cannot."""
        bookings = self._bookings or self._view.bookings
        to_b = _route(self._view, bookings, a, b)
        if not to_b:
            return None
        if len(to_b) > 1:
            bookings = bookings.fork()  # on the way back it could need what it takes itself
            bookings.add(to_b, self._view.now_us)
        to_a = _route(self._view, bookings, b, a)
        return Exchange(fragment, a, b, to_b, to_a) if to_a else None

    def _take(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        self._taken |= {(exchange.a, exchange.fragment), (exchange.b, exchange.fragment)}
        self._bookings = self._bookings or self._view.bookings.fork()
        for legs in (exchange.to_a, exchange.to_b):
            self._bookings.add(legs, self._view.now_us)


def _due_steps(state: NodeView, fragments: int, inner_steps: int) -> int:
    """The steps of a node at which a fragment is due: for the first time, fragments take turns."""
    share = fragments if state.snapshot_steps else state.fragment + 1
    return state.snapshot_steps + max(1, inner_steps * share // fragments)


def _partners(view: View) -> dict[int, tuple[int, ...]]:
    """Whom each node can meet: those that it ever has links with both ways, or, if there is none of these, all.

    By their names: who is picked at random does not hang on nodes' numbers.
    """
    out, into, names = view.network.out, view.network.into, view.network.node_names
    everybody = tuple(sorted(view.training_nodes, key=names.__getitem__))
    trains = frozenset(everybody)
    linked = {
        i: tuple(sorted((j for j in out[i] if j in into[i] and j in trains), key=names.__getitem__)) for i in everybody
    }
    return {i: linked[i] or everybody for i in everybody}


def _of_all_fragments(view: View, nodes: Iterable[int]) -> frozenset[tuple[int, int]]:
    return frozenset((node, fragment) for node in nodes for fragment in range(view.fragments))


def _route(view: View, bookings: Bookings, source: int, dest: int) -> Route | None:
    """Straight to a node that there is a link to, else by way of others."""
    if dest in view.network.out[source]:
        hop = first_hop(view.network.out[source][dest], bookings, view.now_us, view.offer_bits)
        return (hop,) if hop else None
    found = earliest_arrivals(view.network, bookings, {source: view.now_us}, view.offer_bits, (dest,), view.down)
    return found.route(dest)
