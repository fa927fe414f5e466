"""What a replica becomes when its node adopts a version of the global model. Suffix F: parameters of a fragment."""

from __future__ import annotations

import torch
from torch import Tensor

from orbital_train.schedule.trace import Adopt


def adopted(op: Adopt, local_F: Tensor, version_F: Tensor, since_F: Tensor | None) -> Tensor:
    """The replica after the adoption, as a new tensor.

    Args:
        op: the adoption.
        local_F: the replica now.
        version_F: the version of the global model.
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
