"""A run that goes on without a worker that was lost: what becomes of its nodes, as faults that are appended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from orbital_train.schedule.faults import WorkerLoss
from orbital_train.schedule.ops.base import Op
from orbital_train.schedule.ops.merging import Combine, Merge, Snapshot
from orbital_train.schedule.ops.nodes import Step
from orbital_train.schedule.recorder import MAX_STEPS_PER_OP
from orbital_train.schedule.trace import Trace


def worker_losses(trace: Trace, heard: Mapping[int, int], position: int) -> tuple[WorkerLoss, ...]:
    """The faults that a lost worker's nodes have, which nobody has replaced yet.

    Args:
        trace: that was executed.
        heard: by lost node, how far others have heard of its operations: of all with a lower id.
        position: all operations below it were executed by a survivor, and none from it on.
    """
    known_us = known_by_us(trace, position) + 1
    start_us = _first_unheard_us(trace, heard)
    void = _unmerged(trace, heard, position, known_us)
    return tuple(
        WorkerLoss(
            node=node,
            start_us=min(start_us.get(node, known_us), known_us),
            known_us=known_us,
            end_us=None,
            unheard=heard[node],
            void=void[node],
        )
        for node in sorted(heard)
    )


def known_by_us(trace: Trace, position: int) -> int:
    """A time by which all operations below a position were known.

    A block of steps that was cut was known after it had ended: no later than the next operation of another kind. The
    last operation of all may be an evaluation of earlier.
    """
    for op in trace.ops[position - 1 : -1] if position else ():
        if not isinstance(op, Step) or op.n == MAX_STEPS_PER_OP:
            return op.end_us
    return trace.end_us if position else 0


def rejoined(lost: WorkerLoss, trace: Trace, position: int) -> WorkerLoss:
    """The same, ending right after all that any worker had executed when a worker was back."""
    return replace(lost, end_us=max(known_by_us(trace, position), lost.known_us) + 1)


def continues(after: Trace, before: Trace, position: int) -> bool:
    """Whether a trace is as the one before up to a position, but for weights of what has become void since."""
    pairs = zip(after.ops[:position], before.ops[:position], strict=False)
    return len(after.ops) >= position and all(_same(a, b) for a, b in pairs)


def _same(after: Op, before: Op) -> bool:
    if not (isinstance(after, Combine) and isinstance(before, Combine)):
        return after == before
    weights = zip(after.weights, before.weights, strict=False)
    return replace(after, weights=before.weights) == before and all(a in (b, 0.0) for a, b in weights)


def _first_unheard_us(trace: Trace, heard: Mapping[int, int]) -> dict[int, int]:
    """When each node's first operation began of which nobody has heard."""
    found: dict[int, int] = {}
    for op in trace.ops[min(heard.values()) :]:
        node: int = getattr(op, "node", -1)
        if node in heard and op.id >= heard[node]:
            found.setdefault(node, op.start_us)
    return found


def _unmerged(trace: Trace, heard: Mapping[int, int], position: int, known_us: int) -> dict[int, tuple[str, ...]]:
    """Outer gradients of these nodes that no survivor has merged, and that may be merged yet.

    A node takes another one of a fragment when the last was merged or refused.
    """
    found: dict[int, list[str]] = {node: [] for node in heard}
    contributed = [
        (c.snapshot, op.id) for op in trace.of_kind(Merge) for c in op.contributions if c.weight and c.node in heard
    ]
    merged = {snapshot for snapshot, op_id in contributed if op_id < position}
    later = {snapshot for snapshot, op_id in contributed if op_id >= position}
    taken = [op for op in trace.of_kind(Snapshot) if op.node in heard and op.end_us < known_us]
    last = {(op.node, op.fragment): op.value for op in taken}
    for op in taken:
        if op.value not in merged and (op.value in later or op.value == last[op.node, op.fragment]):
            found[op.node].append(op.value)
    return {node: tuple(values) for node, values in found.items()}
