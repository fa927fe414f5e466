"""How nodes fail and come back in a simulation, and when others hear of it.

A node that fails stops, and forgets what it was about to pass on. Its on-board store has what it had at its last
snapshot, adoption or block of steps. If the store is kept, the node goes on from it when it is back. If it is lost, or
a bit of it was flipped, the node asks for the model: the request goes out to all, and the nearest node that has the
model sends it. Its inner optimizer then starts anew.

Others notice that a node is silent when they have a link to it open, after a light time and a little patience, and pass
the news on to the site of the newest version, where decisions are taken. The same holds when it is back. News takes
light time and waits for contacts, but needs no volume.
"""

from __future__ import annotations

from orbital_train.schedule import known
from orbital_train.schedule.carriage import PATIENCE_US
from orbital_train.schedule.copies import Gathering, Version
from orbital_train.schedule.faults import Outage
from orbital_train.schedule.reductions import SILENCE_US, Reductions
from orbital_train.schedule.routes import earliest_arrivals
from orbital_train.schedule.values import restored_value
from orbital_train.schedule.world import DOWN, NEWS, PACE, RESTORED, UP

NEWS_BITS = 1


class Outages(Reductions):
    """Failures, restorations and news."""

    def _expect_faults(self) -> None:
        """Note when everything of the fault plan happens."""
        for outage in self.scenario.faults.down:
            self._push(outage.start_us, DOWN, outage.node, outage)
            if outage.end_us is not None:
                self._push(outage.end_us, UP, outage.node, outage)
        for node in self.training_nodes:
            for at_us, factor in self._faults.factors(node):
                self._push(at_us, PACE, node, factor)

    def _fail(self, node: int, outage: Outage) -> None:
        """A node goes down."""
        state, self._changed_us[node] = self._at_now(node), self.now_us
        heard_us = 0 if self.now_us == 0 else self._heard_us(node, silent=True)
        if node not in self._believed and heard_us > self.now_us:
            self._believed[node] = state.fork()
        self._lives[node] += 1
        self._unready.discard(node)
        self._commands[node] += 1
        hit = [gathering for gathering in self._gatherings.values() if gathering.at.pop(node, None)]
        if node in self._copies and node not in self._unstaged:
            unsaved = self._record_to_failure(node) if not state.out else 0
            self._recorder.lose(node, self.now_us, outage, unsaved, self._unheard.get((node, self.now_us)))
            for copy in self._copies[node]:
                copy.forget(unsaved)
        state.put_out("down")
        if outage.loses_state and node in self._copies:  # the stores of ground sites are safe
            self._forget_versions(node)
        self._push(heard_us, NEWS, node, (self._lives[node], True, hit))

    def _forget_versions(self, node: int) -> None:
        for versions in self._versions:
            for version in versions:
                version.has_us.pop(node, None)
                version.update_us.pop(node, None)

    def _record_to_failure(self, node: int) -> int:
        """Record the steps up to now; how many of the last are in no store."""
        in_progress = self._nodes[node].run_start_us >= 0
        self._record_steps(node)
        return self._recorder.unsaved_steps(node) if in_progress else 0

    def _come_back(self, node: int, outage: Outage) -> None:
        """A node is up again."""
        if self._faults.is_down(node, self.now_us):
            return  # another outage begins
        if node in self._copies and self._faults.spoils(node, self._recorder.saved_us[node], self.now_us):
            self._forget_versions(node)  # what is in its store does not have the digest that it should have
        # It may have waited for the model since an earlier outage.
        if (not outage.loses_state and self._keeps_model(node)) or node not in self._copies:
            if node in self._copies:
                self._recorder.restore_own(node, self.now_us)
            self._be_back(node)
            return
        self._start_anew(node)

    def _start_anew(self, node: int) -> None:
        """Let a node wait for the whole model, without what it has."""
        state = self._at_now(node)
        self._record_steps(node)
        state.put_out("restoring")
        self._commands[node] += 1
        self._ask_for_model(node, self._lives[node])

    def _ask_for_model(self, node: int, life: int) -> None:
        """Let the nearest node that has the model send it."""
        if life != self._lives[node]:
            return
        asked = earliest_arrivals(self.network, self.bookings, {node: self.now_us}, NEWS_BITS).arrival_us
        ready_us = {i: t for i, t in asked.items() if i != node and self._can_give(i, node)}
        if self.policy.home and node in self._holding:  # nobody can bring it up to date later
            ready_us = {i: t for i, t in ready_us.items() if self._is_current(i)}
            newest = max((self._age_of_model(i) for i in ready_us), default=0)
            ready_us = {i: t for i, t in ready_us.items() if self._age_of_model(i) == newest}
        bits = self._restore_bits(node)
        route = (
            earliest_arrivals(self.network, self.bookings, ready_us, bits, (node,)).route(node) if ready_us else None
        )
        again_us = self.now_us + PATIENCE_US
        if not route:
            self._push(again_us, RESTORED, node, (life, -1, (), 0))
            return
        source = route[0].source
        versions = tuple(self._version_for(node, source, fragment) for fragment in range(self.fragments))
        self._book(route)
        self._requests[node] += 1
        request = self._requests[node]
        if self._pass_along(route, restored_value(node, request)):
            self._push(route[-1].arrival_us, RESTORED, node, (life, source, versions, request))
        else:
            self._push(route[-1].arrival_us + PATIENCE_US, RESTORED, node, (life, -1, (), 0))

    def _restore_bits(self, node: int) -> int:
        """Size of what a node is sent that begins anew."""
        return self.scenario.workload.restore_bits(node in self._holding)

    def _can_give(self, node: int, asking: int) -> bool:
        """Whether a node could send another what it needs to begin anew."""
        return self._has_model(node)

    def _version_for(self, node: int, source: int, fragment: int) -> int:
        """The version that a node is sent by another when it begins anew."""
        return self._version_at(source, fragment)

    def _has_model(self, node: int) -> bool:
        """Whether a node could give a version of the global model to another."""
        return not self._is_out(node) and self._keeps_model(node)

    def _keeps_model(self, node: int) -> bool:
        return all(
            node in versions[0].has_us or any(node in version.has_us for version in versions)
            for versions in self._versions
        )

    def _is_current(self, node: int) -> bool:
        """Whether what a node can give is the newest version, or one that led to it, and none that was given up."""
        for fragment, version in enumerate(self._heads):
            given = self._version_at(node, fragment)
            while version > given:
                version = self._versions[fragment][version].parent
            if version != given:
                return False
        return True

    def _age_of_model(self, node: int) -> int:
        """How many versions of all fragments went into what a node can give to another."""
        return sum(self._version_at(node, fragment) for fragment in range(self.fragments))

    def _version_at(self, node: int, fragment: int) -> int:
        """The newest version that a node can give to another."""
        if node in self._copies:
            return self._copies[node][fragment].applied
        versions = self._versions[fragment]
        return max(v for v in range(len(versions)) if node in versions[v].has_us)

    def _restore(self, node: int, life: int, source: int, versions: tuple[int, ...], request: int) -> None:
        """The model has come, or has to be asked for again."""
        if life != self._lives[node]:
            return
        if source < 0:
            self._ask_for_model(node, life)
            return
        state = self._at_now(node)
        self._recorder.restore(node, self.now_us, source, versions, request)
        for copy, version, made in zip(self._copies[node], versions, self._versions, strict=True):
            copy.base_version = copy.applied = version
            copy.base_steps = copy.merged_steps = state.steps
            copy.under_way = copy.merged = copy.merged_in = None
            made[version].has_us[node] = made[version].complete_us[node] = self.now_us
        self._give_up_lost_versions()
        self._be_back(node)

    def _be_back(self, node: int) -> None:
        self._at_now(node).put_out("")
        self._changed_us[node] = self.now_us
        self._commands[node] += 1
        self._predict(node)
        for fragment in range(self.fragments):
            if node in self._copies:
                copy = self._copies[node][fragment]
                copy.catching_up = False
                self._ask(node, fragment, self.now_us)
        self._push(self._heard_us(node, silent=False), NEWS, node, (self._lives[node], False, []))

    # -- news ---

    def _heard_us(self, node: int, *, silent: bool) -> int:
        """When the news that a node is silent, or back, is where decisions are taken; after the horizon if never."""
        seat = self._seat
        seats = {seat} if seat not in (None, node) and not self._is_out(seat) else self._others(node)
        if not seats:
            return self.now_us
        ready_us = {node: self.now_us}
        if silent:
            ready_us = self._noticed_us(node)
        found = earliest_arrivals(self.network, self._free, ready_us, NEWS_BITS, seats, (node,) if silent else ())
        return min((found.arrival_us[i] for i in seats if i in found.arrival_us), default=self.horizon_us + 1)

    def _others(self, node: int) -> set[int]:
        return {i for i in self.training_nodes if i != node and not self._is_out(i)}

    def _noticed_us(self, node: int) -> dict[int, int]:
        """When each node that has a link to this one, and is up while it is open, notices its silence."""
        noticed = {}
        for dest, edge in self.network.out[node].items():
            seen_us = (
                self._faults.up_us(dest, max(start_us, self.now_us) + owlt_us, end_us + owlt_us)
                for start_us, end_us, owlt_us in edge.windows_us()
                if end_us > self.now_us
            )
            first_us = next((at_us for at_us in seen_us if at_us is not None), None)
            if first_us is not None:
                noticed[dest] = first_us + SILENCE_US
        return noticed

    def _change_pace(self, node: int, factor: float) -> None:
        """Steps of a node take longer, or as long as usual again; others hear of it later."""
        state, self._changed_us[node] = self._at_now(node), self.now_us
        self._believed.setdefault(node, state.fork())
        self._commands[node] += 1
        state.set_pace(factor)
        self._predict(node)
        self._push(self._heard_us(node, silent=False), NEWS, node, (self._lives[node], None, []))

    def _hear(self, node: int, life: int, silent: bool | None, hit: list[Gathering]) -> None:
        """What happened to a node is known from now on."""
        if life == self._lives[node] and silent is None and not self._is_out(node):
            self._believed.pop(node, None)
        elif life == self._lives[node] and silent == self._is_out(node):
            self._believed.pop(node, None)
            if silent:
                self.down |= {node}
                self._give_up_lost_versions()
                self._tell(known.NodeDown(node))
            elif node in self.down:
                self.down -= {node}
                for fragment in range(self.fragments):  # versions that were made meanwhile
                    self._ask(node, fragment, self.now_us)
                self._tell(known.NodeBack(node))
        for gathering in hit:
            if gathering.open:
                self._tell(known.Lost(gathering.key))

    def _give_up_lost_versions(self) -> None:
        """A version that nobody has any more is as if it had never been made.

        Where homes hold the model, nor is one that none of them has, once one of them has an older one.
        """
        for fragment, versions in enumerate(self._versions):
            while (head := self._heads[fragment]) and self._is_lost(fragment, head):
                self._give_up_version(fragment, head)
                self._heads[fragment] = versions[head].parent
            self._foresee(fragment, self._heads[fragment])

    def _give_up_version(self, fragment: int, version: int) -> None:
        """What was merged into a version is merged in none."""
        for gradient in self._versions[fragment][version].gradients:
            copy = self._copy_of(gradient)
            if copy.merged is gradient:
                copy.merged = copy.merged_in = None
                copy.merged_steps -= gradient.steps

    def _foresee(self, fragment: int, version: int) -> None:
        """Who should have a version by now and has not will have it at a time that nobody knows."""
        real = self._versions[fragment][version]
        if real.made_us:
            real.complete_us = {i: t for i, t in real.complete_us.items() if t > self.now_us or i in real.has_us}

    def _is_lost(self, fragment: int, version: int) -> bool:
        """Whether nobody has a version; with homes, whether only others have, and a home has an older one."""
        versions = self._versions[fragment]
        having = versions[version].has_us.keys()
        if not having:
            made = versions[version]
            return not any(life == self._lives[i] for i, life in made.coming.items())
        if not self.policy.home or not self._holding.isdisjoint(having):
            return False
        lost = not all(self._holding.isdisjoint(older.has_us) for older in versions[:version])
        return lost and not self._is_coming(versions[version])

    def _is_coming(self, made: Version) -> bool:
        """Whether a version is on its way to anybody who holds the model, as far as is known."""
        return any(life == self._lives[i] for i, life in made.coming.items() if i in self._holding)
