"""What nodes contribute: what of it is refused, its norm, and merging that outliers cannot pull away.

Suffix F: elements of a fragment (parameters, then floating buffers, then integer ones); K: contributions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from orbital_train.errors import InputError
from orbital_train.train.spec import OuterSpec


def is_nothing(refused: float) -> bool:
    """Whether the whole weight of a merge was refused: weights are float32."""
    return refused > 1.0 - 1e-6


def without_refused(total_F: Tensor, refused: float, averaged: int) -> Tensor:
    """The average of what was not refused, from a sum in which the refused part of the weight adds nothing.

    What is left must not shrink for it. Integer buffers, behind ``averaged``, are no average.
    """
    if refused == 0.0 or is_nothing(refused):
        return total_F
    return torch.cat([total_F[:averaged] / (1.0 - refused), total_F[averaged:]])


def check_merging(spec: OuterSpec, *, sums: bool, gossips: bool) -> None:
    """Median and trimmed mean need every contribution by itself; gossip has an outer optimizer of its own.

    Raises:
        InputError: sums are formed on the way (``outer.merging``), or nodes gossip and more is asked for than SGD and
            means (``outer.optimizer``, ``outer.merging``, ``outer.delay_merges``).
    """
    for key, value, accepted in (
        ("optimizer", spec.optimizer, "sgd"),
        ("merging", spec.merging, "mean"),
        ("delay_merges", spec.delay_merges, 1),
    ):
        if gossips and value != accepted:
            raise InputError(f"outer.{key}", value, f"is not for gossip; accepted: {accepted}")
    if sums and spec.merging != "mean":
        problem = "needs every contribution by itself, and here sums are formed on their way; accepted: mean"
        raise InputError("outer.merging", spec.merging, problem)


def robust_average(vectors_KF: Tensor, spec: OuterSpec, averaged: int) -> Tensor:
    """Coordinate median, or mean without the largest and the smallest; contributions count alike, whatever they weigh.

    Integer buffers, behind ``averaged``, are those of the first contribution. Of none it is zero.
    """
    if not len(vectors_KF):
        return vectors_KF.sum(0)
    ordered_KF, k = vectors_KF[:, :averaged].sort(dim=0).values, len(vectors_KF)
    cut = (k - 1) // 2 if spec.merging == "median" else math.floor(spec.trim_fraction * k)
    return torch.cat([ordered_KF[cut : k - cut].mean(dim=0), vectors_KF[0, averaged:]])
