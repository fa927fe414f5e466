"""The discrete-event simulation: a scenario and a policy in, a trace out. No torch, no clock, no randomness."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

from orbital_train.schedule import known
from orbital_train.schedule.bookings import Bookings
from orbital_train.schedule.copies import Copy, Gathering, OuterGradient, Parcel, Version
from orbital_train.schedule.known import Decision, Event, Key, NodeView, Policy
from orbital_train.schedule.network import Hop, Network
from orbital_train.schedule.node import Node
from orbital_train.schedule.recorder import Recorder
from orbital_train.schedule.routes import earliest_arrivals
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.trace import Contribution, Trace, result_value, state_value

# Order of events at the same microsecond. The budget comes first: it may undo steps that have just ended. What arrives
# comes before what leaves, so that it can go along.
BUDGET, ARRIVE, RESULT, ADOPT, GOAL, SNAPSHOT, LEAVE, WAKE = range(8)


class Simulation:
    """Implements :class:`~orbital_train.schedule.known.View` for the policy that it runs."""

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
        self.training_nodes = scenario.training_nodes
        training = frozenset(self.training_nodes)
        relays = tuple(i for i in range(self.network.nodes) if i not in training)
        self.sites = self.training_nodes + (relays if len(training) > 1 else ())
        self.holders = policy.home or self.training_nodes
        if policy.home:
            self.sites = policy.home
        self.draining = False
        self._nodes = scenario.build_nodes()
        every = range(self.fragments)
        self._copies = {i: [Copy() for _ in every] for i in self.training_nodes}
        self._versions = [[Version(0, 0, dict.fromkeys((*self.training_nodes, *self.holders), 0))] for _ in every]
        self._gatherings: dict[Key, Gathering] = {}
        self._goals: dict[int, int | None] = dict.fromkeys(self.training_nodes)
        self._commands = [0] * self.network.nodes  # a predicted goal is void once a node was told something new
        self._recorder = Recorder(scenario, self.holders)
        self._queue: list[tuple[int, int, int, int, Any]] = []
        self._sequence = 0
        self._finished = False
        self._evaluated_steps = 0
        self._budget_watched = False  # a look at the budget is in the queue
        self._memory: Any = None

    # -- the loop ---

    def run(self) -> Trace:
        """Simulate until the budget is trained and merged, or the horizon ends."""
        self._recorder.evaluate(0, self._newest(), 0)
        self._memory = self.policy.start()
        self._tell(known.Started())
        self._watch_budget()
        while self._queue and not self._finished:
            at_us, kind, order, _, detail = heapq.heappop(self._queue)
            if at_us > self.horizon_us:
                break
            self.now_us = at_us
            self._handle(kind, order, detail)
            self._watch_budget()
        end_us = self.now_us if self._finished else self.horizon_us
        for i, state in enumerate(self._nodes):
            state.advance(end_us)
            if i in self._copies:
                self._record_steps(i)
        merged_steps, made_us = self._merged_steps(), max(v[-1].made_us for v in self._versions)
        if merged_steps > self._evaluated_steps:
            self._recorder.evaluate(made_us, self._newest(), merged_steps)
        return self._recorder.trace(self.policy.name, merged_steps, end_us, self._nodes)

    def _push(self, at_us: int, kind: int, order: int, detail: Any = None) -> None:
        self._sequence += 1
        heapq.heappush(self._queue, (at_us, kind, order, self._sequence, detail))

    def _handle(self, kind: int, order: int, detail: Any) -> None:
        if kind == RESULT:
            self._receive(order, *detail)
        elif kind == ADOPT:
            self._adopt(order, detail)
        elif kind == ARRIVE:
            self._arrive(order, *detail)
        elif kind == LEAVE:
            self._leave(*detail)
        elif kind == SNAPSHOT:
            if detail.open:  # it was not cancelled
                self._take_snapshot(order, detail)
        elif kind == GOAL:
            if detail == self._commands[order]:
                self._tell(known.GoalReached(order))
        elif kind == BUDGET:
            self._check_budget()
        else:
            self._tell(known.Woke(detail))

    def _tell(self, event: Event) -> None:
        if type(event) not in self.policy.wants:
            return
        decisions, self._memory = self.policy.decide(event, self, self._memory)
        for decision in decisions:
            self._apply(decision)

    def _apply(self, decision: Decision) -> None:
        match decision:
            case known.Train(node, goal):
                self._train(node, goal)
            case known.Hold(node):
                self._command(node).hold()
                self._predict(node)
            case known.Send(key, node, fragment, site):
                self._send(key, node, fragment, site)
            case known.Gather():
                self._gather(decision)
            case known.Cancel(key):
                self._cancel(key)
            case known.MergeNow(fragment, keys, to):
                self._merge(fragment, keys, to)
            case known.Discard(key):
                self._discard(key)
            case known.Wake(at_us, note):
                self._push(at_us, WAKE, -1, note)
            case known.Finish():
                self._finished = True

    # -- nodes ---

    def _at_now(self, node: int) -> Node:
        self._nodes[node].advance(self.now_us)
        return self._nodes[node]

    def _command(self, node: int) -> Node:
        """The node, for a command that changes what it will do."""
        self._commands[node] += 1
        return self._at_now(node)

    def _train(self, node: int, goal: int | None) -> None:
        state = self._command(node)
        if self.draining:
            return
        state.train()
        self._goals[node] = goal
        self._predict(node)

    def _predict(self, node: int) -> None:
        """When a node that was told something new reaches its goal, and a step boundary if it has to adopt there."""
        goal = self._goals.get(node)
        if goal is not None and self._nodes[node].wanted:
            at_us = self._nodes[node].time_of_steps_us(goal, self.horizon_us)
            if at_us is not None:
                self._push(max(at_us, self.now_us), GOAL, node, self._commands[node])
        for fragment, copy in enumerate(self._copies.get(node, ())):
            if copy.applied > copy.base_version:
                self._push(self._nodes[node].boundary_us(), ADOPT, node, fragment)

    def _book(self, hops: Sequence[Hop]) -> None:
        """Book hops and the energy of sending along them."""
        for hop in hops:
            self.bookings.add(hop, self.now_us)
            sender = self._command(hop.source)
            for piece in hop.pieces:
                if piece.end_us > piece.start_us:
                    sender.add_send(piece.start_us, piece.end_us)
            self._predict(hop.source)

    def _unbook(self, hops: Sequence[Hop]) -> None:
        for hop in hops:
            self.bookings.remove(hop)
            sender = self._command(hop.source)
            for piece in hop.pieces:
                if piece.end_us > piece.start_us:
                    sender.remove_send(piece.start_us, piece.end_us)
            self._predict(hop.source)

    def _record_steps(self, node: int) -> None:
        """Record what was trained since the last time; progress counts the fleet as training like this node."""
        copies, budget = self._copies[node], self.scenario.budget_steps
        per_step = len(self.training_nodes) / budget
        adopted = sum(self._versions[f][copy.base_version].merged_steps for f, copy in enumerate(copies))
        own = sum(copy.base_steps for copy in copies)
        at_zero = (adopted / budget - own * per_step) / self.fragments
        self._recorder.steps(node, self._nodes[node].take_runs(), at_zero, per_step)

    # -- gatherings ---

    def _send(self, key: Key, node: int, fragment: int, site: int) -> None:
        legs: tuple[Hop, ...] | None = ()
        if node != site:
            found = earliest_arrivals(
                self.network, self.bookings, {node: self.now_us}, self.fragment_bits, until=(site,)
            )
            legs = found.route(site)
        self._open(known.Gather(key, fragment, site, ((node, self.now_us),), legs or ()))
        gathering = self._gatherings[key]
        self._take_snapshot(node, gathering)

    def _gather(self, plan: known.Gather) -> None:
        self._open(plan)
        for node, at_us in plan.snapshots:
            self._push(at_us, SNAPSHOT, node, self._gatherings[plan.key])

    def _open(self, plan: known.Gather) -> None:
        assert plan.key not in self._gatherings, "a key names one gathering at a time"
        coming = {node for node, _ in plan.snapshots}
        gathering = Gathering(plan.key, plan.fragment, plan.site, plan.legs, coming)
        self._gatherings[plan.key] = gathering
        self._book(plan.legs)
        for order, hop in enumerate(plan.legs):
            self._push(hop.start_us, LEAVE, order, (gathering, hop))

    def _cancel(self, key: Key) -> None:
        gathering = self._gatherings.pop(key)
        assert not gathering.begun, "what was taken is on its way"
        gathering.open, gathering.cancelled = False, True
        self._unbook(gathering.legs)

    def _discard(self, key: Key) -> None:
        gathering = self._gatherings.pop(key)
        gathering.open = False
        for parcel in (p for parcels in gathering.at.values() for p in parcels):
            self._give_back(parcel)

    def _give_back(self, parcel: Parcel) -> None:
        for gradient in parcel.holds:
            self._copies[gradient.node][gradient.fragment].under_way = None

    def _take_snapshot(self, node: int, gathering: Gathering) -> None:
        """Take the outer gradient of a node; it leaves with the node's next leg."""
        fragment = gathering.fragment
        state, copy = self._at_now(node), self._copies[node][fragment]
        assert copy.under_way is None, "a node has one outer gradient of a fragment under way at a time"
        assert copy.merged_in is None, "the progress in its last outer gradient must be adopted first"
        self._record_steps(node)
        steps = state.steps - copy.merged_steps
        value = self._recorder.snapshot(node, self.now_us, fragment, copy.base_version, steps)
        copy.under_way = OuterGradient(value, node, fragment, copy.base_version, state.steps, steps)
        gathering.begun = True
        self._tell(known.SnapshotTaken(node, fragment))
        self._arrive(node, gathering, Parcel(value, (copy.under_way,)))

    def _leave(self, gathering: Gathering, hop: Hop) -> None:
        """Send all that a node has of a gathering along its leg, added up."""
        if gathering.cancelled:
            return
        parcels = gathering.at.pop(hop.source, []) if gathering.open else []
        if not parcels:
            self._unbook((hop,))
            return
        parcel = parcels[0]
        if len(parcels) > 1:
            holds = tuple(gradient for p in parcels for gradient in p.holds)
            weights = tuple(self._weight(p.holds[0]) if len(p.holds) == 1 else 1.0 for p in parcels)
            inputs = tuple(p.value for p in parcels)
            value = self._recorder.combine(self.now_us, hop.source, gathering.fragment, inputs, weights)
            parcel = Parcel(value, holds)
        self._recorder.sent(hop, parcel.value)
        self._push(hop.arrival_us, ARRIVE, hop.dest, (gathering, parcel))

    def _arrive(self, node: int, gathering: Gathering, parcel: Parcel) -> None:
        if not gathering.open:  # it was refused on its way
            self._give_back(parcel)
            return
        gathering.at.setdefault(node, []).append(parcel)
        if node == gathering.site:
            gathering.coming.difference_update(gradient.node for gradient in parcel.holds)
            if not gathering.coming:
                self._tell(known.Gathered(gathering.key))

    def _weight(self, gradient: OuterGradient) -> float:
        """Of an outer gradient in a sum, not normalised; one without any step has no weight."""
        return float(gradient.steps if self.policy.weights == "tokens" else min(1, gradient.steps))

    # -- merging ---

    def _merge(self, fragment: int, keys: tuple[Key, ...], to: tuple[int, ...]) -> None:
        versions, gatherings = self._versions[fragment], [self._gatherings[key] for key in keys]
        (site,) = {gathering.site for gathering in gatherings}
        parcels = [parcel for gathering in gatherings for parcel in gathering.at.pop(site, [])]
        assert parcels, "a merge takes contributions that have arrived"
        parcels.sort(key=lambda parcel: min(gradient.node for gradient in parcel.holds))
        for gathering in gatherings:
            if not gathering.coming:
                gathering.open = False
                del self._gatherings[gathering.key]
        version = len(versions)
        gradients = sorted((g for parcel in parcels for g in parcel.holds), key=lambda g: g.node)
        contributions, inputs, weights = self._shares(parcels, gradients, version)
        self._recorder.merge(self.now_us, site, fragment, version, contributions, inputs, weights)
        for gradient in gradients:
            copy = self._copies[gradient.node][fragment]
            copy.merged_steps = gradient.total_steps
            copy.merged_in, copy.merged, copy.under_way = version, gradient, None
        versions.append(Version(self.now_us, versions[-1].merged_steps + sum(g.steps for g in gradients), {}))
        self._spread_update(site, fragment, version)
        self._spread_state(site, fragment, version, tuple(node for node in to if node not in self.holders))
        self._evaluate()
        self._tell(known.Merged(fragment, version))

    def _shares(
        self, parcels: list[Parcel], gradients: list[OuterGradient], version: int
    ) -> tuple[tuple[Contribution, ...], tuple[str, ...], tuple[float, ...]]:
        """Contributions, and the inputs that hold them with their weights; where nothing was trained there is none."""
        total = sum(self._weight(g) for g in gradients) or 1.0
        contributions = tuple(
            Contribution(g.value, g.node, g.steps, self._weight(g) / total, version - 1 - g.base_version)
            for g in gradients
        )
        weighed = [
            (p.value, (self._weight(p.holds[0]) if len(p.holds) == 1 else 1.0) / total)
            for p in parcels
            if any(g.steps for g in p.holds)
        ]
        return contributions, tuple(value for value, _ in weighed), tuple(weight for _, weight in weighed)

    def _spread_update(self, site: int, fragment: int, version: int) -> None:
        """Send the averaged outer gradient to all holders; each has the version when it has all before."""
        arrivals_us = self._send_to(site, self.holders, self.fragment_bits, result_value(fragment, version))
        before, made = self._versions[fragment][version - 1], self._versions[fragment][version]
        for node, arrival_us in arrivals_us.items():
            if node in before.complete_us:
                made.complete_us[node] = max(arrival_us, before.complete_us[node])
            if node in self._copies:
                self._push(arrival_us, RESULT, node, (fragment, version, False))

    def _spread_state(self, site: int, fragment: int, version: int, nodes: tuple[int, ...]) -> None:
        """Send the version's parameters to nodes that do not hold the global model."""
        bits, value = self.scenario.workload.fragment_state_bits, state_value(fragment, version)
        for node, arrival_us in self._send_to(site, nodes, bits, value).items():
            self._versions[fragment][version].complete_us[node] = arrival_us
            self._push(arrival_us, RESULT, node, (fragment, version, True))

    def _send_to(self, site: int, nodes: tuple[int, ...], bits: int, value: str) -> dict[int, int]:
        """Send a value along the tree of earliest arrivals; when it arrives at those nodes that can be reached."""
        if set(nodes) <= {site}:
            return dict.fromkeys(nodes, self.now_us)
        found = earliest_arrivals(self.network, self.bookings, {site: self.now_us}, bits)
        hops = _branches(found.hop_into, nodes)
        self._book(hops)
        for hop in hops:
            self._recorder.sent(hop, value)
        return {node: found.arrival_us[node] for node in nodes if node in found.arrival_us}

    def _receive(self, node: int, fragment: int, version: int, whole: bool) -> None:
        copy = self._copies[node][fragment]
        before = copy.applied
        if whole:
            copy.applied = max(before, version)
        else:
            copy.received.add(version)
        while copy.applied + 1 in copy.received:
            copy.applied += 1
            copy.received.discard(copy.applied)
        if copy.applied > before:
            self._push(self._at_now(node).boundary_us(), ADOPT, node, fragment)

    def _adopt(self, node: int, fragment: int) -> None:
        """Adopt the newest version that has come."""
        copy, how = self._copies[node][fragment], self.policy.adoption
        version = copy.applied
        if version == copy.base_version:
            return  # it was adopted before
        boundary_us = self._at_now(node).boundary_us()
        if boundary_us > self.now_us:  # it is within another step than was foreseen
            self._push(boundary_us, ADOPT, node, fragment)
            return
        self._record_steps(node)
        since = copy.merged if copy.merged_in is not None and copy.merged_in <= version else None
        self._recorder.adopt(
            node, self.now_us, fragment, copy.base_version, version, since.value if since else None, how
        )
        if since is not None:
            copy.base_steps, copy.merged_in, copy.merged = since.total_steps, None, None
        if how.mode == "replace":
            copy.merged_steps = copy.base_steps = self._nodes[node].steps
        copy.base_version = version
        self._tell(known.Adopted(node, fragment, version))

    def _newest(self) -> tuple[int, ...]:
        return tuple(len(versions) - 1 for versions in self._versions)

    def _merged_steps(self) -> int:
        """Whole steps: a fragment of a step is the part of it that is merged."""
        return sum(versions[-1].merged_steps for versions in self._versions) // self.fragments

    def _evaluate(self) -> None:
        every, merged_steps = self.scenario.evaluate_every_steps, self._merged_steps()
        if merged_steps // every > self._evaluated_steps // every:
            self._recorder.evaluate(self.now_us, self._newest(), merged_steps)
            self._evaluated_steps = merged_steps

    # -- the budget ---

    def _watch_budget(self) -> None:
        """Look at the budget again at the earliest time at which it can have been reached, whatever is decided."""
        if self._budget_watched or self.draining or self._finished:
            return
        if not any(self._nodes[i].wanted for i in self.training_nodes):
            return  # nothing is trained before another event
        left = self.scenario.budget_steps - self._live_steps()
        whole_rounds = -(-left // len(self.training_nodes)) - 1
        at_us = self.now_us + max(1, whole_rounds) * self.step_us
        if whole_rounds < 1:
            for i in self.training_nodes:
                if self._nodes[i].run_start_us >= 0:
                    at_us = min(at_us, self._nodes[i].run_start_us + self.step_us)
        self._budget_watched = True
        self._push(at_us, BUDGET, -1)

    def _live_steps(self) -> int:
        return sum(self._at_now(i).steps for i in self.training_nodes)

    def _check_budget(self) -> None:
        self._budget_watched = False
        excess = self._live_steps() - self.scenario.budget_steps
        if self.draining or excess < 0:
            return
        for node in reversed(self.training_nodes):
            if excess and self._nodes[node].stepped_now():
                self._nodes[node].drop_last_step()
                excess -= 1
        for node in self.training_nodes:
            self._command(node).hold()
        self.draining = True
        self._tell(known.BudgetReached())

    # -- the view ---

    def gathered(self, key: Key) -> bool:
        """Whether all outer gradients of a gathering are at its site."""
        return key in self._gatherings and not self._gatherings[key].coming

    def version(self, fragment: int) -> int:
        """The newest version of a fragment."""
        return len(self._versions[fragment]) - 1

    def merged_us(self, fragment: int) -> int:
        """When the newest version of a fragment was made."""
        return self._versions[fragment][-1].made_us

    def node(self, node: int, fragment: int) -> NodeView:
        """A training node's state."""
        state, copy = self._at_now(node), self._copies[node][fragment]
        return NodeView(
            node=node,
            fragment=fragment,
            steps=state.steps,
            snapshot_steps=copy.under_way.total_steps if copy.under_way else copy.merged_steps,
            unmerged_steps=state.steps - copy.merged_steps,
            base_version=copy.base_version,
            holding=not state.wanted,
            waiting_for=copy.merged_in,
            under_way=copy.under_way is not None,
        )

    def timeline(self, node: int, until_us: int) -> tuple[Sequence[int], Sequence[int]]:
        """A node's whole steps over time, from now on."""
        return self._at_now(node).timeline(min(until_us, self.horizon_us))

    def pause_us(self, node: int) -> int | None:
        """When a node will next stop training for want of energy."""
        return self._at_now(node).pause_us(self.horizon_us)

    def result_arrival_us(self, node: int, fragment: int, version: int) -> int | None:
        """When a node has a version that was made, and all before it."""
        return self._versions[fragment][version].complete_us.get(node)


def _branches(hop_into: dict[int, Hop], nodes: Sequence[int]) -> list[Hop]:
    """The hops of a tree that lead to these nodes, by start; a hop comes after the one that it goes on from."""
    seen: set[int] = set()
    hops: list[Hop] = []
    for node in nodes:
        path: list[Hop] = []
        while node in hop_into and node not in seen:
            seen.add(node)
            path.append(hop_into[node])
            node = hop_into[node].source
        hops += reversed(path)
    return sorted(hops, key=lambda hop: hop.start_us)


def simulate(scenario: Scenario, policy: Policy[Any]) -> Trace:
    """The trace of a scenario under a policy: a pure function."""
    return Simulation(scenario, policy).run()
