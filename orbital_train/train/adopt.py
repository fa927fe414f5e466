"""What a replica becomes when its node adopts a version of the global model. Suffix F: parameters of a fragment.

A node that does not hold the global model is sent parameters of a version, as a codec encodes them. What it trains
then, and the outer gradients and the progress that come of it, begin there, and not at the version as others have it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from orbital_train.schedule.ops.merging import Snapshot
from orbital_train.schedule.ops.nodes import Adopt, Restore
from orbital_train.schedule.trace import Trace
from orbital_train.train.codecs import decode, encode


def base_codecs(trace: Trace) -> dict[int, str]:
    """How nodes were sent the versions that they started from, by the id of a snapshot or an adoption.

    Those that are left out have them exactly.
    """
    has: dict[tuple[int, int], str | None] = {}
    found: dict[int, str | None] = {}
    for op in trace.ops:
        match op:
            case Restore() if op.source != op.node:
                has |= {(op.node, fragment): op.codec for fragment in range(trace.fragments)}
            case Snapshot() | Adopt():
                found[op.id] = has.get((op.node, op.fragment))
                if isinstance(op, Adopt):
                    has[op.node, op.fragment] = op.codec
    return {op_id: codec for op_id, codec in found.items() if codec is not None}


def received(version_F: Tensor, codec: str | None, trained: int) -> Tensor:
    """A version as a node has it that was sent it by this codec; None: exactly. It may share memory.

    ``trained`` of its elements are parameters, and buffers are behind them.
    """
    if codec is None:
        return version_F
    parameters_F = decode(encode(version_F[:trained], codec), codec, trained)
    return parameters_F if trained == len(version_F) else torch.cat([parameters_F, version_F[trained:]])


def adopted(op: Adopt, local_F: Tensor, version_F: Tensor, since_F: Tensor | None) -> Tensor:
    """The replica after the adoption, as a new tensor.

    Args:
        op: the adoption.
        local_F: the replica now.
        version_F: the version of the global model, as the node has it.
        since_F: for ``keep``, where the progress that is kept began: the replica at the snapshot, or the version
            that it started from.
    """
    if op.mode == "replace":
        return version_F.clone()
    if op.mode == "blend":
        return torch.lerp(local_F, version_F, op.alpha)
    assert since_F is not None
    return (local_F - since_F).add_(version_F)  # in this order: exactly the version where there was no progress


def moved_mark(op: Adopt, mark_F: Tensor, local_F: Tensor, adopted_F: Tensor) -> Tensor:
    """The mark of another snapshot, still under way, after an adoption moved the replica.

    Progress since that snapshot is replica minus mark; the adoption keeps all, none or ``1 - alpha`` of it, and the
    later adoption that names the snapshot must find that much.
    """
    kept = {"replace": 0.0, "keep": 1.0, "blend": 1.0 - op.alpha}[op.mode]
    return adopted_F - (local_F - mark_F) * kept
