"""Checks of models of groups in a trace: who uses a version can have made it, and steps count once."""

from __future__ import annotations

from orbital_train.schedule.ops.merging import GroupSnapshot, Merge, Rebase
from orbital_train.schedule.ops.nodes import Adopt, Restore
from orbital_train.schedule.places import Places, require, require_restored
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.values import GLOBAL, result_value
from orbital_train.schedule.workload import Workload

WHOLE = 0  # the model is one fragment


def check_groups(trace: Trace, workload: Workload) -> None:
    """Raise :class:`~orbital_train.schedule.places.TraceError` unless all is sound; only of a trace with groups."""
    check = _Groups(trace, workload)
    for op in trace.ops:
        match op:
            case Merge():
                check.merge(op)
            case Rebase():
                check.rebase(op)
            case GroupSnapshot():
                check.snapshot(op)
            case Adopt():
                check.adopt(op)
            case Restore() if op.source != op.node:
                check.restore(op)


class _Groups:
    """Since when each node can have each version, and how many steps are in it that its global version lacks."""

    def __init__(self, trace: Trace, workload: Workload) -> None:
        self._trace, self._workload, self._places = trace, workload, Places(trace)
        self._has: dict[int, dict[int, int]] = {0: dict.fromkeys(trace.fleet_nodes, 0)}
        self._fresh_steps = {0: 0}
        self._taken = {0: 0}  # the global version that each is made of
        self._offered: dict[int, int] = {}  # steps of groups' outer gradients, by their versions
        self._offers: dict[str, int] = {}  # their versions, by name
        self._holds: dict[int, frozenset[int]] = {0: frozenset()}  # versions that are in each global one
        self._made: list[Merge | Rebase] = []
        self._adopted = dict.fromkeys(trace.fleet_nodes, 0)

    def merge(self, op: Merge) -> None:
        """The site had the version that it merges into."""
        before, steps = op.from_version, sum(c.steps for c in op.contributions)
        self._require_has(op.site, before, op.start_us, f"operation {op.id}")
        result = result_value(WHOLE, op.to_version)
        self._places.write(result, {op.site: op.end_us}, self._workload.fragment_bits)
        if op.scope == GLOBAL:
            require(self._taken[before] == before, f"operation {op.id}: not into a global version")
            offers = frozenset(self._offers[c.snapshot] for c in op.contributions)
            self._taken[op.to_version], self._fresh_steps[op.to_version] = op.to_version, 0
            self._holds[op.to_version] = self._holds[before] | offers
        else:
            require({c.node for c in op.contributions} <= {*op.holders}, f"operation {op.id}: not of its group")
            self._taken[op.to_version] = self._taken[before]
            self._fresh_steps[op.to_version] = self._fresh_steps[before] + steps
        self._make(op)

    def rebase(self, op: Rebase) -> None:
        """What it keeps is what a group has merged since its outer gradient that the global version holds."""
        where, old = f"operation {op.id}", self._taken[op.from_version]
        require(self._taken[op.global_version] == op.global_version, f"{where}: takes no global version")
        require(op.global_version > old, f"{where}: takes a global version again, or goes back")
        held = op.since_version in self._holds[op.global_version] - self._holds[old]
        require(held or op.since_version == old, f"{where}: keeps what is not its own")
        steps = self._offered[op.since_version] if held else 0
        self._fresh_steps[op.to_version] = self._fresh_steps[op.from_version] - steps
        self._taken[op.to_version] = op.global_version
        self._make(op)
        require(bool(self._has[op.to_version]), f"{where}: nobody can have made it")

    def snapshot(self, op: GroupSnapshot) -> None:
        """A group's outer gradient is what its nodes merged that its global version lacks."""
        where = f"operation {op.id}"
        self._require_has(op.node, op.version, op.start_us, where)
        require(op.base_version == self._taken[op.version], f"{where}: not from the global version that it took last")
        require(op.steps == self._fresh_steps[op.version], f"{where}: {op.steps} steps")
        self._offered[op.version] = op.steps
        self._offers[op.value] = op.version

    def adopt(self, op: Adopt) -> None:
        """A node adopts what it can have made."""
        last, where = self._adopted[op.node], f"operation {op.id}: node {op.node}"
        require(op.version > last, f"{where} adopts version {op.version} again or goes back")
        require(op.base_version == last, f"{where} has version {last}")
        self._require_has(op.node, op.version, op.start_us, where)
        self._adopted[op.node] = op.version

    def restore(self, op: Restore) -> None:
        """A node has what it was sent, and can make more of it."""
        require_restored(self._trace, op, self._places)
        (version,) = op.versions
        self._require_has(op.source, version, op.start_us, f"operation {op.id}")
        self._adopted[op.node] = version
        for had in (version, self._taken[version]):
            self._has[had].setdefault(op.node, op.end_us)
        for made in self._made:
            self._grant(made, op.node)

    def _make(self, op: Merge | Rebase) -> None:
        self._made.append(op)
        self._has[op.to_version] = {}
        for node in self._trace.fleet_nodes:
            self._grant(op, node)

    def _grant(self, op: Merge | Rebase, node: int) -> None:
        """Let a node have a version from when on it has all that this is made of."""
        if node in self._has[op.to_version]:
            return
        if isinstance(op, Merge):
            needed = [
                self._has[op.from_version].get(node),
                self._places.since_us(result_value(WHOLE, op.to_version)).get(node),
            ]
        else:
            bare = op.since_version == op.from_version
            needed = [self._has[v].get(node) for v in (op.global_version, *(() if bare else (op.from_version,)))]
        times_us = [time_us for time_us in needed if time_us is not None]
        if len(times_us) == len(needed):
            self._has[op.to_version][node] = max(op.end_us, *times_us)

    def _require_has(self, node: int, version: int, by_us: int, where: str) -> None:
        since_us = self._has[version].get(node)
        require(since_us is not None and since_us <= by_us, f"{where}: node {node} cannot have version {version} yet")
