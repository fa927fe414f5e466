"""What nodes contribute: what of it is refused, its norm, and merging that outliers cannot pull away.

Suffix F: elements of a fragment (parameters, then floating buffers, then integer ones); K: contributions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from orbital_train.errors import InputError
from orbital_train.train.codec import decode, encode
from orbital_train.train.spec import OuterSpec
from orbital_train.train.transport import Transport


def as_sent(vector_F: Tensor, codec: str, trained: int) -> Tensor:
    """A vector as it arrives: parameters as the codec encodes them, the buffers behind them exactly.

    A variance that was rounded could come out negative. It may share memory.
    """
    parameters_F = decode(encode(vector_F[:trained], codec))
    return parameters_F if trained == len(vector_F) else torch.cat([parameters_F, vector_F[trained:]])


def is_finite(vector_F: Tensor) -> bool:
    """Whether every element is a number."""
    return bool(torch.isfinite(vector_F).all())


def without_refused(total_F: Tensor, refused: float, averaged: int) -> Tensor:
    """The average of what was not refused, from a sum in which the refused part of the weight adds nothing.

    What is left must not shrink for it. Integer buffers, behind ``averaged``, are no average.
    """
    left = 1.0 - refused
    if refused == 0.0 or left < 1e-6:  # weights are float32: below that nothing is left
        return total_F
    return torch.cat([total_F[:averaged] / left, total_F[averaged:]])


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


def gather(
    mine: Mapping[str, Tensor],
    values: Sequence[tuple[str, int]],
    piece: slice,
    like: Tensor,
    root: int,
    transport: Transport,
) -> Tensor | None:
    """Bring the same piece of several vectors to one worker; all workers call this with the same ``values``.

    Args:
        mine: vectors (F,) of this worker by name; they must not be changed before the next ``flush``.
        values: name and rank of all, in the order that is wanted.
        piece: which elements, in one message each.
        like: any vector of the same shape, type and device.
        root: rank of the worker that gets them.
        transport: between the workers.

    Returns:
        The pieces (K, length) on the root, None on all others.
    """
    gathered = like[piece].repeat(len(values), 1) if transport.rank == root else None
    for row, (value, rank) in enumerate(values):
        if gathered is None:
            if rank == transport.rank:
                transport.send(mine[value][piece], root)
        elif rank == root:
            gathered[row] = mine[value][piece]
        else:
            transport.recv(gathered[row], rank)
    return gathered


def robust_average(vectors_KF: Tensor, spec: OuterSpec, averaged: int) -> Tensor:
    """Coordinate median, or mean without the largest and the smallest; contributions count alike, whatever they weigh.

    Integer buffers, behind ``averaged``, are those of the first contribution. Of none it is zero.
    """
    if not len(vectors_KF):
        return vectors_KF.sum(0)
    ordered_KF, k = vectors_KF[:, :averaged].sort(dim=0).values, len(vectors_KF)
    cut = (k - 1) // 2 if spec.merging == "median" else math.floor(spec.trim_fraction * k)
    return torch.cat([ordered_KF[cut : k - cut].mean(dim=0), vectors_KF[0, averaged:]])
