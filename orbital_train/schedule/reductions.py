"""How an all-reduce in parts is carried out in a simulation.

It is planned whole, by :mod:`orbital_train.schedule.collectives`, and done as planned: a move that has nothing to carry
when its time has come does not happen, and leaves those after it without. Nothing is sent again. A sender notices by a
missed acknowledgement, a receiver when nothing has come at its time. Where that happens before anybody has the whole
sum, the all-reduce has failed, and the policy is told. After that, whoever will not get all parts asks for the result
instead, as anybody does who misses one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence

from orbital_train.schedule import known
from orbital_train.schedule.carriage import Carriage, missed_us
from orbital_train.schedule.collectives.plan import Move
from orbital_train.schedule.copies import Gathering, Parcel, Reduction
from orbital_train.schedule.known import Key
from orbital_train.schedule.network import Hop
from orbital_train.schedule.values import part_value
from orbital_train.schedule.world import ARRIVE, LEAVE, MISSED, RESULT, SNAPSHOT

SILENCE_US = 1_000_000  # before a message that should have come is missed, or its sender is taken to be down


class Reductions(Carriage):
    """All-reduces in parts."""

    def _reduce(self, decision: known.AllReduce) -> None:
        plan, key = decision.plan, decision.key
        assert key not in self._gatherings, "a key names one gathering at a time"
        nodes = {node for node, _ in plan.snapshots}
        passed = nodes.union(*({hop.source, hop.dest} for move in plan.moves for hop in move.route))
        reduction = Reduction(
            key=key,
            fragment=decision.fragment,
            site=-1,
            legs=(),
            coming=set(nodes),
            plan=plan,
            holds=plan.holds(),
            lives={i: self._lives[i] for i in passed},
            waiting=set(nodes),
        )
        self._gatherings[key] = reduction
        for number, move in enumerate(plan.moves):
            self._book(move.route)
            self._push(move.route[0].start_us, LEAVE, number, (reduction, number))
        for node, at_us in plan.snapshots:
            self._push(at_us, SNAPSHOT, reduction.fragment, (node, reduction))

    def _discard(self, key: Key) -> None:
        gathering = self._gatherings[key]
        super()._discard(key)
        if isinstance(gathering, Reduction):
            gathering.cancelled = True
            for number, move in enumerate(gathering.plan.moves):
                if number not in gathering.left:
                    self._unbook(move.route)

    def _leave(self, gathering: Gathering | None, hop: Hop | int) -> None:
        """Begin a move of an all-reduce, by its number, or another message."""
        if isinstance(hop, int):
            assert isinstance(gathering, Reduction)
            if not gathering.cancelled:
                self._move(gathering, hop)
        else:
            super()._leave(gathering, hop)

    def _move(self, reduction: Reduction, number: int) -> None:
        """Send a message all the way, from node to node."""
        move = reduction.plan.moves[number]
        reduction.left.add(number)
        parcel = self._taken_along(reduction, move, reduction.holds[number])
        if parcel is None:
            self._unbook(move.route)
            self._push(move.route[-1].arrival_us + SILENCE_US, MISSED, move.dest, (None, 0, reduction, number))
            return
        value = part_value(parcel.value, (move.part, reduction.plan.parts))
        for passed, hop in enumerate(move.route, start=1):
            if not self._pass_on(hop, value):
                for later in move.route[passed:]:
                    self._never_send(later)
                self._push(missed_us(hop), MISSED, hop.source, (hop, 0, reduction, number))
                return
        # Of what comes to several nodes at once, what stands first in the plan comes first, whatever their numbers.
        self._push(move.route[-1].arrival_us, ARRIVE, number, (reduction, parcel, move.dest))

    def _taken_along(self, reduction: Reduction, move: Move, holds: int) -> Parcel | None:
        """What a move carries: a part's complete sum, to pass on, or what there is of it; None if some is missing."""
        node = move.source
        here = reduction.at.get(node, [])
        found = [parcel for parcel in here if parcel.part == move.part]
        if not self._lives_on(reduction, node) or _held(found) != holds:
            return None
        if move.total:
            return found[0]
        reduction.at[node] = [parcel for parcel in here if parcel.part != move.part]
        return self._one_of(reduction, node, found, self.scenario.workload.sum_codec)

    def _one_of(self, reduction: Reduction, node: int, parcels: list[Parcel], codec: str) -> Parcel:
        """A part, added up."""
        if len(parcels) == 1:
            return parcels[0]
        return self._combined(node, reduction.fragment, parcels, codec, (parcels[0].part, reduction.plan.parts))

    def _lives_on(self, reduction: Reduction, node: int) -> bool:
        """Whether a node has been up since the all-reduce began, and so has what came to it."""
        return reduction.lives[node] == self._lives[node]

    def _arrive(self, order: int, gathering: Gathering, parcel: Parcel, dest: int | None = None) -> None:
        node = order if dest is None else dest
        if not isinstance(gathering, Reduction):
            super()._arrive(node, gathering, parcel)
        elif not gathering.cancelled:
            for part in self._parts_of(gathering, node, parcel):
                self._add(gathering, node, part)

    def _parts_of(self, reduction: Reduction, node: int, parcel: Parcel) -> Iterable[Parcel]:
        """A part that has come, or all parts of the node's own outer gradient."""
        if node in reduction.coming and parcel.holds[0].node == node:
            reduction.coming.discard(node)
            return [Parcel(parcel.value, parcel.holds, part) for part in range(reduction.plan.parts)]
        return [parcel]

    def _add(self, reduction: Reduction, node: int, parcel: Parcel) -> None:
        """A node has something more of a part."""
        if not self._lives_on(reduction, node):
            self._give_up_on(reduction, node)
            return
        here = reduction.at.setdefault(node, [])
        here.append(parcel)
        found, everything = [other for other in here if other.part == parcel.part], len(reduction.plan.snapshots)
        if len(found) > 1 and _held(found) == everything:
            rest = [other for other in here if other.part != parcel.part]
            total = self._one_of(reduction, node, found, self.scenario.workload.codec)
            reduction.at[node] = [*rest, total]
        if sum(len(other.holds) == everything for other in reduction.at[node]) == reduction.plan.parts:
            self._has_all(reduction, node)

    def _has_all(self, reduction: Reduction, node: int) -> None:
        """A node has the complete sum of every part: it has the version, and makes it if it is the first."""
        fragment = reduction.fragment
        if reduction.version is None and not self._merge_parts(reduction, node):
            return
        if node in reduction.waiting:
            assert reduction.version is not None
            reduction.waiting.discard(node)
            self._push(self.now_us, RESULT, node, (fragment, reduction.version, False, self._lives[node], False))

    def _merge_parts(self, reduction: Reduction, node: int) -> bool:
        """Make the version of which this node has all parts; False if it lacks the version before."""
        fragment, versions = reduction.fragment, self._versions[reduction.fragment]
        if node not in versions[self._heads[fragment]].has_us:
            assert self.scenario.faults, "who takes part holds the newest version"
            return False
        parcels = sorted(reduction.at[node], key=lambda parcel: parcel.part)
        for parcel in parcels:
            self._learn(parcel.holds)
        reduction.version = self._make_version(fragment, node, parcels)
        super()._discard(reduction.key)
        made = versions[reduction.version]
        made.coming |= {i: self._lives[i] for i in reduction.waiting}
        made.complete_us |= dict(reduction.plan.complete_us)
        self._spread_update(node, fragment, reduction.version, [i for i in self.holders if i not in reduction.waiting])
        self._made(fragment, reduction.version)
        return True

    def _miss(self, hop: Hop | None, life: int, gathering: Gathering | None, parcel: Parcel | int | None) -> None:
        """An acknowledgement has not come, or, where no hop is named, what should have been acknowledged."""
        if isinstance(parcel, int):
            assert isinstance(gathering, Reduction)
            if hop is not None:
                super()._miss(hop, life, None, None)
            self._go_without(gathering, gathering.plan.moves[parcel])
        else:
            assert hop is not None
            super()._miss(hop, life, gathering, parcel)

    def _go_without(self, reduction: Reduction, move: Move) -> None:
        """It is known that a move does not get to its end."""
        if reduction.open:
            self._tell(known.Lost(reduction.key))
        elif move.total:
            self._give_up_on(reduction, move.dest)

    def _give_up_on(self, reduction: Reduction, node: int) -> None:
        """A node will not get all parts of a sum that others have; it asks for the result."""
        if reduction.version is not None and node in reduction.waiting:
            reduction.waiting.discard(node)
            self._versions[reduction.fragment][reduction.version].coming.pop(node, None)
            self._give_up_lost_versions()
            self._ask(node, reduction.fragment, self.now_us)

    @abstractmethod
    def _make_version(self, fragment: int, site: int, parcels: Sequence[Parcel]) -> int:
        """Take an outer step; returns the version."""

    @abstractmethod
    def _made(self, fragment: int, version: int) -> None:
        """A version was made and is on its way."""


def _held(parcels: list[Parcel]) -> int:
    """Outer gradients in these."""
    return sum(len(parcel.holds) for parcel in parcels)
