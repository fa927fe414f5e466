"""Where the values of a trace are held, and until when, so that the executor holds no more than are still needed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from orbital_train.schedule.ops.base import Op
from orbital_train.schedule.ops.merging import Combine, GroupSnapshot, Merge, Mix, Rebase, Snapshot
from orbital_train.schedule.ops.nodes import Adopt, Restore, Step, SyncStep, Upset
from orbital_train.schedule.ops.run import Evaluate
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.values import GLOBAL, global_value, own_scope, snapshot_value, version_value
from orbital_train.train.bases import Bases
from orbital_train.train.feedback import Encoding, Feedback, encoded_value, feedback, residual_value, weighed
from orbital_train.train.lasting import outer_gradients_last, versions_last

# A value and the node that holds it; None: every worker holds it.
Held = tuple[int | None, str]


def mark_value(snapshot: str) -> str:
    """Name of the copy of a node's replica at the moment of a snapshot, kept for adoptions that name it."""
    return f"mark/{snapshot}"


def own_value(node: int, fragment: int, version: int) -> str:
    """Name of a version of a node's own slow weights."""
    return version_value(own_scope(node), fragment, version)


def momentum_value(node: int, fragment: int, version: int) -> str:
    """Name of the momentum of a node's own slow weights, which only the node's next mixing reads."""
    return f"momentum/{own_value(node, fragment, version)}"


def is_mark(name: str, node: int, fragment: int) -> bool:
    """Whether a value that a node holds is a mark of this fragment."""
    return name.rpartition("@")[0] == mark_value(snapshot_value(node, fragment, 0)).rpartition("@")[0]


def holders(trace: Trace) -> dict[str, int]:
    """The node that holds each outer gradient, each sum, and each residual, by the name of the value.

    An outer gradient stays at its node, that of a group at the node at which it was taken. A sum is held by the lowest
    node whose outer gradient is in it: that is where the executor's tree of additions ends, wherever the simulated sum
    was formed. A residual is where it was left.
    """
    found: dict[str, int] = {}
    for op in trace.ops:
        if isinstance(op, Snapshot | GroupSnapshot):
            found[op.value] = op.node
        elif isinstance(op, Combine):
            counted = weighed(op.inputs, op.weights) or dict.fromkeys(op.inputs, 0.0)
            found[op.value] = min(found[value] for value in counted)
        elif isinstance(op, Merge) and (merged := weighed(op.inputs, op.input_weights)):
            found[encoded_value(op)] = min(found[value] for value in merged)
    return found | {residual: found[residual.partition("/")[2]] for residual in _residuals(feedback(trace))}


def _residuals(fed: Feedback) -> set[str]:
    """All that are added to something."""
    return {residual for residuals in fed.values() for residual in residuals}


def kept_states(trace: Trace) -> frozenset[str]:
    """States of replicas that are read when later ones were written: by a node that goes back to its own store.

    Any other state is read while the replica is in it, and need not be kept.
    """
    return frozenset(op.reads[0] for op in trace.of_kind(Restore) if goes_back(op))


def goes_back(op: Restore) -> bool:
    """Whether a node becomes what it was earlier, and is no more."""
    return op.source == op.node and op.from_state != op.state


def drops(trace: Trace, bases: Bases | None = None, *, lasting: bool = False) -> dict[int, tuple[Held, ...]]:
    """Values that are not read any more, by the id of the operation that used them last.

    A value that nobody reads goes with the operation that wrote it. The final global model always stays.

    Args:
        trace: of which.
        bases: versions to which a node may go back from its inner steps or an outer gradient stay as well.
        lasting: the run may have to go on with another trace, see ``lasting.py``.
    """
    last: dict[Held, int] = {(None, global_value(fragment, 0)): 0 for fragment in range(trace.fragments)}
    where, kept, fed = holders(trace), kept_states(trace), feedback(trace)
    if trace.own:
        last |= {held: 0 for i in trace.fleet_nodes for f in range(trace.fragments) for held in _own(i, f, 0)}
    for op in trace.ops:
        for held in (*_reads(op, where, fed), *_writes(op, where, kept)):
            last[held] = op.id
        for held in _begun_anew(op, trace, bases or {}):
            last[held] = op.id
    if lasting:
        outer_gradients_last(trace, last, where, mark_value(""))
        versions_last(trace, last)
    for fragment, version in enumerate(trace.versions):
        last.pop((None, global_value(fragment, version)))
    for node, *versions in trace.own:
        for fragment, version in enumerate(versions):
            last.pop((node, own_value(node, fragment, version)))
    dropped: dict[int, list[Held]] = defaultdict(list)
    for held, op_id in last.items():
        dropped[op_id].append(held)
    return {op_id: tuple(held) for op_id, held in dropped.items()}


def needed(trace: Trace, position: int) -> set[Held]:
    """Values that operations before a position wrote and later ones read, where they count."""
    where, kept, fed = holders(trace), kept_states(trace), feedback(trace)
    later: set[Held] = set()
    found: set[Held] = set()
    for op in trace.ops[position:]:
        idle: set[str] = set()
        if isinstance(op, Combine | Merge):
            idle = (
                set(op.inputs) - weighed(op.inputs, op.weights if isinstance(op, Combine) else op.input_weights).keys()
            )
        found |= {held for held in _reads(op, where, fed) if held not in later and held[1] not in idle}
        later |= set(_writes(op, where, kept))
        if isinstance(op, Snapshot | Combine | Merge) and (left := residual_value(encoded_value(op))) in where:
            later.add((where[left], left))
    return found


