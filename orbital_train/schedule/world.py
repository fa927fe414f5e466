"""What is true in a simulation, whoever knows of it: time, nodes, copies of the model, and what is booked."""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from orbital_train.schedule.bookings import Bookings
from orbital_train.schedule.copies import Copy, Gathering, OuterGradient, Version
from orbital_train.schedule.fault_times import FaultTimes
from orbital_train.schedule.groups import Groups
from orbital_train.schedule.known import Event, Key, Policy
from orbital_train.schedule.network import Hop, Network
from orbital_train.schedule.node import Node
from orbital_train.schedule.recorder import Recorder
from orbital_train.schedule.scenario import Scenario

# Order of events at the same microsecond. The budget comes first: it may undo steps that have just ended. Then what
# fails and comes back; versions come before what is to be merged into them; and what arrives comes before what leaves,
# so that it can go along.
(
    BUDGET,
    DOWN,
    PACE,
    UP,
    RESTORED,
    STAGED,
    NEWS,
    RESULT,
    ARRIVE,
    ADOPT,
    MISSED,
    RETRY,
    CATCH_UP,
    GOAL,
    SNAPSHOT,
    LEAVE,
    WAKE,
    MIXING,
) = range(18)


class World(ABC):
    """State, and the few ways in which it changes that everything else is made of."""

    def __init__(self, scenario: Scenario, policy: Policy[Any]) -> None:
        self.scenario = scenario
        self.policy = policy
        self.network = Network(scenario.contacts)
        self.bookings = Bookings()
        self.now_us = 0
        self.horizon_us = scenario.horizon_us
        self.step_us = scenario.workload.step_us
        self.fragments = scenario.workload.fragments
        self.fragment_bits = scenario.workload.fragment_bits
        self.offer_bits = scenario.workload.fragment_offer_bits
        self.sum_bits = scenario.workload.sum_bits  # by how many outer gradients are in it
        self.training_nodes = scenario.training_nodes
        self._gossips = policy.adoption.scope == "own"  # then nobody holds a global model
        self.holders = () if self._gossips else policy.home or self.training_nodes
        self._holding = frozenset(self.holders)
        self.groups: Groups = (self.training_nodes,)
        self.draining = False
        self.down: frozenset[int] = frozenset()  # nodes that are known to be out
        self._unready: set[int] = set()  # of these, who only waits for model and data, and passes messages on
        self._unstaged: set[int] = set()  # nodes that never had all that they need to begin
        self._faults = FaultTimes(scenario.faults, scenario.contacts, scenario.workload.message_bits)
        losses = scenario.faults.worker_losses
        self._void = frozenset(value for lost in losses for value in lost.void)
        self._unheard = {(lost.node, lost.known_us): lost.unheard for lost in losses}
        self._nodes = scenario.build_nodes()
        self._believed: dict[int, Node] = {}  # nodes to which something happened that is not known yet
        self._changed_us: dict[int, int] = {}  # when that was, the last of it
        self._lives = [0] * self.network.nodes  # how often each node has failed
        self._requests = [0] * self.network.nodes  # how often each node was sent the whole model
        every = range(self.fragments)
        self._copies = {i: [Copy() for _ in every] for i in self.training_nodes}
        everybody = dict.fromkeys((*self.training_nodes, *self.holders), 0)
        self._versions = [[Version(0, 0, 0, (), dict(everybody), dict(everybody))] for _ in every]
        self._heads = [0 for _ in every]  # the newest version of each fragment
        self._gatherings: dict[Key, Gathering] = {}
        self._goals: dict[int, int | None] = dict.fromkeys(self.training_nodes)
        self._commands = [0] * self.network.nodes  # a predicted goal is void once a node was told something new
        self._recorder = Recorder(scenario, self.holders)
        # With links that failed: how long they are left alone, since when, and when they are known to carry again.
        self._patience_us: dict[frozenset[int], tuple[int, int, int]] = {}
        # Where decisions are taken: the site of the newest version; in gossip, at every node.
        self._seat = None if self._gossips else self.holders[0]
        self._free = Bookings()  # of what needs no volume
        self._queue: list[tuple[int, int, int, int, Any]] = []
        self._sequence = 0

    @abstractmethod
    def _tell(self, event: Event) -> None:
        """Let the policy know."""

    def _push(self, at_us: int, kind: int, order: int, detail: Any = None) -> None:
        self._sequence += 1
        heapq.heappush(self._queue, (at_us, kind, order, self._sequence, detail))

    def _at_now(self, node: int) -> Node:
        self._nodes[node].advance(self.now_us)
        return self._nodes[node]

    def _as_known(self, node: int) -> Node:
        """A node as those think of it who decide."""
        known = self._believed.get(node, self._nodes[node])
        known.advance(self.now_us)
        return known

    def _told(self, node: int) -> Sequence[Node]:
        """A node that is told something new, and what others think of it."""
        self._commands[node] += 1
        told = self._at_now(node)
        return (told, self._as_known(node)) if node in self._believed else (told,)

    def _predict(self, node: int) -> None:
        """When a node that was told something new reaches its goal, and a step boundary if it has to adopt there."""
        goal = self._goals.get(node)
        if goal is not None and self._nodes[node].wanted:
            at_us = self._nodes[node].time_of_steps_us(goal, self.horizon_us)
            if at_us is not None:
                self._push(max(at_us, self.now_us), GOAL, node, self._commands[node])
        for fragment, copy in enumerate(self._copies.get(node, ())):
            if copy.applied > copy.base_version:
                self._push(self._at_now(node).boundary_us(), ADOPT, node, fragment)

    def _book(self, hops: Sequence[Hop]) -> None:
        """Book hops and the energy of sending along them."""
        for hop in hops:
            self.bookings.add(hop, self.now_us)
            for sender in self._told(hop.source):
                for piece in hop.pieces:
                    if piece.end_us > piece.start_us:
                        sender.add_send(piece.start_us, piece.end_us)
            self._predict(hop.source)

    def _unbook(self, hops: Sequence[Hop]) -> None:
        """Give back hops, as far as they are still ahead."""
        for hop in hops:
            self.bookings.remove(hop)
            for sender in self._told(hop.source):
                for piece in hop.pieces:
                    if piece.end_us > max(piece.start_us, self.now_us):
                        sender.remove_send(piece.start_us, piece.end_us)
            self._predict(hop.source)

    def _record_steps(self, node: int) -> None:
        """Record what was trained since the last time; progress counts the fleet as training like this node."""
        copies, budget = self._copies[node], self.scenario.budget_steps
        per_step = len(self.training_nodes) / budget
        adopted = sum(self._adopted_steps(node, fragment) for fragment in range(self.fragments))
        own = sum(copy.base_steps for copy in copies)
        at_zero = (adopted / budget - own * per_step) / self.fragments
        self._recorder.steps(node, self._nodes[node].take_runs(), at_zero, per_step)

    def _adopted_steps(self, node: int, fragment: int) -> int:
        """Steps of the fleet that are in what a node last adopted, as far as it can know."""
        return self._versions[fragment][self._copies[node][fragment].base_version].merged_steps

    def _copy_of(self, gradient: OuterGradient) -> Copy:
        """The copy of the model that an outer gradient was taken of."""
        return self._copies[gradient.node][gradient.fragment]

    def _is_out(self, node: int) -> bool:
        return bool(self._nodes[node].out)
