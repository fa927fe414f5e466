"""Gossip: how a node makes new slow weights of its own. Suffix F: parameters of a fragment."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from orbital_train.train.outer import GlobalState
from orbital_train.train.spec import OuterSpec


def mixed(
    own: GlobalState,
    gradients_F: Sequence[Tensor],
    weights: Sequence[float],
    slow_F: Sequence[Tensor],
    spec: OuterSpec,
) -> GlobalState:
    """The outer step of NoLoCo (arXiv 2506.10911): m' = a m + b sum_j w_j D_j + c (p - mean_j p_j), p' = p - m'.

    Where pairs are random, nothing is trained, and all mix equally often, V = Var p, K = Cov(p, m) and M = Var m over
    the nodes go by M' = c^2 V / 2 + a c K + a^2 M, K' = c V / 2 + a K - M', V' = V - c V - 2 a K + M'. That decays
    where 0 < c < 2 (1 - a^2): with more pull, nodes drive each other apart.

    Args:
        own: the node's slow weights p and momentum m; at rest where it has none.
        gradients_F: outer gradients D_j of those that mix, the node's own first.
        weights: w_j, which add up to 1.
        slow_F: slow weights p_j that the outer gradients started from, as they are sent; the node's own first.
        spec: momentum coefficient a, learning rate b, and pull c; Nesterov's look ahead is not for gossip.
    """
    momentum_F = own.momentum_F * spec.momentum
    for weight, gradient_F in zip(weights, gradients_F, strict=True):
        momentum_F.add_(gradient_F, alpha=spec.lr * weight)
    mean_F = torch.stack(tuple(slow_F)).mean(dim=0)
    momentum_F.add_(slow_F[0] - mean_F, alpha=spec.pull_or_usual)
    return GlobalState(parameters_F=own.parameters_F - momentum_F, momentum_F=momentum_F)
