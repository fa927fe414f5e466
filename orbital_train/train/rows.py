"""Rows of ``metrics.jsonl``, which tell what operations came to."""

from __future__ import annotations

from typing import Any

from orbital_train.schedule.ops.base import Op
from orbital_train.schedule.ops.nodes import Lose
from orbital_train.schedule.trace import Trace

Row = dict[str, Any]  # one line of metrics.jsonl, or a part of it


def silent(trace: Trace) -> set[int]:
    """Operations of which nobody has heard, since the worker that did them was lost: they are not told."""
    found: set[int] = set()
    for lose in trace.of_kind(Lose):
        if lose.unheard is not None:
            told = (op for op in trace.ops[lose.unheard : lose.id] if not isinstance(op, Lose))
            found |= {op.id for op in told if getattr(op, "node", None) == lose.node}
    return found


def row_of(event: str, op: Op) -> Row:
    """What all rows of an operation begin with."""
    return {"event": event, "op": op.id, "sim_s": op.end_us / 1e6}
