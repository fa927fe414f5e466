"""Groups in a simulation: nodes of a group merge among themselves, and groups merge their models between them.

All versions are one tree. Those that groups' outer gradients make are the global line. A group has a line of its own,
which grows by what its nodes merge (plain averages) and by what it takes from the global line
(``Rebase``). It takes the newest global version when it merges next, at the site of
that merge, if it is there: with the result of the merge the others hear of it, and they make the same of the global
result, which all nodes are sent. Every node thus makes every version of its group's line from what it has been sent.

A group has one outer gradient under way at a time, and takes no global version meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from orbital_train.schedule import known
from orbital_train.schedule.carriage import PATIENCE_US
from orbital_train.schedule.copies import Copy, OuterGradient, Parcel, Version
from orbital_train.schedule.group_view import GroupView
from orbital_train.schedule.groups import groups_of
from orbital_train.schedule.known import Decision, GroupState, Key, Policy
from orbital_train.schedule.network import Hop
from orbital_train.schedule.routes import earliest_arrivals
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulation import Simulation, Watch
from orbital_train.schedule.values import group_scope

WHOLE = 0  # the model is one fragment


@dataclass(slots=True, eq=False)
class GroupGradient(OuterGradient):
    """A group's outer gradient, under way or waiting at its site."""

    group: int = 0
    version: int = 0  # of the group's line


@dataclass(frozen=True, slots=True)
class Taken:
    """What a version of a group's line was made of by taking a global one."""

    version: int
    bare: bool  # the group had merged nothing since its outer gradient: it is the global version itself
    before: tuple[int, GroupGradient | None, int | None]  # what the line was like, should it be lost


@dataclass(slots=True, eq=False)
class Line(Copy):
    """A group's own line of versions; ``base_version`` is the global one that it took last."""

    head: int = 0
    place: dict[int, int] = field(default_factory=lambda: {0: 0})  # of each version, along the line
    fresh_steps: dict[int, int] = field(default_factory=lambda: {0: 0})  # in each, that its global version lacks
    taken: dict[int, Taken] = field(default_factory=dict)

    def grow(self, version: int, fresh_steps: int) -> None:
        """Go on from a new version."""
        self.place[version] = self.place[self.head] + 1
        self.fresh_steps[version] = fresh_steps
        self.head = version

    def start_at(self, version: int) -> None:
        """Go on from a global version."""
        self.grow(version, 0)
        self.base_version, self.under_way, self.merged, self.merged_in = version, None, None, None


