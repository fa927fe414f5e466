"""Gossip in a simulation: two nodes send each other what they have, and each makes new slow weights of its own of it.

There is no global model. A node's outer gradient is its slow weights minus its replica. In an exchange each of the two
takes its outer gradient when its message leaves, sends it with the slow weights that it started from, trains on, and
mixes at its first step boundary after the other's message has come (``Mix``). The
two sides are independent: where one message is lost, the other node mixes all the same, and the sender of the lost one
has its steps in another node's slow weights while its own next outer gradient holds them again. A message is not sent
again: its receiver sees at the agreed time that it has not come and is free for another exchange.

*Merged* are those steps of a node that another node has taken in: a step counts once, when first any outer gradient
that holds it, or slow weights that came with one, are mixed in elsewhere.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from orbital_train.schedule import known
from orbital_train.schedule.carriage import missed_us
from orbital_train.schedule.copies import Copy, Gathering, OuterGradient
from orbital_train.schedule.known import Policy
from orbital_train.schedule.network import Hop
from orbital_train.schedule.ops.merging import Contribution
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.staging import Staging
from orbital_train.schedule.values import OwnVersions, offer_value, own_scope
from orbital_train.schedule.world import MISSED, MIXING

HEARD, PASS, CLOSE, MIX = range(4)  # in this order at the same moment


@dataclass(frozen=True, slots=True)
class Offer:
    """What a node sends: its outer gradient, and what is known of it."""

    gradient: OuterGradient
    value: str
    useful_steps: int  # of its node so far, without those that were lost
    fleet_steps: int  # that are in its node's replica, as far as that can know


@dataclass(slots=True, eq=False)
class Side:
    """One node's side of an exchange."""

    node: int
    partner: int
    fragment: int
    legs: tuple[Hop, ...]  # of its message to the partner
    offer: Offer | None = None  # once its message has left
    life: int = -1  # that its node was in then
    place: tuple[int, int] | None = None  # the node that has its message, and the life that this was in
    heard: Offer | None = None  # the partner's
    passed: int = 0  # legs that it has gone over, or has given back
    open: bool = True
    other: Side | None = None  # the partner's side


