"""What an all-reduce is asked for, and what a plan of one says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from orbital_train.schedule.bookings import Bookings
from orbital_train.schedule.hops import first_hop
from orbital_train.schedule.network import Edge, Network, Route
from orbital_train.schedule.routes import earliest_arrivals

MOST_NODES = 64  # of a plan in parts, of which there are as many as nodes: messages go with the square


@dataclass(frozen=True, kw_only=True, eq=False)
class Wanted:
    """An all-reduce over some nodes."""

    network: Network
    bookings: Bookings
    now_us: int
    ready_us: Mapping[int, int]  # the nodes, and from when on each has its outer gradient
    message_bits: int  # of one outer gradient, and of the complete sum on its way back
    sum_bits: Callable[[int], int]  # of an incomplete sum of so many
    sites: Collection[int]  # where all may be added up in one place
    avoid: Collection[int] = ()  # nodes that neither send nor receive

    @cached_property
    def chain(self) -> tuple[int, ...]:
        """The nodes, each followed by the one that has a message from it first; the first one has reached all first.

        So their numbers decide nothing, but where all times are equal.
        """
        far_us = self.network.horizon_us + 1
        found = {a: self._arrivals_us(a) for a in self.ready_us}
        arrival_us = {a: {b: there.get(b, far_us) for b in self.ready_us} for a, there in found.items()}
        central = {node: (sorted(there.values(), reverse=True), node) for node, there in arrival_us.items()}
        chain = [min(self.ready_us, key=central.__getitem__)]
        while left := self.ready_us.keys() - chain:
            chain.append(min(left, key=lambda node: (arrival_us[chain[-1]][node], central[node])))
        return tuple(chain)

    def _arrivals_us(self, node: int) -> dict[int, int]:
        ready_us = {node: self.ready_us[node]}
        found = earliest_arrivals(self.network, self.bookings, ready_us, self.message_bits, avoid=self.avoid)
        return found.arrival_us


class Move(NamedTuple):
    """One part of what a node has, on its way to another.

    What leaves is the complete sum of the part (``total``), of which the node keeps a copy, or else all that the node
    has of the part: its own outer gradient and what has come, added up.
    """

    part: int
    total: bool
    route: Route

    @property
    def source(self) -> int:
        """Where it is added up."""
        return self.route[0].source

    @property
    def dest(self) -> int:
        """Where it goes."""
        return self.route[-1].dest


@dataclass(frozen=True, kw_only=True, slots=True)
class Collective:
    """A planned all-reduce. The message is cut into ``parts`` equal parts."""

    name: str
    parts: int
    site: int  # where all is added up; -1: every part at another node
    snapshots: tuple[tuple[int, int], ...]  # (node, at_us)
    moves: tuple[Move, ...]  # in the order in which they begin
    complete_us: tuple[tuple[int, int], ...]  # (node, when it has the complete sum of all parts)

    @property
    def last_us(self) -> int:
        """When all have everything."""
        return max(at_us for _, at_us in self.complete_us)

    @property
    def hops(self) -> int:
        """Messages from one node to the next."""
        return sum(len(move.route) for move in self.moves)

    def holds(self) -> list[int]:
        """How many outer gradients are in each move."""
        count = {(node, part): 1 for node, _ in self.snapshots for part in range(self.parts)}
        moved = []
        for move in self.moves:
            source, dest = (move.source, move.part), (move.dest, move.part)
            moved.append(count[source])
            count[dest] = count[source] if move.total else count.get(dest, 0) + count.pop(source)
        return moved

    def rank(self) -> tuple[int, int, int]:
        """The best plan has least of: time until the last node is done, then hops, then time of all nodes."""
        return self.last_us, self.hops, sum(at_us for _, at_us in self.complete_us)


class Draft:
    """A plan in parts in the making: its bookings, and when each node has how much of each part.

    Args:
        wanted: what is asked for.
        nodes: the nodes, in the plan's order; each is known by its place in it.
        parts: of the message.
        by_us: a plan that takes longer is of no use.
    """

    def __init__(self, wanted: Wanted, nodes: Iterable[int], parts: int, by_us: int) -> None:
        self.nodes = tuple(nodes)
        self.bookings = wanted.bookings.fork()
        self.ready_us = [wanted.ready_us[node] for node in self.nodes]
        self.has_us = [[at_us] * parts for at_us in self.ready_us]  # by place and part: since when, all that it has
        self._holds = [[1] * parts for _ in self.nodes]  # and how many outer gradients are in that
        self._wanted, self._parts, self._by_us = wanted, parts, by_us
        self._moves: list[Move] = []

    def bits(self, place: int, part: int) -> int:
        """Size of what a node has of a part."""
        holds, wanted = self._holds[place][part], self._wanted
        return -(-(wanted.message_bits if holds == len(self.nodes) else wanted.sum_bits(holds)) // self._parts)

    def move(self, edges: Iterable[Edge], source: int, dest: int, part: int) -> bool:
        """Send what the node at one place has of a part along edges to that at another; False if it comes too late."""
        at_us, bits, hops = self.has_us[source][part], self.bits(source, part), []
        for edge in edges:
            hop = first_hop(edge, self.bookings, at_us, bits)
            if hop is None or hop.arrival_us > self._by_us:
                return False
            self.bookings.add(hop, self._wanted.now_us)
            hops.append(hop)
            at_us = hop.arrival_us
        total = self._holds[source][part] == len(self.nodes)
        self._moves.append(Move(part, total, tuple(hops)))
        if total:
            self._holds[dest][part], self.has_us[dest][part] = len(self.nodes), at_us
        else:
            self._holds[dest][part] += self._holds[source][part]
            self._holds[source][part] = 0
            self.has_us[dest][part] = max(at_us, self.has_us[dest][part])
        return True

    def finished(self, name: str) -> Collective:
        """The plan; moves that begin at the same time stay in the order in which they were made."""
        return Collective(
            name=name,
            parts=self._parts,
            site=-1,
            snapshots=tuple(zip(self.nodes, self.ready_us, strict=True)),
            moves=tuple(sorted(self._moves, key=lambda move: move.route[0].start_us)),
            complete_us=tuple(zip(self.nodes, [max(has_us) for has_us in self.has_us], strict=True)),
        )
