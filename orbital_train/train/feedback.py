"""Error feedback: which residual is added to which outer gradient, sum or average. A pure function of the trace.

What a codec leaves out of a vector is its *residual*; it is added to the next vector that is encoded in the same place,
times 0.95 where the codec is sparse.

- Of a node's outer gradient it is added to the node's first one that starts from a version with that outer gradient in
  it. One that was lost on its way takes its residual with it: the node's progress is all in the next one, and what was
  added to the lost one is added again. In gossip these versions are the node's own.
- Of a group's outer gradient it is added to the first one that is taken at the same node and starts from a version with
  it in.
- Of an average that a site sent back (sparse codecs only) it is added to the site's first one that is made from that
  version. Of a version that was given up it is not.
- Of a sum that a site formed on the way (sparse codecs only) it is added to the site's first one after that sum was
  merged, and never again.

A node that goes on from its own store has its residuals. One that loses its state loses them, also those that it has as
a site; they are added to nothing then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from orbital_train.schedule.ops.base import Op
from orbital_train.schedule.ops.merging import Combine, GroupSnapshot, Merge, Mix, Rebase, Snapshot
from orbital_train.schedule.ops.nodes import Lose, Restore
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.values import GLOBAL, Part, own_scope, result_value
from orbital_train.schedule.wire import has_feedback, sums_have_feedback

# What a sparse codec left out waits long, while nodes make much of that progress anew: it fades. The factor is that of
# SparseLoCo's largest run (arXiv 2603.08163); 0.8 to 0.95 are alike here (docs/training-wire.md).
SPARSE_DECAY = 0.95

Feedback = Mapping[int, tuple[str, ...]]  # residuals that are added, by the id of the operation that encodes
Encoding = Snapshot | GroupSnapshot | Combine | Merge  # what encodes something
Line = tuple[str, int]  # of versions: scope, fragment; those of groups are among the global ones
Place = tuple[int, int]  # site, fragment
Source = tuple[int, int, bool]  # node, fragment, whether it is its group's
PartOf = tuple[int, int, Part]  # site, fragment, part


def residual_value(value: str) -> str:
    """Name of what the codec left out of a value."""
    return f"residual/{value}"


def decay(codec: str) -> float:
    """By what a residual is multiplied before it is added."""
    return SPARSE_DECAY if sums_have_feedback(codec) else 1.0


def encoded_value(op: Encoding) -> str:
    """Name of what an operation encodes."""
    return result_value(op.fragment, op.to_version) if isinstance(op, Merge) else op.value


def weighed(inputs: tuple[str, ...], weights: tuple[float, ...]) -> dict[str, float]:
    """The inputs of a sum that count, with their weights."""
    return {value: weight for value, weight in zip(inputs, weights, strict=True) if weight}


def feedback(trace: Trace) -> Feedback:
    """What is added where; operations to which nothing is added are left out."""
    book = _Book()
    for op in trace.ops:
        book.take(op)
    return {op_id: tuple(map(residual_value, values)) for op_id, values in book.added.items() if values}


@dataclass
class _Book:
    """What is known so far."""

    added: dict[int, list[str]] = field(default_factory=dict)
    parents: dict[tuple[Line, int], int] = field(default_factory=dict)  # versions
    merged_in: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))  # versions, by outer gradient
    inside: dict[str, set[str]] = field(default_factory=dict)  # sums that are in a sum, with itself
    own: dict[Source, list[str]] = field(default_factory=lambda: defaultdict(list))  # outer gradients of a node
    made: dict[Place, list[int]] = field(default_factory=lambda: defaultdict(list))  # versions, by site
    formed: dict[PartOf, list[str]] = field(default_factory=lambda: defaultdict(list))  # sums by site, not added yet
    arrived: set[str] = field(default_factory=set)  # sums that are merged

    def take(self, op: Op) -> None:
        """Go on by one operation."""
        match op:
            case Snapshot() if has_feedback(op.codec):
                self._snapshot(op, (op.node, op.fragment, False), (op.scope, op.fragment))
            case GroupSnapshot() if has_feedback(op.codec):
                self._snapshot(op, (op.node, op.fragment, True), (GLOBAL, op.fragment))
            case Combine():
                self._combine(op)
            case Merge():
                self._merge(op)
            case Rebase():
                self.parents[(GLOBAL, op.fragment), op.to_version] = op.from_version
            case Mix():
                self._mix(op)
            case Lose() if op.loses_state:
                self._forget(op.node)
            case Restore() if op.source != op.node:
                self._forget(op.node)

    def _snapshot(self, op: Snapshot | GroupSnapshot, source: Source, line: Line) -> None:
        taken = self.own[source]
        for k in reversed(range(len(taken))):
            if any(self._leads_to(line, version, op.base_version) for version in self.merged_in[taken[k]]):
                self.added[op.id] = [taken[k]]
                del taken[:k]  # the versions that a node starts from follow on each other: older ones are done with
                break
        taken.append(op.value)

    def _combine(self, op: Combine) -> None:
        counted = weighed(op.inputs, op.weights)
        self.inside[op.value] = {op.value}.union(*(self.inside.get(value, ()) for value in counted))
        if counted and sums_have_feedback(op.codec):
            waiting = self.formed[op.site, op.fragment, op.part]
            self.added[op.id] = [value for value in waiting if value in self.arrived]
            waiting[:] = [*(value for value in waiting if value not in self.arrived), op.value]

    def _merge(self, op: Merge) -> None:
        self.parents[(GLOBAL, op.fragment), op.to_version] = op.from_version
        for contribution in op.contributions:
            if contribution.weight:
                self.merged_in[contribution.snapshot].append(op.to_version)
        counted = weighed(op.inputs, op.input_weights)
        self.arrived.update(*(self.inside.get(value, ()) for value in counted))
        if counted and sums_have_feedback(op.codec):
            self._average(op)

    def _mix(self, op: Mix) -> None:
        self.parents[(own_scope(op.node), op.fragment), op.to_version] = op.from_version
        own = op.contributions[0]
        if own.weight:
            self.merged_in[own.snapshot].append(op.to_version)

    def _average(self, op: Merge) -> None:
        versions = self.made[op.site, op.fragment]
        for k in reversed(range(len(versions))):
            if self._leads_to((GLOBAL, op.fragment), versions[k], op.from_version):
                self.added[op.id] = [result_value(op.fragment, versions[k])]
                break
        versions.append(op.to_version)

    def _leads_to(self, line: Line, version: int, later: int) -> bool:
        """Whether a version is one that a later one, or the same, was made from."""
        while later > version:
            later = self.parents[line, later]
        return later == version

    def _forget(self, node: int) -> None:
        for lists in (self.own, self.made, self.formed):
            for place in [place for place in lists if place[0] == node]:
                lists[place].clear()  # type: ignore[index]
