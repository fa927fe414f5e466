"""Which values a trace still needs after each operation, so that the executor holds no more than those."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from orbital_train.schedule.trace import Adopt, Evaluate, Merge, Op, Snapshot, SyncStep, Trace, global_value

# A value and the node that holds it; None: every worker holds it.
Held = tuple[int | None, str]


def mark_value(snapshot: str) -> str:
    """Name of the copy of a node's replica at the moment of a snapshot, kept for adoptions that name it."""
    return f"mark/{snapshot}"


def is_mark(name: str) -> bool:
    """Whether a held value is a mark."""
    return name.startswith("mark/")


def final_global(trace: Trace) -> str:
    """Name of the last version of the global model that a trace writes."""
    written = [name for op in trace.ops for holder, name in _writes(op) if holder is None]
    return written[-1] if written else global_value(0, 0)


def drops(trace: Trace) -> dict[int, tuple[Held, ...]]:
    """Values that are not read any more, by the id of the operation that used them last.

    A value that nobody reads goes with the operation that wrote it. The final global model always stays.
    """
    last: dict[Held, int] = {(None, global_value(0, 0)): 0}
    base_version: dict[int, int] = defaultdict(int)
    for op in trace.ops:
        for held in (*_reads(op, base_version), *_writes(op)):
            last[held] = op.id
        if type(op) is Adopt:
            base_version[op.node] = op.version
    last.pop((None, final_global(trace)))
    dropped: dict[int, list[Held]] = defaultdict(list)
    for held, op_id in last.items():
        dropped[op_id].append(held)
    return {op_id: tuple(held) for op_id, held in dropped.items()}


def _writes(op: Op) -> Iterator[Held]:
    match op:
        case SyncStep():
            yield None, global_value(0, op.to_version)
        case Merge():
            yield None, global_value(op.fragment, op.to_version)
        case Snapshot():
            yield op.node, snapshot_name(op)
            yield op.node, mark_value(snapshot_name(op))


def _reads(op: Op, base_version: Mapping[int, int]) -> Iterator[Held]:
    match op:
        case SyncStep():
            yield None, global_value(0, op.from_version)
        case Snapshot():
            yield None, global_value(op.fragment, op.base_version)
        case Merge():
            yield None, global_value(op.fragment, op.from_version)
            for contribution in op.contributions:
                yield contribution.node, contribution.snapshot
        case Adopt():
            yield None, global_value(op.fragment, op.version)
            if op.mode == "keep" and op.since_snapshot is None:
                yield None, global_value(op.fragment, base_version[op.node])
            elif op.mode == "keep" and op.since_snapshot is not None:
                yield op.node, mark_value(op.since_snapshot)
        case Evaluate():
            yield None, global_value(0, op.version)


def snapshot_name(op: Snapshot) -> str:
    """Name of the value that a snapshot writes."""
    return next(name for name in op.writes if name.startswith("snap/"))


def peak_versions(trace: Trace) -> int:
    """Largest number of versions of the global model that are held at once."""
    dropped = drops(trace)
    held = peak = 1
    for op in trace.ops:
        held += sum(1 for holder, _ in _writes(op) if holder is None)
        peak = max(peak, held)
        held -= sum(1 for holder, _ in dropped.get(op.id, ()) if holder is None)
    return peak