def peak_versions(trace: Trace, bases: Bases | None = None, *, lasting: bool = False) -> int:
    """Largest number of versions that are held at once of any fragment: no more whole models than that are held."""
    dropped = drops(trace, bases, lasting=lasting)
    held: Counter[str] = Counter({_fragment(global_value(fragment, 0)): 1 for fragment in range(trace.fragments)})
    peak = 1
    for op in trace.ops:
        for value in op.writes:
            if value.startswith("global/"):
                held[_fragment(value)] += 1
                peak = max(peak, held[_fragment(value)])
        held.subtract(_fragment(value) for node, value in dropped.get(op.id, ()) if node is None)
    return peak


def peak_states(trace: Trace) -> int:
    """Largest number of earlier states of replicas that are kept at once, of all nodes together."""
    dropped, kept = drops(trace), kept_states(trace)
    held = peak = sum(value.endswith("@0") for value in kept)
    for op in trace.ops:
        held += sum(value in kept for value in op.writes)
        peak = max(peak, held)
        held -= sum(value in kept for _, value in dropped.get(op.id, ()))
    return peak


def peak_residuals(trace: Trace) -> int:
    """Largest number of residuals of any fragment that are held at once, on all nodes together."""
    dropped, kept = drops(trace), _residuals(feedback(trace))
    held: Counter[int] = Counter()
    peak = 0
    for op in trace.ops:
        if isinstance(op, Encoding) and residual_value(encoded_value(op)) in kept:
            held[op.fragment] += 1
            peak = max(peak, held[op.fragment])
        held.subtract(
            int(value.partition("@")[0].rpartition("/")[2]) for _, value in dropped.get(op.id, ()) if value in kept
        )
    return peak


def peak_own(trace: Trace, bases: Bases | None = None) -> int:
    """Largest number of whole models that nodes' own slow weights amount to at once, those of all nodes together."""
    dropped = drops(trace, bases)
    held = peak = len(trace.fleet_nodes) * trace.fragments if trace.own else 0
    for op in trace.ops:
        held += sum(value.startswith(_OWN) for value in op.writes)
        peak = max(peak, held)
        held -= sum(value.startswith(_OWN) for _, value in dropped.get(op.id, ()))
    return -(-peak // trace.fragments)


_OWN = "own/"


def _fragment(value: str) -> str:
    return value.partition("@")[0]


def _own(node: int, fragment: int, version: int) -> tuple[Held, Held]:
    return (node, own_value(node, fragment, version)), (node, momentum_value(node, fragment, version))


def _begun_anew(op: Op, trace: Trace, bases: Bases) -> Iterator[Held]:
    """What a node may begin anew from in an operation."""
    for fragment, (version, _) in enumerate(bases.get(op.id, ())):
        assert isinstance(op, Step | Snapshot)
        yield (op.node, own_value(op.node, fragment, version)) if trace.own else (None, global_value(fragment, version))


def _version(op: Snapshot | Adopt, version: int) -> Held:
    """A version of what a node takes its outer gradients of, and adopts."""
    return None if op.scope == GLOBAL else op.node, version_value(op.scope, op.fragment, version)


def _writes(op: Op, where: Mapping[str, int], kept: frozenset[str]) -> Iterator[Held]:
    match op:
        case Step() | Adopt() | Restore():
            if op.writes[0] in kept:
                yield op.node, op.writes[0]
            if isinstance(op, Restore):
                for fragment, version in enumerate(op.own_versions):
                    yield from _own(op.node, fragment, version)
        case Mix():
            yield from _own(op.node, op.fragment, op.to_version)
        case SyncStep() | Merge() | Rebase():
            yield None, op.writes[0]
        case GroupSnapshot():
            yield op.node, op.value
        case Snapshot():
            yield op.node, op.value
            yield op.node, mark_value(op.value)
        case Combine():
            yield where[op.value], op.value


def _reads(op: Op, where: Mapping[str, int], fed: Feedback) -> Iterator[Held]:
    for residual in fed.get(op.id, ()):
        yield where[residual], residual
    match op:
        case SyncStep() | GroupSnapshot() | Rebase():
            for value in op.reads:
                yield None, value
        case Evaluate():
            for fragment, version in enumerate(op.versions):
                yield None, global_value(fragment, version)
            for node, *versions in op.own:
                for fragment, version in enumerate(versions):
                    yield node, own_value(node, fragment, version)
        case Snapshot():
            yield _version(op, op.base_version)
        case Mix():
            yield from _own(op.node, op.fragment, op.from_version)
            for c, version in zip(op.contributions, op.slow_versions, strict=True):
                yield c.node, c.snapshot
                yield c.node, own_value(c.node, op.fragment, version)
        case Combine():
            for value in op.inputs:
                yield where[value], value
        case Merge():
            yield None, global_value(op.fragment, op.from_version)
            for value in op.inputs:
                yield where[value], value
        case Restore():
            if goes_back(op) or op.source != op.node:
                where_from = op.source if op.source == op.node or op.own_versions else None
                for value in op.reads:
                    yield where_from, value
        case Upset() if op.value.startswith(_OWN):
            yield op.node, op.value
        case Upset() if op.value:
            yield where.get(op.value), op.value
        case Adopt():
            yield _version(op, op.version)
            if op.mode == "keep" and op.since_snapshot is None:
                yield _version(op, op.base_version)
            elif op.mode == "keep" and op.since_snapshot is not None:
                yield op.node, mark_value(op.since_snapshot)
