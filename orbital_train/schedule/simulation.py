"""The discrete-event simulation: a scenario and a policy in, a trace out. No torch, no clock, no randomness."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from orbital_train.schedule import known, world
from orbital_train.schedule.copies import OuterGradient, Parcel, Version
from orbital_train.schedule.known import Decision, Event, Key, NodeView, Policy
from orbital_train.schedule.mixing import Mixing
from orbital_train.schedule.network import FAR_US
from orbital_train.schedule.ops.merging import Contribution
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.world import ADOPT, BUDGET, WAKE

Watch = Callable[[int, int], None]
"""Told of the simulated time, and of the horizon, in microseconds, every hundredth of it."""


class Simulation(Mixing):
    """Asks the policy, does what it decides, and implements :class:`~orbital_train.schedule.known.View` for it."""

    def __init__(self, scenario: Scenario, policy: Policy[Any], watch: Watch | None = None) -> None:
        super().__init__(scenario, policy)
        self._watch = watch
        self._shown_us = 0 if watch else FAR_US  # when the watch is next told of the time
        training = frozenset(self.training_nodes)
        relays = tuple(i for i in range(self.network.nodes) if i not in training)
        self.sites = policy.home or self.training_nodes + (relays if len(training) > 1 else ())
        self._finished = False
        self._evaluated_steps = 0
        self._budget_watched = False  # a look at the budget is in the queue
        self._memory: Any = None
        self._wanted: frozenset[type[Event]] = policy.wants

    # -- the loop ---

    def run(self) -> Trace:
        """Simulate until the budget is trained and merged, or the horizon ends."""
        self._record_evaluation(0, 0)
        self._memory = self.policy.start()
        self._expect_faults()
        self._stage()
        self._tell(known.Started())
        self._watch_budget()
        self._go_on(lambda: self._finished)
        if not self._finished:
            self.now_us = self.horizon_us
        self._wanted = frozenset()  # nobody decides anything any more
        self._bring_down()
        end_us = self.now_us
        for i, state in enumerate(self._nodes):
            state.advance(end_us)
            if i in self._copies:
                self._record_steps(i)
        merged_steps = self._merged_steps()
        made_us = max(v[head].made_us for v, head in zip(self._versions, self._heads, strict=True))
        if merged_steps > self._evaluated_steps:
            self._record_evaluation(end_us if self._gossips else made_us, merged_steps, known_us=end_us)
        own = self._own_versions()
        return self._recorder.trace(self.policy.name, self._newest(), merged_steps, end_us, self._nodes, own)

    def _go_on(self, over: Callable[[], bool]) -> None:
        while self._queue and not over():
            at_us, kind, order, _, detail = heapq.heappop(self._queue)
            if at_us > self.horizon_us:
                break
            self.now_us = at_us
            self._handle(kind, order, detail)
            self._watch_budget()
            if at_us >= self._shown_us:
                self._show()

    def _show(self) -> None:
        assert self._watch is not None
        self._watch(self.now_us, self.horizon_us)
        self._shown_us = self.now_us + self.horizon_us // 100

    def _handle(self, kind: int, order: int, detail: Any) -> None:
        match kind:
            case world.RESULT:
                self._receive(order, *detail)
            case world.ADOPT:
                self._adopt(order, detail)
            case world.ARRIVE:
                self._arrive(order, *detail)
            case world.LEAVE:
                self._leave(*detail)
            case world.SNAPSHOT:
                self._take_snapshot(*detail)
            case world.GOAL:
                if detail == self._commands[order]:
                    self._believed.pop(order, None)  # who says so is up, and has trained that much
                    self._tell(known.GoalReached(order))
            case world.WAKE:
                self._tell(known.Woke(detail))
            case world.BUDGET:
                self._check_budget()
            case world.MISSED:
                self._miss(*detail)
            case world.RETRY:
                self._retry(order, *detail)
            case world.CATCH_UP:
                self._catch_up(order, detail)
            case world.MIXING:
                self._go_on_mixing(*detail)
            case _:
                self._happen(kind, order, detail)

    def _happen(self, kind: int, node: int, detail: Any) -> None:
        """A fault, or what comes of one."""
        match kind:
            case world.DOWN:
                self._fail(node, detail)
            case world.UP:
                self._come_back(node, detail)
            case world.RESTORED:
                self._restore(node, *detail)
            case world.STAGED:
                self._be_staged(node, *detail)
            case world.NEWS:
                self._hear(node, *detail)
            case world.PACE:
                self._change_pace(node, detail)

    def _tell(self, event: Event) -> None:
        if type(event) not in self._wanted:
            return
        decisions, self._memory = self.policy.decide(event, self, self._memory)
        for decision in decisions:
            self._apply(decision)

    def _apply(self, decision: Decision) -> None:
        match decision:
            case known.Train(node, goal):
                self._train(node, goal)
            case known.Hold(node):
                self._hold(node)
            case known.Send(key, node, fragment, site):
                self._send(key, node, fragment, site)
            case known.Gather():
                self._gather(decision)
            case known.AllReduce():
                self._reduce(decision)
            case known.Cancel(key):
                self._cancel(key)
            case known.MergeNow(fragment, keys, to):
                self._merge(fragment, keys, to)
            case known.Discard(key):
                self._discard(key)
            case known.Exchange():
                self._exchange(decision)
            case known.Wake(at_us, note):
                self._push(at_us, WAKE, -1, note)
            case known.Finish():
                self._finished = True

    # -- nodes ---

    def _train(self, node: int, goal: int | None) -> None:
        if self.draining:
            return
        for state in self._told(node):
            state.train()
        self._goals[node] = goal
        self._predict(node)

    def _hold(self, node: int) -> None:
        for state in self._told(node):
            state.hold()
        self._predict(node)

    # -- merging ---

    def _merge(self, fragment: int, keys: tuple[Key, ...], to: tuple[int, ...]) -> None:
        """Merge, unless the site is down or lacks the newest version: then nobody is there to do it."""
        versions, gatherings = self._versions[fragment], [self._gatherings[key] for key in keys]
        (site,), parent = {gathering.site for gathering in gatherings}, self._heads[fragment]
        can = site not in self._holding or site in versions[parent].has_us
        parcels = [parcel for gathering in gatherings for parcel in gathering.at.get(site, [])]
        if self._is_out(site) or not can or not parcels:
            assert self.scenario.faults, "a merge takes contributions that have arrived, at a site that is up to date"
            return
        parcels.sort(key=lambda parcel: min(gradient.node for gradient in parcel.holds))
        version = self._make_version(fragment, site, parcels)
        for key in keys:
            self._discard(key)  # what has not come
        self._spread_update(site, fragment, version, self.holders)
        self._spread_state(site, fragment, version, to)
        self._made(fragment, version)

    def _make_version(self, fragment: int, site: int, parcels: Sequence[Parcel]) -> int:
        """An outer step of the newest version by what these hold together, or by every part of it."""
        versions, parent = self._versions[fragment], self._heads[fragment]
        version, whole = len(versions), dict.fromkeys(g for parcel in parcels for g in parcel.holds)
        gradients = sorted(whole, key=lambda g: g.node)
        contributions, inputs, weights = self._shares(parcels, gradients, parent)
        share = self._share(contributions, self.training_nodes)
        self._recorder.merge(self.now_us, site, fragment, parent, version, contributions, inputs, weights, share)
        for gradient in gradients:
            copy = self._copy_of(gradient)
            if copy.under_way is gradient:
                copy.merged_steps = gradient.total_steps
                copy.merged_in, copy.merged, copy.under_way = version, gradient, None
        merged_steps = versions[parent].merged_steps + sum(g.steps for g in gradients if not g.void)
        versions.append(Version(self.now_us, merged_steps, parent, tuple(gradients)))
        versions[version].has_us[site] = versions[version].update_us[site] = self.now_us
        self._heads[fragment], self._seat = version, site
        return version

    def _made(self, fragment: int, version: int) -> None:
        self._evaluate()
        self._tell(known.Merged(fragment, version))

    def _shares(
        self, parcels: Sequence[Parcel], gradients: list[OuterGradient], parent: int
    ) -> tuple[tuple[Contribution, ...], tuple[str, ...], tuple[float, ...]]:
        """Contributions, and the inputs that hold them with their weights: an input without any weight is left out."""
        total = sum(self._weight(g) for g in gradients) or 1.0
        contributions = tuple(
            Contribution(g.value, g.node, g.steps, self._weight(g) / total, self._age(g, parent)) for g in gradients
        )
        weighed = [(p.value, self._parcel_weight(p) / total) for p in parcels if any(map(self._weight, p.holds))]
        return contributions, tuple(value for value, _ in weighed), tuple(weight for _, weight in weighed)

    def _share(self, contributions: Sequence[Contribution], nodes: Iterable[int]) -> float:
        """How much of these nodes, of those that are up, contributions stand for.

        They count as 1 / sum of squared weights of nodes that contribute alike (Kish's effective number): then steps
        lead as far, of as much progress, in one merge or in several.
        """
        squares = math.fsum(c.weight**2 for c in contributions)  # in any order the same
        up = sum(node not in self.down for node in nodes)
        return min(1.0, 1.0 / (squares * max(1, up))) if squares else 1.0

    def _age(self, gradient: OuterGradient, version: int) -> int:
        """How many versions lie between what an outer gradient started from and this one."""
        age, versions = 0, self._versions[gradient.fragment]
        while version > gradient.base_version:
            version, age = versions[version].parent, age + 1
        return age

    def _adopt_newest(self, node: int, fragment: int) -> None:
        """Let a node adopt the newest version that it has, if it is newer than what it has adopted."""
        copy = self._copies[node][fragment]
        newest = self._newest_had(node, fragment)
        copy.applied = max(copy.applied, newest if newest is not None else copy.applied)
        if copy.applied > copy.base_version:
            self._push(self._at_now(node).boundary_us(), ADOPT, node, fragment)

    def _newest_had(self, node: int, fragment: int) -> int | None:
        """The newest version that a node has, if it has any."""
        versions = self._versions[fragment]
        return next((v for v in range(len(versions) - 1, -1, -1) if node in versions[v].has_us), None)

    def _adopt(self, node: int, fragment: int) -> None:
        """Adopt the newest version that a node has."""
        copy, how = self._copies[node][fragment], self.policy.adoption
        version = copy.applied
        if version == copy.base_version or self._is_out(node):
            return  # it was adopted before, or the node has failed
        since = copy.merged if copy.merged_in is not None and copy.merged_in <= version else None
        due_us = self._due_us(node, since)
        if due_us is None:
            return
        if due_us > self.now_us:  # it is within another step than was foreseen
            self._push(due_us, ADOPT, node, fragment)
            return
        self._record_steps(node)
        self._recorder.adopt(
            node, self.now_us, fragment, copy.base_version, version, since.value if since else None, how
        )
        if since is not None:
            copy.base_steps, copy.merged_in, copy.merged = since.total_steps, None, None
        if how.mode == "replace":
            copy.merged_steps = copy.base_steps = self._nodes[node].steps
        copy.base_version = version
        self._tell(known.Adopted(node, fragment, version))

    def _due_us(self, node: int, since: OuterGradient | None) -> int | None:
        """When a node may adopt what holds an outer gradient of its own; None if not before the horizon."""
        state, after_steps = self._at_now(node), self.policy.adoption.after_steps
        if since is None or not state.wanted or state.steps >= since.total_steps + after_steps:
            return state.boundary_us()
        return state.time_of_steps_us(since.total_steps + after_steps, self.horizon_us)

    def _newest(self) -> tuple[int, ...]:
        return tuple(self._heads)

    def _merged_steps(self) -> int:
        """Whole steps: a fragment of a step is the part of it that is merged."""
        if self._gossips:
            return self._taken_in_steps // self.fragments
        heads = zip(self._versions, self._heads, strict=True)
        return sum(versions[head].merged_steps for versions, head in heads) // self.fragments

    def _evaluate(self) -> None:
        every, merged_steps = self.scenario.evaluate_every_steps, self._merged_steps()
        if merged_steps // every > self._evaluated_steps // every:
            self._record_evaluation(self.now_us, merged_steps)
            self._evaluated_steps = merged_steps

    def _record_evaluation(self, at_us: int, merged_steps: int, known_us: int | None = None) -> None:
        self._recorder.evaluate(at_us, self._newest(), merged_steps, self._own_versions(), known_us)

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
                    at_us = min(at_us, self._nodes[i].run_start_us + self._nodes[i].step_us)
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
            self._hold(node)
        self.draining = True
        self._tell(known.BudgetReached())

    # -- the view ---

    def gathered(self, key: Key) -> bool:
        """Whether all outer gradients of a gathering are at its site."""
        return key in self._gatherings and not self._gatherings[key].coming

    def begun(self, key: Key) -> bool:
        """Whether any outer gradient of a gathering was taken."""
        return key in self._gatherings and self._gatherings[key].begun

    def arrived(self, key: Key) -> bool:
        """Whether anything of a gathering is at its site."""
        return key in self._gatherings and bool(self._gatherings[key].at.get(self._gatherings[key].site))

    def version(self, fragment: int) -> int:
        """The newest version of a fragment."""
        return self._heads[fragment]

    def group(self, number: int) -> known.View:
        """A fleet without groups is one."""
        return self

    def group_state(self, number: int) -> known.GroupState:
        """It has no model beside the global one."""
        return known.GroupState(0, free=False)

    def merged_us(self, fragment: int) -> int:
        """When the newest version of a fragment was made."""
        return self._versions[fragment][self._heads[fragment]].made_us

    def node(self, node: int, fragment: int) -> NodeView:
        """A training node's state."""
        state, copy = self._as_known(node), self._copies[node][fragment]
        return NodeView(
            node=node,
            fragment=fragment,
            steps=state.steps,
            snapshot_steps=copy.under_way.total_steps if copy.under_way else copy.merged_steps,
            unmerged_steps=state.steps - copy.merged_steps,
            base_version=copy.base_version,
            holding=not state.wanted,
            waiting_for=copy.merged_in,
            under_way=copy.under_way is not None or copy.exchanging,
        )

    def timeline(self, node: int, until_us: int) -> tuple[Sequence[int], Sequence[int]]:
        """A node's whole steps over time, from now on."""
        return self._as_known(node).timeline(min(until_us, self.horizon_us))

    def pause_us(self, node: int) -> int | None:
        """When a node will next stop training for want of energy."""
        return self._as_known(node).pause_us(self.horizon_us)

    def result_arrival_us(self, node: int, fragment: int, version: int) -> int | None:
        """When a node has a version that was made, and all before it."""
        return self._versions[fragment][version].complete_us.get(node)
