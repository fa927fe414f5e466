"""How messages travel in a simulation: outer gradients to their sites, results to the nodes, and again where they fail.

A message is in the care of the node that sends it until its receiver has acknowledged it. One that was lost is missed
when the acknowledgement does not come, a light time after it should have arrived: then it is sent again, by another way
where there is one; the link that failed is left alone for a while.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence

from orbital_train.schedule import known
from orbital_train.schedule.copies import Gathering, OuterGradient, Parcel, Version
from orbital_train.schedule.known import Key
from orbital_train.schedule.network import FAR_US, Hop
from orbital_train.schedule.routes import earliest_arrivals
from orbital_train.schedule.values import WHOLE, Part, result_value, state_value
from orbital_train.schedule.world import ARRIVE, CATCH_UP, LEAVE, MISSED, RESULT, RETRY, SNAPSHOT, World

PATIENCE_US = 60_000_000  # before a link that failed, or a node that could not be reached, is tried again
LONGEST_PATIENCE_US = 240_000_000  # with a link that fails again and again: it doubles each time


class Carriage(World):
    """Gatherings and deliveries."""

    # -- gatherings ---

    def _send(self, key: Key, node: int, fragment: int, site: int) -> None:
        legs: tuple[Hop, ...] | None = ()
        if node != site:
            legs = earliest_arrivals(
                self.network, self.bookings, {node: self.now_us}, self.fragment_bits, (site,), self.down
            ).route(site)
        gathering = self._open(known.Gather(key, fragment, site, ((node, self.now_us),), legs or ()))
        self._take_snapshot(node, gathering)

    def _gather(self, plan: known.Gather) -> None:
        gathering = self._open(plan)
        for node, at_us in plan.snapshots:
            self._push(at_us, SNAPSHOT, plan.fragment, (node, gathering))  # of several fragments: one after another

    def _open(self, plan: known.Gather) -> Gathering:
        assert plan.key not in self._gatherings, "a key names one gathering at a time"
        coming = {node for node, _ in plan.snapshots}
        gathering = Gathering(plan.key, plan.fragment, plan.site, plan.legs, coming)
        self._gatherings[plan.key] = gathering
        self._set_out(gathering, plan.legs)
        return gathering

    def _set_out(self, gathering: Gathering, legs: Sequence[Hop]) -> None:
        self._book(legs)
        for order, hop in enumerate(legs):
            gathering.leaving[hop.source] = gathering.leaving.get(hop.source, 0) + 1
            self._push(hop.start_us, LEAVE, order, (gathering, hop))

    def _cancel(self, key: Key) -> None:
        gathering = self._gatherings.pop(key)
        assert not gathering.begun, "what was taken is on its way"
        gathering.open, gathering.cancelled = False, True
        # A node that was out when it should have begun has let its leg go.
        self._unbook([hop for hop in gathering.legs if gathering.leaving[hop.source]])

    def _discard(self, key: Key) -> None:
        """Refuse what has not been merged of a gathering, wherever it is."""
        gathering = self._gatherings.pop(key)
        gathering.open = False
        for gradient in gathering.taken:
            copy = self._copy_of(gradient)
            if copy.under_way is gradient:
                copy.under_way = None

    def _take_snapshot(self, node: int, gathering: Gathering) -> None:
        """Take the outer gradient of a node; it leaves with the node's next leg."""
        if not gathering.open or self._is_out(node):
            return
        fragment = gathering.fragment
        state, copy = self._at_now(node), self._copies[node][fragment]
        if copy.under_way is not None or copy.merged_in is not None:
            assert copy.under_way is None or self.scenario.faults, "it has one outer gradient of a fragment under way"
            assert self.scenario.faults, "the progress in its last outer gradient must be adopted first"
            return  # the result that holds it was lost on its way
        self._record_steps(node)
        steps = state.steps - copy.merged_steps
        value = self._recorder.snapshot(node, self.now_us, fragment, copy.base_version, steps)
        copy.under_way = OuterGradient(
            value, node, fragment, copy.base_version, state.steps, steps, self.now_us, value in self._void
        )
        gathering.begun = True
        gathering.taken.append(copy.under_way)
        self._tell(known.SnapshotTaken(node, fragment))
        self._arrive(node, gathering, Parcel(value, (copy.under_way,)))

    def _leave(self, gathering: Gathering | None, hop: Hop) -> None:
        """Send all that a node has of a gathering along its leg, added up; without a gathering, send no more."""
        if gathering is None:
            self._unbook((hop,))
            return
        if gathering.cancelled:
            return
        gathering.leaving[hop.source] -= 1
        parcels = gathering.at.pop(hop.source, []) if gathering.open else []
        if not parcels:
            self._unbook((hop,))
            return
        parcel = self._added_up(hop.source, gathering.fragment, parcels)
        if sum(piece.bits for piece in hop.pieces) != self.sum_bits(len(parcel.holds)):
            self._unbook((hop,))  # it is another sum than was planned
            gathering.at[hop.source] = [parcel]
            if not gathering.leaving[hop.source]:
                self._forward(hop.source, gathering)
        elif self._pass_on(hop, parcel.value):
            self._push(hop.arrival_us, ARRIVE, hop.dest, (gathering, parcel))
        else:
            self._push(missed_us(hop), MISSED, hop.source, (hop, self._lives[hop.source], gathering, parcel))

    def _added_up(self, node: int, fragment: int, parcels: Sequence[Parcel]) -> Parcel:
        """One parcel of all."""
        if len(parcels) == 1:
            return parcels[0]
        return self._combined(node, fragment, parcels, self.scenario.workload.sum_codec)

    def _combined(self, node: int, fragment: int, parcels: Sequence[Parcel], codec: str, part: Part = WHOLE) -> Parcel:
        holds = tuple(gradient for p in parcels for gradient in p.holds)
        weights = tuple(self._parcel_weight(parcel) for parcel in parcels)
        inputs = tuple(p.value for p in parcels)
        value = self._recorder.combine(self.now_us, node, fragment, inputs, weights, codec, part)
        return Parcel(value, holds, part[0])

    def _arrive(self, node: int, gathering: Gathering, parcel: Parcel) -> None:
        if not gathering.open:
            return
        gathering.at.setdefault(node, []).append(parcel)
        if node == gathering.site:
            gathering.coming.difference_update(gradient.node for gradient in parcel.holds)
            self._learn(parcel.holds)
            if not gathering.coming:
                self._tell(known.Gathered(gathering.key))
        elif not gathering.leaving.get(node):
            self._forward(node, gathering)  # it comes after all that it should have gone along with

    def _learn(self, gradients: Iterable[OuterGradient]) -> None:
        """What has come says how many steps its nodes have trained, whatever happened to them before."""
        for gradient in gradients:
            if gradient.taken_us >= self._changed_us.get(gradient.node, 0):
                self._believed.pop(gradient.node, None)

    def _miss(self, hop: Hop, life: int, gathering: Gathering | None, parcel: Parcel | None) -> None:
        """An acknowledgement has not come, or is one of a message whose checksum is wrong.

        What it was for is sent again, unless the sender has lost it since.
        """
        if self._faults.failed_us(hop) is not None:
            self._leave_alone(hop)
        if gathering is not None and parcel is not None:
            self._retry(hop.source, life, gathering, parcel)

    def _leave_alone(self, hop: Hop) -> None:
        """Do not use a link for a while on which a message was lost that was sent since it was last left alone."""
        ends = frozenset({hop.source, hop.dest})
        last_us, since_us, trusted_us = self._patience_us.get(ends, (0, -1, 0))
        if hop.start_us <= since_us:
            return
        patience_us = PATIENCE_US if trusted_us <= self.now_us else min(2 * last_us, LONGEST_PATIENCE_US)
        self._patience_us[ends] = patience_us, self.now_us, FAR_US
        for a, b in ((hop.source, hop.dest), (hop.dest, hop.source)):
            if b in self.network.out[a]:
                # What takes no time may leave as a free stretch ends: that must be before now.
                self.bookings.block(self.network.out[a][b], self.now_us - 1, self.now_us + patience_us)

    def _retry(self, node: int, life: int, gathering: Gathering, parcel: Parcel) -> None:
        if gathering.open and life != self._lives[node]:
            self._tell(known.Lost(gathering.key))
        elif gathering.open:
            gathering.at.setdefault(node, []).append(parcel)
            if not gathering.leaving.get(node):
                self._forward(node, gathering)

    def _forward(self, node: int, gathering: Gathering) -> None:
        """Send what a node has of a gathering to the site by the way that is best now."""
        bits = self.sum_bits(sum(len(parcel.holds) for parcel in gathering.at[node]))
        found = earliest_arrivals(self.network, self.bookings, {node: self.now_us}, bits, (gathering.site,), self.down)
        route = found.route(gathering.site)
        if route:
            self._set_out(gathering, route)
        elif self.now_us + PATIENCE_US < self.horizon_us:
            for parcel in gathering.at.pop(node):
                self._push(self.now_us + PATIENCE_US, RETRY, node, (self._lives[node], gathering, parcel))

    def _weight(self, gradient: OuterGradient) -> float:
        """Of an outer gradient in a sum, not normalised; one without any step, or that is void, has no weight."""
        if gradient.void:
            return 0.0
        return float(gradient.steps if self.policy.weights == "tokens" else min(1, gradient.steps))

    def _parcel_weight(self, parcel: Parcel) -> float:
        """Of an outer gradient, or of a sum of several, which has their weights in it."""
        if len(parcel.holds) == 1:
            return self._weight(parcel.holds[0])
        void = any(gradient.void for gradient in parcel.holds)
        return 0.0 if void and not any(map(self._weight, parcel.holds)) else 1.0

    # -- deliveries ---

    def _spread_update(self, site: int, fragment: int, version: int, holders: Sequence[int]) -> None:
        """Send the averaged outer gradient to holders; each has the version when it has all before."""
        up = [node for node in holders if node not in self.down] if self.down else holders
        self._deliver(fragment, version, {site: self.now_us}, up, whole=False)

    def _spread_state(self, site: int, fragment: int, version: int, nodes: Iterable[int]) -> None:
        """Send the version's parameters to nodes that do not hold the global model."""
        others = tuple(node for node in nodes if node not in self._holding)
        if others:
            self._deliver(fragment, version, {site: self.now_us}, others, whole=True)

    def _deliver(
        self, fragment: int, version: int, sources: dict[int, int], nodes: Sequence[int], *, whole: bool
    ) -> None:
        """Send a version, or what makes it of the one before, along the tree of earliest arrivals."""
        made, before = (
            self._versions[fragment][version],
            self._versions[fragment][self._versions[fragment][version].parent],
        )
        bits = self.scenario.workload.fragment_state_bits if whole else self.fragment_bits
        value = (state_value if whole else result_value)(fragment, version)
        arrival_us, lost = self._send_to(sources, nodes, bits, value)
        for node in nodes:
            if node in arrival_us and (whole or node in before.complete_us):
                made.complete_us[node] = max(arrival_us[node], 0 if whole else before.complete_us[node])
            if node in arrival_us:
                made.coming[node] = life = self._lives[node]
                known_us = lost.get(node, arrival_us[node])
                self._push(known_us, RESULT, node, (fragment, version, whole, life, node in lost))
            elif self.scenario.faults or self.scenario.more_faults:
                self._ask(node, fragment, self.now_us + PATIENCE_US)

    def _send_to(
        self, sources: dict[int, int], nodes: Sequence[int], bits: int, value: str
    ) -> tuple[dict[int, int], dict[int, int]]:
        """Send a value; when it should arrive at each node that can be reached, and when its loss is missed."""
        if set(nodes) <= sources.keys():
            return {node: sources[node] for node in nodes}, {}
        found = earliest_arrivals(
            self.network, self.bookings, sources, bits, avoid=self.down.difference(self._unready, nodes)
        )
        hops = found.branches(nodes)
        self._book(hops)
        lost: dict[int, int] = {}
        for hop in hops:
            if hop.source in lost:
                lost[hop.dest] = lost[hop.source]
                self._never_send(hop)
            elif not self._pass_on(hop, value):
                lost[hop.dest] = missed_us(hop)
                self._push(lost[hop.dest], MISSED, hop.source, (hop, 0, None, None))
        return found.arrival_us, lost

    def _pass_on(self, hop: Hop, value: str) -> bool:
        """Send a message over one hop; whether it gets there."""
        cut_us = self._faults.cut_us(hop)
        stops_us = cut_us if cut_us is not None and self._faults.is_down(hop.source, cut_us) else None
        self._recorder.sent(hop, value, lost=cut_us is not None, until_us=stops_us)
        if stops_us is not None:
            self._push(max(stops_us, self.now_us), LEAVE, 0, (None, hop))
        ends = frozenset({hop.source, hop.dest})
        if cut_us is None and ends in self._patience_us:
            patience_us, since_us, trusted_us = self._patience_us[ends]
            self._patience_us[ends] = patience_us, since_us, min(trusted_us, missed_us(hop))
        return cut_us is None

    def _pass_along(self, route: Sequence[Hop], value: str) -> bool:
        """Send a message along a route that is booked; whether it gets to the end."""
        through = True
        for hop in route:
            if through:
                through = self._pass_on(hop, value)
            else:
                self._never_send(hop)
        return through

    def _never_send(self, hop: Hop) -> None:
        """A message will not get as far as this hop, which nobody knows before it should leave."""
        self._push(hop.start_us, LEAVE, 0, (None, hop))

    def _receive(self, node: int, fragment: int, version: int, whole: bool, life: int, lost: bool) -> None:
        """A version has come, or is missed."""
        made = self._versions[fragment][version]
        if made.coming.get(node) == life:
            del made.coming[node]
        if life != self._lives[node]:
            return  # it was on its way to a node that has failed and come back since
        if lost:
            self._give_up_lost_versions()
            self._ask(node, fragment, self.now_us)
            return
        if whole:
            made.has_us[node] = self.now_us
        else:
            made.update_us[node] = self.now_us
            self._apply_updates(node, fragment, version)
        if node in self._copies:
            self._adopt_newest(node, fragment)

    def _apply_updates(self, node: int, fragment: int, since: int) -> None:
        """Make every version from one on of which a holder now has all that it needs."""
        versions = self._versions[fragment]
        for version in range(since, len(versions)):
            if self._can_make(node, fragment, version):
                versions[version].has_us.setdefault(node, self.now_us)

    def _can_make(self, node: int, fragment: int, version: int) -> bool:
        """Whether a holder has all that a version is made of."""
        versions, made = self._versions[fragment], self._versions[fragment][version]
        return node in made.update_us and node in versions[made.parent].has_us

    def _ask(self, node: int, fragment: int, at_us: int) -> None:
        """Let a node ask for what it misses, once."""
        if node in self._copies and not self._copies[node][fragment].catching_up:
            self._copies[node][fragment].catching_up = True
            self._push(max(at_us, self.now_us), CATCH_UP, node, fragment)

    def _catch_up(self, node: int, fragment: int) -> None:
        """Send a node the versions that it misses, from whoever has them."""
        copy, versions = self._copies[node][fragment], self._versions[fragment]
        copy.catching_up = False
        if self._is_out(node):
            return  # it asks again when it is back
        whole = node not in self._holding
        for version in self._missing(node, fragment):
            having = versions[version].has_us if whole else versions[version].update_us
            sources = {i: self.now_us for i in having if not self._is_out(i)}
            if sources:
                self._deliver(fragment, version, sources, (node,), whole=whole)
            elif having or versions[version].coming:
                self._ask(node, fragment, self.now_us + PATIENCE_US)
            else:
                self._cannot_be_sent(node, fragment, version)
                return

    def _cannot_be_sent(self, node: int, fragment: int, version: int) -> None:
        """Nobody can send what makes a version of the one before: let a node take the whole model."""
        self._start_anew(node)

    def _missing(self, node: int, fragment: int) -> list[int]:
        """Versions that a node needs and is not sent, oldest first; only the newest where it holds no model."""
        copy, version, versions = self._copies[node][fragment], self._heads[fragment], self._versions[fragment]
        if node not in self._holding:
            life, waits = self._lives[node], copy.merged_in is not None and copy.applied < copy.merged_in
            coming = waits and any(made.coming.get(node) == life for made in versions[copy.merged_in :])
            return [version] if waits and not coming else []
        chain = []
        while version > copy.applied:
            if self._needs(node, versions[version]):
                chain.append(version)
            version = versions[version].parent
        return chain[::-1]

    def _needs(self, node: int, made: Version) -> bool:
        """Whether a node has not been, and is not being, sent what makes a version of the one before."""
        return node not in made.update_us and made.coming.get(node) != self._lives[node]

    @abstractmethod
    def _give_up_lost_versions(self) -> None:
        """A version that nobody has any more is as if it had never been made."""

    @abstractmethod
    def _adopt_newest(self, node: int, fragment: int) -> None:
        """Let a node adopt the newest version that it has."""

    @abstractmethod
    def _start_anew(self, node: int) -> None:
        """Let a node wait for the whole model."""


def missed_us(hop: Hop) -> int:
    """When the sender of a lost message misses the acknowledgement."""
    return hop.arrival_us + (hop.arrival_us - hop.end_us)