class Mixing(Staging):
    """Exchanges."""

    def __init__(self, scenario: Scenario, policy: Policy[Any]) -> None:
        super().__init__(scenario, policy)
        self._sides: dict[tuple[int, int], Side] = {}  # open ones, by node and fragment
        self._without: set[int] = set()  # nodes that wait for another's slow weights
        self._taken_in_steps = 0  # parts of steps that another node has taken in
        self._lost_steps = dict.fromkeys(self.training_nodes, 0)
        every = range(self.fragments)
        self._fleet_steps = {i: [[0] for _ in every] for i in self.training_nodes}  # in each of a node's own versions

    def _exchange(self, decision: known.Exchange) -> None:
        a, b, fragment = decision.a, decision.b, decision.fragment
        sides = (Side(a, b, fragment, decision.to_b), Side(b, a, fragment, decision.to_a))
        for side, other in (sides, sides[::-1]):
            copy = self._copies[side.node][fragment]
            assert not copy.exchanging, "a node is in one exchange of a fragment at a time"
            copy.exchanging, side.other = True, other
            self._sides[side.node, fragment] = side
            self._book(side.legs)
            for number, hop in enumerate(side.legs):
                self._later(hop.start_us, PASS, side, number)
            self._later(max(side.legs[0].start_us, other.legs[-1].arrival_us), CLOSE, side)

    def _later(self, at_us: int, what: int, side: Side, number: int = 0) -> None:
        self._push(at_us, MIXING, what * self.network.nodes + side.node, (what, side, number))

    def _go_on_mixing(self, what: int, side: Side, number: int) -> None:
        if what == HEARD:
            self._hear_offer(side, number)
        elif what == PASS:
            self._pass(side, number)
        elif what == CLOSE:
            self._give_up(side)
        else:
            self._mix(side)

    # -- messages ---

    def _pass(self, side: Side, number: int) -> None:
        """Send a node's message over its next hop, if it is there."""
        if number < side.passed:
            return
        hop, side.passed = side.legs[number], number + 1
        if number == 0 and not self._is_out(side.node):
            self._take_offer(side)
        if side.place != (hop.source, self._lives[hop.source]):
            self._unbook((hop,))
            return
        side.place = None
        assert side.offer is not None
        if self._pass_on(hop, side.offer.value):
            self._later(hop.arrival_us, HEARD, side, number)
        else:
            self._push(missed_us(hop), MISSED, hop.source, (hop, 0, None, None))
        if number == 0:
            self._mix_soon(side)

    def _take_offer(self, side: Side) -> None:
        """Take a node's outer gradient."""
        node, fragment = side.node, side.fragment
        state, copy = self._at_now(node), self._copies[node][fragment]
        self._record_steps(node)
        steps = state.steps - copy.base_steps
        scope, base = own_scope(node), copy.base_version
        value = self._recorder.snapshot(node, self.now_us, fragment, base, steps, scope)
        copy.under_way = OuterGradient(value, node, fragment, base, state.steps, steps, self.now_us)
        fleet_steps = self._adopted_steps(node, fragment) + steps * len(self.training_nodes)
        useful_steps = state.steps - self._lost_steps[node]
        offered = offer_value(node, fragment, self._recorder.local_state[node])
        side.offer = Offer(copy.under_way, offered, useful_steps, fleet_steps)
        side.life = self._lives[node]
        side.place = (node, side.life)

    def _hear_offer(self, side: Side, number: int) -> None:
        """A node's message has come to the end of a hop."""
        dest = side.legs[number].dest
        side.place = (dest, self._lives[dest])
        if dest == side.partner and side.other is not None:
            assert side.offer is not None
            side.other.heard = side.offer
            self._learn((side.offer.gradient,))
            self._mix_soon(side.other)

    # -- mixing ---

    def _can_mix(self, side: Side) -> bool:
        """Whether all is there; what a node heard, or was about to do, is gone when it fails."""
        return side.offer is not None and side.heard is not None and side.life == self._lives[side.node]

    def _mix_soon(self, side: Side) -> None:
        if self._can_mix(side):
            self._later(self._at_now(side.node).boundary_us(), MIX, side)

    def _mix(self, side: Side) -> None:
        if not side.open or not self._can_mix(side):
            return  # its node has failed; it is free again when that is heard
        boundary_us = self._at_now(side.node).boundary_us()
        if boundary_us > self.now_us:  # it was told to do something else since, and is within another step
            self._later(boundary_us, MIX, side)
            return
        own, other, node, fragment = side.offer, side.heard, side.node, side.fragment
        assert own is not None
        assert other is not None
        self._record_steps(node)
        copy, gradients = self._copies[node][fragment], (own.gradient, other.gradient)
        total = sum(self._weight(g) for g in gradients) or 1.0
        shares = tuple(Contribution(g.value, g.node, g.steps, self._weight(g) / total, 0) for g in gradients)
        slow_versions = tuple(g.base_version for g in gradients)
        self._recorder.mix(node, self.now_us, fragment, copy.base_version, shares, slow_versions)
        base, since, how = copy.base_version, own.gradient.value, self.policy.adoption
        self._recorder.adopt(node, self.now_us, fragment, base, base + 1, since, how, own_scope(node))
        self._fleet_steps[node][fragment].append((own.fleet_steps + other.fleet_steps) // 2)
        copy.base_version, copy.base_steps = base + 1, own.gradient.total_steps
        self._take_in(other)
        self._close(side, mixed=True)

    def _take_in(self, offer: Offer) -> None:
        """Count the steps of a node that no other node had before."""
        node, fragment = offer.gradient.node, offer.gradient.fragment
        copy = self._copies[node][fragment]
        fresh = offer.useful_steps + self._lost_steps[node] - copy.merged_steps
        if fresh > 0:
            copy.merged_steps += fresh
            self._taken_in_steps += fresh
            self._evaluate()

    def _give_up(self, side: Side) -> None:
        """The time has come at which a node should have had its partner's message."""
        if side.open and not self._can_mix(side):
            self._close(side, mixed=False)

    def _close(self, side: Side, *, mixed: bool) -> None:
        """A node is free for another exchange of this fragment."""
        if not side.open:
            return
        side.open = False
        del self._sides[side.node, side.fragment]
        copy = self._copies[side.node][side.fragment]
        copy.exchanging = False
        if side.offer is None:
            self._unbook(side.legs[side.passed :])
            side.passed = len(side.legs)
        elif copy.under_way is side.offer.gradient:
            copy.under_way = None
        self._tell(known.Exchanged(side.node, side.partner, side.fragment, mixed))

    # -- faults ---

    def _record_to_failure(self, node: int) -> int:
        unsaved = super()._record_to_failure(node)
        self._lost_steps[node] += unsaved
        return unsaved

    def _hear(self, node: int, life: int, silent: bool | None, hit: list[Gathering]) -> None:
        super()._hear(node, life, silent, hit)
        for fragment in range(self.fragments):
            side = self._sides.get((node, fragment))
            if side is not None and side.offer is not None and side.life != self._lives[node]:
                self._close(side, mixed=False)
            elif side is not None and side.offer is None and node in self.down:
                self._close(side, mixed=False)
                assert side.other is not None
                self._close(side.other, mixed=False)  # it would wait in vain

    def _start_anew(self, node: int) -> None:
        self._without.add(node)
        super()._start_anew(node)

    def _keeps_model(self, node: int) -> bool:
        return node not in self._without if self._gossips else super()._keeps_model(node)

    def _has_model(self, node: int) -> bool:
        return node in self._copies and not self._is_out(node) if self._gossips else super()._has_model(node)

    def _version_at(self, node: int, fragment: int) -> int:
        return self._copies[node][fragment].base_version if self._gossips else super()._version_at(node, fragment)

    def _restore(self, node: int, life: int, source: int, versions: tuple[int, ...], request: int) -> None:
        """A node takes another's slow weights for its own."""
        if not self._gossips or life != self._lives[node] or source < 0:
            super()._restore(node, life, source, versions, request)
            return
        copies, steps = self._copies[node], self._at_now(node).steps
        own = tuple(copy.base_version + 1 for copy in copies)
        self._recorder.restore(node, self.now_us, source, versions, request, own)
        for fragment, version in enumerate(versions):
            self._fleet_steps[node][fragment].append(self._fleet_steps[source][fragment][version])
            copies[fragment] = Copy(own[fragment], steps, steps, exchanging=copies[fragment].exchanging)
        self._without.discard(node)
        self._be_back(node)

    # -- what the rest asks ---

    def _adopted_steps(self, node: int, fragment: int) -> int:
        if not self._gossips:
            return super()._adopted_steps(node, fragment)
        return self._fleet_steps[node][fragment][self._copies[node][fragment].base_version]

    def _own_versions(self) -> OwnVersions:
        """What the nodes that are up have of their own, or all where none is; nothing but in gossip."""
        if not self._gossips:
            return ()
        up = [i for i in self.training_nodes if not self._is_out(i)] or self.training_nodes
        return tuple((i, *(copy.base_version for copy in self._copies[i])) for i in up)

    def _bring_down(self) -> None:
        if not self._gossips:  # there is no one model to bring
            super()._bring_down()

    @abstractmethod
    def _evaluate(self) -> None:
        """Record a validation, if enough steps were merged since the last one."""
