"""Which versions nodes begin anew from when they find their replicas corrupt: of the global model, or of their own."""

from __future__ import annotations

from collections.abc import Mapping

from orbital_train.schedule.ops.merging import Snapshot
from orbital_train.schedule.ops.nodes import Adopt, Restore, Step
from orbital_train.schedule.trace import Trace

Bases = Mapping[int, tuple[tuple[int, str | None], ...]]
"""By the id of an operation: of each fragment, the version that the node adopted last, and how it was sent it."""


def bases(trace: Trace) -> Bases:
    """Of all inner steps and outer gradients; every node holds these versions until it adopts the next."""
    start: tuple[tuple[int, str | None], ...] = ((0, None),) * trace.fragments
    has = dict.fromkeys(trace.fleet_nodes, start)
    found = {}
    for op in trace.ops:
        match op:
            case Restore() if op.own_versions:  # as the node has made them of what it was sent
                has[op.node] = tuple((version, None) for version in op.own_versions)
            case Restore() if op.source != op.node:
                has[op.node] = tuple((version, op.codec) for version in op.versions)
            case Adopt():
                own = enumerate(has[op.node])
                has[op.node] = tuple((op.version, op.codec) if f == op.fragment else base for f, base in own)
            case Step() | Snapshot():
                found[op.id] = has[op.node]
    return found
