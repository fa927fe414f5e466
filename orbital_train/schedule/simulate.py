"""The discrete-event simulation: a scenario and a policy in, a trace out. No torch, no clock, no randomness."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

from orbital_train.schedule import known
from orbital_train.schedule.bookings import Bookings
from orbital_train.schedule.known import Decision, Event, NodeView, Policy
from orbital_train.schedule.network import Network, Route
from orbital_train.schedule.node import Node
from orbital_train.schedule.recorder import FRAGMENT, Recorder
from orbital_train.schedule.replicas import Replica, Snapshot, Version
from orbital_train.schedule.routes import earliest_arrivals
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.trace import AdoptMode, Contribution, Trace

# Order of events at the same microsecond. The budget comes first: it may undo steps that have just ended.
BUDGET, SEND, GOAL, CONTRIBUTION, RESULT, ADOPT, WAKE = range(7)


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
        self.message_bits = scenario.workload.message_bits
        self.training_nodes = scenario.training_nodes
        relays = tuple(i for i in range(self.network.nodes) if i not in scenario.training_nodes)
        self.sites = scenario.training_nodes + (relays if len(scenario.training_nodes) > 1 else ())
        self.draining = False
        self._nodes = scenario.build_nodes()
        self._replicas = {i: Replica() for i in self.training_nodes}
        self._versions = [Version(0, 0, dict.fromkeys(self.training_nodes, 0), {})]
        self._recorder = Recorder(scenario)
        self._queue: list[tuple[int, int, int, int, Any]] = []
        self._sequence = 0
        self._finished = False
        self._evaluated_steps = 0
        self._budget_watched = False  # a look at the budget is in the queue
        self._memory: Any = None

    # -- the loop ---

    def run(self) -> Trace:
        """Simulate until the budget is trained and merged, or the horizon ends."""
        self._recorder.evaluate(0, 0, 0)
        self._memory = self.policy.start()
        self._tell(known.Started())
        self._watch_budget()
        while self._queue and not self._finished:
            at_us, kind, node, _, detail = heapq.heappop(self._queue)
            if at_us > self.horizon_us:
                break
            self.now_us = at_us
            self._handle(kind, node, detail)
            self._watch_budget()
        end_us = self.now_us if self._finished else self.horizon_us
        for i, state in enumerate(self._nodes):
            state.advance(end_us)
            if i in self._replicas:
                self._record_steps(i)
        newest = self._versions[-1]
        if newest.merged_steps > self._evaluated_steps:
            self._recorder.evaluate(newest.made_us, self.version, newest.merged_steps)
        return self._recorder.trace(self.policy.name, newest.merged_steps, end_us, self._nodes)

    def _push(self, at_us: int, kind: int, node: int, detail: Any = None) -> None:
        self._sequence += 1
        heapq.heappush(self._queue, (at_us, kind, node, self._sequence, detail))

    def _handle(self, kind: int, node: int, detail: Any) -> None:
        if kind == BUDGET:
            self._check_budget()
        elif kind == SEND:
            planned = self._replicas[node].planned
            if planned is not None and planned is detail:  # it was not cancelled
                self._replicas[node].planned = None
                self._take_snapshot(node, *planned)
        elif kind == GOAL:
            if detail == self._replicas[node].commands:
                self._tell(known.GoalReached(node))
        elif kind == CONTRIBUTION:
            assert isinstance(detail, Snapshot)
            detail.arrived = True
            if self._replicas[node].snapshot is detail:  # it was not discarded
                self._tell(known.ContributionArrived(node, detail.site))
        elif kind == RESULT:
            self._receive(node, detail)
        elif kind == ADOPT:
            self._adopt(node, *detail)
        else:
            self._tell(known.Woke(detail))

    def _tell(self, event: Event) -> None:
        decisions, self._memory = self.policy.decide(event, self, self._memory)
        for decision in decisions:
            self._apply(decision)

    def _apply(self, decision: Decision) -> None:
        match decision:
            case known.Train(node, goal):
                self._train(node, goal)
            case known.Hold(node):
                self._command(node).hold()
            case known.Send(node, site):
                self._send_now(node, site)
            case known.SendAt(node, site, route, at_us):
                self._send_later(node, site, route, at_us)
            case known.Cancel(node):
                self._cancel(node)
            case known.MergeNow(site, nodes):
                self._merge(site, nodes)
            case known.Discard(node):
                self._replicas[node].snapshot = None
            case known.AdoptNow(node, version, mode):
                self._push(self._at_now(node).boundary_us(), ADOPT, node, (version, mode))
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
        self._replicas[node].commands += 1
        return self._at_now(node)

    def _train(self, node: int, goal: int | None) -> None:
        state, replica = self._command(node), self._replicas[node]
        if self.draining:
            return
        state.train()
        replica.goal = goal
        self._predict_goal(node)

    def _predict_goal(self, node: int) -> None:
        replica = self._replicas.get(node)
        if replica is not None and replica.goal is not None and self._nodes[node].wanted:
            at_us = self._nodes[node].time_of_steps_us(replica.goal, self.horizon_us)
            if at_us is not None:
                self._push(max(at_us, self.now_us), GOAL, node, replica.commands)

    def _book(self, route: Route) -> None:
        """Book a route and the energy of sending along it."""
        self.bookings.add(route, self.now_us)
        for source, start_us, end_us in _sends(route):
            self._command_sender(source).add_send(start_us, end_us)
            self._predict_goal(source)

    def _unbook(self, route: Route) -> None:
        self.bookings.remove(route)
        for source, start_us, end_us in _sends(route):
            self._command_sender(source).remove_send(start_us, end_us)
            self._predict_goal(source)

    def _command_sender(self, node: int) -> Node:
        return self._command(node) if node in self._replicas else self._at_now(node)

    def _record_steps(self, node: int) -> None:
        """Record what was trained since the last time; progress counts the fleet as training like this node."""
        replica, budget = self._replicas[node], self.scenario.budget_steps
        per_step = len(self.training_nodes) / budget
        known_steps = self._versions[replica.base_version].merged_steps
        at_zero = known_steps / budget - replica.base_steps * per_step
        self._recorder.steps(node, self._nodes[node].take_runs(), at_zero, per_step)

    # -- messages ---

    def _send_now(self, node: int, site: int) -> None:
        ready_us = {node: self.now_us}
        found = earliest_arrivals(self.network, self.bookings, ready_us, self.message_bits, until=(site,))
        route = found.route(site)
        if route is not None:
            self._book(route)
        self._take_snapshot(node, site, route)

    def _send_later(self, node: int, site: int, route: Route, at_us: int) -> None:
        self._book(route)
        plan = (site, route)
        self._replicas[node].planned = plan
        self._push(at_us, SEND, node, plan)

    def _cancel(self, node: int) -> None:
        planned, self._replicas[node].planned = self._replicas[node].planned, None
        if planned is not None:
            self._unbook(planned[1])

    def _take_snapshot(self, node: int, site: int, route: Route | None) -> None:
        """Take the outer gradient and let it travel; without a route it is taken but goes nowhere."""
        state, replica = self._at_now(node), self._replicas[node]
        assert replica.snapshot is None, "a node has one outer gradient under way at a time"
        assert replica.merged_in is None, "the progress in its last outer gradient must be adopted first"
        self._record_steps(node)
        steps = state.steps - replica.merged_steps
        value = self._recorder.snapshot(node, self.now_us, replica.base_version, steps)
        replica.snapshot = Snapshot(value, node, site, replica.base_version, state.steps, steps)
        if route is not None:
            self._recorder.attach(value, self._recorder.sent(route, value))
            arrival_us = route[-1].arrival_us if route else self.now_us
            self._push(arrival_us, CONTRIBUTION, node, replica.snapshot)
        self._tell(known.SnapshotTaken(node))

    def _merge(self, site: int, nodes: tuple[int, ...]) -> None:
        version = len(self._versions)
        snapshots = [s for s in (self._replicas[i].snapshot for i in nodes) if s is not None]
        assert snapshots
        assert all(s.arrived and s.site == site for s in snapshots), "a merge takes contributions that have arrived"
        contributions = self._contributions(snapshots, version)
        self._recorder.merge(self.now_us, site, version, contributions)
        for snapshot in snapshots:
            replica = self._replicas[snapshot.node]
            replica.merged_steps = snapshot.total_steps
            replica.merged_in, replica.merged_snapshot, replica.snapshot = version, snapshot, None
        merged_steps = self._versions[-1].merged_steps + sum(s.steps for s in snapshots)
        self._versions.append(Version(self.now_us, merged_steps, {}, {}))
        self._broadcast(site, version)
        every = self.scenario.evaluate_every_steps
        if merged_steps // every > self._evaluated_steps // every:
            self._recorder.evaluate(self.now_us, version, merged_steps)
            self._evaluated_steps = merged_steps
        self._tell(known.Merged(version))

    def _contributions(self, snapshots: list[Snapshot], version: int) -> tuple[Contribution, ...]:
        total_steps, filled = sum(s.steps for s in snapshots), sum(1 for s in snapshots if s.steps)
        rows = []
        for s in snapshots:
            by_tokens = self.policy.weights == "tokens"
            weight = 0.0 if not s.steps else s.steps / total_steps if by_tokens else 1.0 / filled
            staleness = version - 1 - s.base_version
            rows.append(Contribution(snapshot=s.value, node=s.node, steps=s.steps, weight=weight, staleness=staleness))
        return tuple(rows)

    def _broadcast(self, site: int, version: int) -> None:
        """Send the averaged outer gradient to every training node along the tree of earliest arrivals."""
        tree = earliest_arrivals(self.network, self.bookings, {site: self.now_us}, self.message_bits)
        made, value = self._versions[version], f"result/{FRAGMENT}@{version}"
        sent: dict[int, tuple[int, ...]] = {}  # transfers into a node: what several routes share is sent once
        for node in self.training_nodes:
            route = tree.route(node)
            if route is None:
                continue
            for hop in route:
                if hop.dest not in sent:
                    self._book((hop,))
                    sent[hop.dest] = self._recorder.sent((hop,), value)
            made.transfers[node] = tuple(t for hop in route for t in sent[hop.dest])
            arrival_us = route[-1].arrival_us if route else self.now_us
            if node in self._versions[version - 1].complete_us:
                made.complete_us[node] = max(arrival_us, self._versions[version - 1].complete_us[node])
            self._push(arrival_us, RESULT, node, version)

    def _receive(self, node: int, version: int) -> None:
        replica = self._replicas[node]
        replica.received.add(version)
        before = replica.applied
        while replica.applied + 1 in replica.received:
            replica.applied += 1
            replica.received.discard(replica.applied)
        if replica.applied > before:
            self._tell(known.ResultArrived(node, replica.applied))

    def _adopt(self, node: int, version: int, mode: AdoptMode) -> None:
        replica = self._replicas[node]
        if version <= replica.base_version:
            return  # a newer one was adopted at the same boundary
        boundary_us = self._at_now(node).boundary_us()
        if boundary_us > self.now_us:  # it was told to do something else since, and is within another step
            self._push(boundary_us, ADOPT, node, (version, mode))
            return
        self._record_steps(node)
        since = replica.merged_snapshot if replica.merged_in is not None and replica.merged_in <= version else None
        transfers = tuple(
            t for v in range(replica.base_version + 1, version + 1) for t in self._versions[v].transfers.get(node, ())
        )
        value = since.value if since else None
        self._recorder.adopt(node, self.now_us, replica.base_version, version, value, mode, transfers)
        if since is not None:
            replica.base_steps, replica.merged_in, replica.merged_snapshot = since.total_steps, None, None
        if mode == "replace":
            replica.merged_steps = replica.base_steps = self._nodes[node].steps
        replica.base_version = version
        self._tell(known.Adopted(node, version))

    # -- the budget ---

    def _watch_budget(self) -> None:
        """Look at the budget again at the earliest time at which it can have been reached, whatever is decided."""
        if self.draining or self._finished or self._budget_watched:
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

    @property
    def version(self) -> int:
        """The newest version."""
        return len(self._versions) - 1

    @property
    def merged_us(self) -> int:
        """When the newest version was made."""
        return self._versions[-1].made_us

    def node(self, node: int) -> NodeView:
        """A training node's state."""
        state, replica = self._at_now(node), self._replicas[node]
        return NodeView(
            node=node,
            steps=state.steps,
            snapshot_steps=replica.snapshot.total_steps if replica.snapshot else replica.merged_steps,
            unmerged_steps=state.steps - replica.merged_steps,
            base_version=replica.base_version,
            holding=not state.wanted,
            waiting_for=replica.merged_in,
            under_way=replica.snapshot is not None,
        )

    def timeline(self, node: int, until_us: int) -> tuple[Sequence[int], Sequence[int]]:
        """A node's whole steps over time, from now on."""
        return self._at_now(node).timeline(min(until_us, self.horizon_us))

    def pause_us(self, node: int) -> int | None:
        """When a node will next stop training for want of energy."""
        return self._at_now(node).pause_us(self.horizon_us)

    def result_arrival_us(self, node: int, version: int) -> int | None:
        """When a node receives a version that was made, and all before it."""
        return self._versions[version].complete_us.get(node)


def _sends(route: Route) -> list[tuple[int, int, int]]:
    """(node, start, end) of everything that takes a sender any time."""
    pieces = ((hop.source, piece) for hop in route for piece in hop.pieces)
    return [(source, piece.start_us, piece.end_us) for source, piece in pieces if piece.end_us > piece.start_us]


def simulate(scenario: Scenario, policy: Policy[Any]) -> Trace:
    """The trace of a scenario under a policy: a pure function."""
    return Simulation(scenario, policy).run()