class Grouped(Simulation):
    """A simulation of nodes in groups."""

    def __init__(self, scenario: Scenario, policy: Policy[Any], watch: Watch | None = None) -> None:
        super().__init__(scenario, policy, watch)
        self.groups = groups_of(self.network, self.training_nodes)
        self._group_of = {node: number for number, group in enumerate(self.groups) for node in group}
        self._lines = [Line() for _ in self.groups]
        self._global = {0}  # versions of the global line
        self._seat = None  # decisions are taken everywhere
        self._in_groups = [GroupView(self, number) for number in range(len(self.groups))]

    # -- what happens within a group ---

    def _merge(self, fragment: int, keys: tuple[Key, ...], to: tuple[int, ...]) -> None:
        gatherings = [self._gatherings[key] for key in keys]
        if any(isinstance(gradient, GroupGradient) for g in gatherings for gradient in g.taken):
            self._merge_groups(keys)
        else:
            self._merge_nodes(keys)

    def _merge_nodes(self, keys: tuple[Key, ...]) -> None:
        """Merge what nodes of a group contributed into its model, at a site that has that."""
        versions, gatherings = self._versions[WHOLE], [self._gatherings[key] for key in keys]
        (site,) = {gathering.site for gathering in gatherings}
        parcels = [parcel for gathering in gatherings for parcel in gathering.at.get(site, [])]
        number = self._group_of[site]
        if self._is_out(site) or not parcels or not self._brought_up_to_date(number, site):
            assert self.scenario.faults, "a merge takes contributions that have arrived, at a site that is up to date"
            return
        line, members = self._lines[number], self.groups[number]
        parcels.sort(key=lambda parcel: min(gradient.node for gradient in parcel.holds))
        gradients = sorted((g for parcel in parcels for g in parcel.holds), key=lambda g: g.node)
        parent, version = line.head, len(versions)
        contributions, inputs, weights = self._shares(parcels, gradients, parent)
        share, scope = self._share(contributions, members), group_scope(number)
        self._recorder.merge(
            self.now_us, site, WHOLE, parent, version, contributions, inputs, weights, share, scope, members
        )
        self._count_in(gradients, version)
        for key in keys:
            self._discard(key)
        steps = sum(g.steps for g in gradients)
        fleet_steps = versions[parent].merged_steps + steps * len(self.training_nodes) // len(members)
        self._add_version(Version(self.now_us, fleet_steps, parent, tuple(gradients)), site)
        line.grow(version, line.fresh_steps[parent] + steps)
        self._spread_to(site, version, members)
        self._tell(known.Merged(WHOLE, version, number))

    def _count_in(self, gradients: list[OuterGradient], version: int) -> None:
        """Whose outer gradients are in a version waits for it."""
        for gradient in gradients:
            copy = self._copy_of(gradient)
            if copy.under_way is gradient:
                copy.merged_steps = gradient.total_steps
                copy.merged_in, copy.merged, copy.under_way = version, gradient, None

    def _add_version(self, made: Version, site: int) -> None:
        made.has_us[site] = made.update_us[site] = made.complete_us[site] = self.now_us
        self._versions[WHOLE].append(made)

    def _spread_to(self, site: int, version: int, nodes: tuple[int, ...]) -> None:
        up = [node for node in nodes if node not in self.down]
        self._deliver(WHOLE, version, {site: self.now_us}, up, whole=False)

    def _brought_up_to_date(self, number: int, node: int) -> bool:
        """Let a group take the newest global version that one of its nodes has; whether that has the group's model."""
        line, newest = self._lines[number], self._global_had(node, self._heads[WHOLE])
        waits_for = line.merged_in or 0
        if line.under_way is None and newest > line.base_version and newest >= waits_for:
            bare = line.merged is not None and self._gradient_of(line).version == line.head
            if bare or node in self._versions[WHOLE][line.head].has_us:
                self._take(number, newest, bare=bare)
        return node in self._versions[WHOLE][line.head].has_us

    def _take(self, number: int, newest: int, *, bare: bool) -> None:
        """A group takes a global version, and keeps what it merged since its outer gradient that this holds."""
        versions, line = self._versions[WHOLE], self._lines[number]
        gradient = self._gradient_of(line) if line.merged else None
        parent, version = line.head, len(versions)
        since = gradient.version if gradient else line.base_version
        self._recorder.rebase(self.now_us, number, WHOLE, parent, since, newest, version)
        kept_steps = versions[parent].merged_steps - versions[since].merged_steps
        made = Version(self.now_us, versions[newest].merged_steps + kept_steps, parent)
        versions.append(made)
        line.taken[version] = Taken(newest, bare, (line.base_version, gradient, line.merged_in))
        line.grow(version, line.fresh_steps[parent] - (gradient.steps if gradient else 0))
        line.base_version, line.merged, line.merged_in = newest, None, None
        for node in self.groups[number]:
            if self._can_make(node, WHOLE, version):
                made.has_us[node] = self.now_us
            needed = [versions[newest].complete_us] + ([] if bare else [versions[parent].complete_us])
            if all(node in complete_us for complete_us in needed):
                made.complete_us[node] = max(self.now_us, *(complete_us[node] for complete_us in needed))

    def _gradient_of(self, line: Line) -> GroupGradient:
        """The outer gradient of a group that a global version holds which it has not taken yet."""
        assert isinstance(line.merged, GroupGradient)
        return line.merged

    # -- what happens between groups ---

    def _apply(self, decision: Decision) -> None:
        if isinstance(decision, known.SendGroup):
            self._send_group(decision.key, decision.group, decision.site)
        else:
            super()._apply(decision)

    def _send_group(self, key: Key, number: int, site: int) -> None:
        """Take a group's outer gradient and send it, if it can be taken and there is a way."""
        line = self._lines[number]
        if line.merged_in is not None:  # the group merges no more among itself, and has not taken the last result yet
            able = (i for i in self.groups[number] if not self._is_out(i) and self._brought_up_to_date(number, i))
            if next(able, None) is None or line.merged_in is not None:
                return
        sources = {i: self.now_us for i in self.groups[number] if self._has_head(i)}
        if line.under_way is not None or not sources:
            return
        route = self._route_from(sources, site)
        if route is None:
            return
        source = route[0].source if route else site
        gathering = self._open(known.Gather(key, WHOLE, site, ((source, self.now_us),), route))
        base, head = line.base_version, line.head
        steps = line.fresh_steps[head]
        value = self._recorder.group_snapshot(number, source, self.now_us, WHOLE, base, head, steps)
        total, now_us = line.merged_steps + steps, self.now_us
        gradient = GroupGradient(value, source, WHOLE, base, total, steps, now_us, group=number, version=head)
        line.under_way, gathering.begun = gradient, True
        gathering.taken.append(gradient)
        self._arrive(source, gathering, Parcel(value, (gradient,)))

    def _has_head(self, node: int) -> bool:
        """Whether a node is up and has the newest version of its group."""
        return not self._is_out(node) and node in self._versions[WHOLE][self._line_of(node).head].has_us

    def _route_from(self, sources: dict[int, int], site: int) -> tuple[Hop, ...] | None:
        if site in sources:
            return ()
        found = earliest_arrivals(self.network, self.bookings, sources, self.fragment_bits, (site,), self.down)
        return found.route(site)

    def _merge_groups(self, keys: tuple[Key, ...]) -> None:
        """Merge what groups contributed into the global model; what was lost with its group's version is refused."""
        versions, gatherings = self._versions[WHOLE], [self._gatherings[key] for key in keys]
        (site,), parent = {gathering.site for gathering in gatherings}, self._heads[WHOLE]
        came = [p for gathering in gatherings for p in gathering.at.get(site, [])]
        parcels = [p for p in came if self._copy_of(p.holds[0]).under_way is p.holds[0]]
        if self._is_out(site) or site not in versions[parent].has_us or not parcels:
            assert self.scenario.faults, "groups meet at a site that is up to date"
            return
        parcels.sort(key=lambda parcel: parcel.holds[0].node)
        gradients = [parcel.holds[0] for parcel in parcels]
        version = len(versions)
        share = self._share_of_groups({self._group_of[gradient.node] for gradient in gradients})
        self._recorder.merge(
            self.now_us, site, WHOLE, parent, version, *self._shares(parcels, gradients, parent), share
        )
        self._count_in(gradients, version)
        for key in keys:
            self._discard(key)
        merged_steps = versions[parent].merged_steps + sum(g.steps for g in gradients)
        self._add_version(Version(self.now_us, merged_steps, parent, tuple(gradients)), site)
        self._heads[WHOLE] = version
        self._global.add(version)
        self._spread_to(site, version, self.training_nodes)
        self._evaluate()
        self._tell(known.Merged(WHOLE, version))

    def _share_of_groups(self, numbers: Iterable[int]) -> float:
        """How much of the nodes that are up are in these groups."""
        theirs = sum(len(set(self.groups[number]) - self.down) for number in numbers)
        return theirs / len(set(self.training_nodes) - self.down) if theirs else 1.0

    # -- who has what ---

    def _line_of(self, node: int) -> Line:
        return self._lines[self._group_of[node]]

    def _copy_of(self, gradient: OuterGradient) -> Copy:
        return self._lines[gradient.group] if isinstance(gradient, GroupGradient) else super()._copy_of(gradient)

    def _can_make(self, node: int, fragment: int, version: int) -> bool:
        versions, taken = self._versions[fragment], self._line_of(node).taken.get(version)
        if taken is None:
            return super()._can_make(node, fragment, version)
        has_parent = taken.bare or node in versions[versions[version].parent].has_us
        return has_parent and node in versions[taken.version].has_us

    def _global_had(self, node: int, version: int) -> int:
        """The newest global version that a node has, from this one on back."""
        versions = self._versions[WHOLE]
        while version and node not in versions[version].has_us:
            version = versions[version].parent
        return version

    def _newest_had(self, node: int, fragment: int) -> int:
        versions, version = self._versions[fragment], self._line_of(node).head
        while version and node not in versions[version].has_us:
            version = versions[version].parent
        return version

    def _missing(self, node: int, fragment: int) -> list[int]:
        """What a node was not sent of its group's versions and of the global ones, oldest first."""
        versions, line = self._versions[fragment], self._line_of(node)
        found, version = self._missing_global(node, self._heads[fragment]), line.head
        while version and node not in versions[version].has_us:
            taken = line.taken.get(version)
            if taken is not None:
                found |= self._missing_global(node, taken.version)
            elif version in self._global:
                found |= self._missing_global(node, version)
            elif self._needs(node, versions[version]):
                found.add(version)
            if version in self._global or (taken is not None and taken.bare):
                break
            version = versions[version].parent
        return sorted(found)

    def _missing_global(self, node: int, version: int) -> set[int]:
        versions, found = self._versions[WHOLE], set()
        while version and node not in versions[version].has_us:
            if self._needs(node, versions[version]):
                found.add(version)
            version = versions[version].parent
        return found

    def _cannot_be_sent(self, node: int, fragment: int, version: int) -> None:
        """Others of the group may have the version. If not, it is lost with its site, or will be sent later."""
        if self._versions[fragment][version].has_us.keys() & set(self.groups[self._group_of[node]]):
            super()._cannot_be_sent(node, fragment, version)
        else:
            self._ask(node, fragment, self.now_us + PATIENCE_US)

    # -- faults ---

    def _restore_bits(self, node: int) -> int:
        """Its group's model, and that of its last outer gradient; the global model, and its momentum."""
        return 2 * super()._restore_bits(node)

    def _can_give(self, node: int, asking: int) -> bool:
        """Those of its own group can; others can give the global model once nobody has its group's any more."""
        if self._is_out(node) or node not in self._group_of:
            return False
        versions = self._versions[WHOLE]
        if self._group_of[node] == self._group_of[asking]:
            return node in versions[self._newest_had(node, WHOLE)].has_us
        newest = self._global_had(node, self._heads[WHOLE])
        return self._is_gone(self._line_of(asking)) and node in versions[newest].has_us

    def _version_for(self, node: int, source: int, fragment: int) -> int:
        if self._group_of[node] == self._group_of[source]:
            return self._newest_had(source, fragment)
        return self._global_had(source, self._heads[fragment])

    def _is_gone(self, line: Line) -> bool:
        """Whether nobody has, or is being sent, any version of a group."""
        head = self._versions[WHOLE][line.head]
        return not (head.has_us.keys() & set(self.groups[self._lines.index(line)]) or self._is_coming(head))

    def _restore(self, node: int, life: int, source: int, versions: tuple[int, ...], request: int) -> None:
        """A node takes its group's model from another, or lets its group begin anew with the global one."""
        line = self._line_of(node)
        if life == self._lives[node] and source >= 0:
            foreign = self._group_of[source] != self._group_of[node]
            if foreign and self._is_gone(line):
                line.start_at(versions[0])
            elif foreign or not self._is_on_line(line, versions[0]):
                self._ask_for_model(node, life)  # the group has gone on, or back, since it was sent
                return
            taken = self._global_before(line, versions[0])
            self._versions[WHOLE][taken].has_us[node] = self._versions[WHOLE][taken].complete_us[node] = self.now_us
        super()._restore(node, life, source, versions, request)

    def _is_on_line(self, line: Line, version: int) -> bool:
        return version in self._line_from(line.head)

    def _line_from(self, version: int) -> Iterator[int]:
        """A version and those before it on its group's line, newest first."""
        yield version
        while version and version not in self._global:
            version = self._versions[WHOLE][version].parent
            yield version

    def _global_before(self, line: Line, version: int) -> int:
        """The global version that one of a group is made of."""
        for older in self._line_from(version):
            if older in line.taken:
                return line.taken[older].version
        return older

    def _give_up_lost_versions(self) -> None:
        for number, line in enumerate(self._lines):
            self._give_up_on_line(line, number)
            self._foresee(WHOLE, line.head)
        super()._give_up_lost_versions()

    def _give_up_on_line(self, line: Line, number: int) -> None:
        """Go back to the newest version of a group that somebody of it has, or will; its global one at the farthest."""
        versions = self._versions[WHOLE]
        while line.head not in self._global and self._is_gone(line):
            head, taken = line.head, line.taken.get(line.head)
            if taken is not None:
                line.base_version, line.merged, line.merged_in = taken.before
                line.head = versions[head].parent
            elif line.merged is not None and self._gradient_of(line).version == head:
                assert line.merged_in is not None
                line.start_at(line.merged_in)  # that holds all of what is lost
            else:
                if isinstance(line.under_way, GroupGradient) and line.under_way.version == head:
                    line.under_way = None
                self._give_up_version(WHOLE, head)
                line.head = versions[head].parent

    # -- the view ---

    def group(self, number: int) -> known.View:
        """What is known within a group."""
        return self._in_groups[number]

    def group_state(self, number: int) -> GroupState:
        """A group's model beside the global one."""
        line = self._lines[number]
        merged_steps = line.merged.steps if line.merged else 0
        free = line.under_way is None and (line.merged_in is None or self.draining)
        return GroupState(line.fresh_steps[line.head] - merged_steps, free)

    def place_on_line(self, number: int, version: int) -> int:
        """How many versions of a group came before this one."""
        return self._lines[number].place[version]

    def version_on_line(self, number: int, place: int) -> int | None:
        """The version of a group that so many came before; None if that was given up."""
        line = self._lines[number]
        return next((v for v in self._line_from(line.head) if line.place[v] == place), None)

    def head_of(self, number: int) -> int:
        """The newest version of a group."""
        return self._lines[number].head

    def made_us(self, version: int) -> int:
        """When a version was made."""
        return self._versions[WHOLE][version].made_us
