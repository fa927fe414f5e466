"""How a node finds out that its own replica is corrupt: by the norms of what it contributes, and by its moments."""

from __future__ import annotations

import math
import statistics

import torch
from torch import Tensor

from orbital_train.train.inner import Replica
from orbital_train.train.state import NodeState

REMEMBERED = 8  # norms of a node's last contributions of each fragment
FEWEST = 3  # of which there is a median
_ROUNDING, _TINY = 1.01, 1e-30  # what float32 makes of the bound, and of squares that are next to nothing

NORM = "its norm is far above those of the node's contributions before"
NOTHING = "it is nothing since the node began anew"
MOMENTS = "the optimizer's moments cannot be"


def is_outlier(state: NodeState, fragment: int, norm: float, factor: float) -> bool:
    """Whether the norm of a contribution is above ``factor`` times the median of the node's last ones."""
    before = _norms(state, fragment)
    return not math.isfinite(norm) or (len(before) >= FEWEST and norm > factor * statistics.median(before))


def remember(state: NodeState, fragment: int, norm: float) -> None:
    """Take note of the norm of a contribution that is as it should be; one of nothing says nothing."""
    if norm > 0:
        norms = [*_norms(state, fragment), norm][-REMEMBERED:]
        state.hold(_name(fragment), torch.tensor(norms, dtype=torch.float64))


def moments_are_sound(replica: Replica) -> bool:
    """Whether the state of an optimizer of Adam's kind can have come about; that of others only has to be finite.

    With m the mean of gradients and v that of their squares, v >= 0, and by Cauchy and Schwarz
    m² <= v (1 - β1)² / ((1 - β2) (1 - β1² / β2)), whatever the gradients were, if β1² < β2.
    """
    sound = [
        _within_bound(state, *betas) if {"exp_avg", "exp_avg_sq"} <= state.keys() else _all_finite(state)
        for state, betas in replica.moments()
    ]
    return bool(torch.stack(sound).all()) if sound else True


def _within_bound(state: dict[str, Tensor], beta1: float, beta2: float) -> Tensor:
    mean_P, square_P = state["exp_avg"], state["exp_avg_sq"]
    if beta1**2 >= beta2:
        return torch.isfinite(mean_P).all() & torch.isfinite(square_P).all() & (square_P >= 0).all()
    bound = _ROUNDING * (1 - beta1) ** 2 / ((1 - beta2) * (1 - beta1**2 / beta2))
    # Comparisons with what is no number are false, and an infinite square is no better.
    return ((mean_P.square() <= bound * square_P + _TINY) & torch.isfinite(square_P)).all()


def _all_finite(state: dict[str, Tensor]) -> Tensor:
    return torch.stack([torch.isfinite(tensor).all() for tensor in state.values()]).all()


def _norms(state: NodeState, fragment: int) -> list[float]:
    norms = state.held.get(_name(fragment))
    return [] if norms is None else norms.tolist()


def _name(fragment: int) -> str:
    return f"norms/{fragment}"
