"""Gossip: how a node makes new slow weights of its own.

Suffix F: elements of a fragment (parameters, then floating buffers, then integer ones).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from orbital_train.train.outer import GlobalState
from orbital_train.train.spec import OuterSpec

MOMENTUM = "momentum"


def at_rest(slow_F: Tensor, trained: int) -> GlobalState:
    """Slow weights without momentum; ``trained`` of them are no buffers."""
    return GlobalState(parameters_F=slow_F, outer={MOMENTUM: torch.zeros_like(slow_F[:trained])})


def mixed(
    own: GlobalState,
    gradients_F: Sequence[Tensor],
    weights: Sequence[float],
    slow_F: Sequence[Tensor],
    spec: OuterSpec,
    averaged: int | None = None,
) -> GlobalState:
    """The outer step of NoLoCo (arXiv 2506.10911): m' = a m + b sum_j w_j D_j + c (p - mean_j p_j), p' = p - m'.

    Where pairs are random, nothing is trained, and all mix equally often, V = Var p, K = Cov(p, m) and M = Var m over
    the nodes go by M' = c^2 V / 2 + a c K + a^2 M, K' = c V / 2 + a K - M', V' = V - c V - 2 a K + M'. That decays
    where 0 < c < 2 (1 - a^2): with more pull, nodes drive each other apart.

    Buffers are no matter of the optimizer: they become the weighted average of the replicas' (p - D), integers the
    node's own.

    Args:
        own: the node's slow weights p and momentum m; at rest where it has none.
        gradients_F: outer gradients D_j of those that mix, the node's own first.
        weights: w_j, which add up to 1, or to 0 where nothing was contributed.
        slow_F: slow weights p_j that the outer gradients started from, as they are sent; the node's own first.
        spec: momentum coefficient a, learning rate b, and pull c; Nesterov's look ahead is not for gossip.
        averaged: elements of all that is floating; all, if not given.
    """
    trained = len(own.outer[MOMENTUM])
    momentum_F = own.outer[MOMENTUM] * spec.momentum
    for weight, gradient_F in zip(weights, gradients_F, strict=True):
        momentum_F.add_(gradient_F[:trained], alpha=spec.lr * weight)
    mean_F = torch.stack([p[:trained] for p in slow_F]).mean(dim=0)
    momentum_F.add_(slow_F[0][:trained] - mean_F, alpha=spec.pull_or_usual)
    after_F = own.parameters_F[:trained] - momentum_F
    if trained < len(own.parameters_F):
        after_F = torch.cat([after_F, _buffers(trained, averaged, gradients_F, weights, slow_F)])
    return GlobalState(parameters_F=after_F, outer={MOMENTUM: momentum_F})


def _buffers(
    trained: int,
    averaged: int | None,
    gradients_F: Sequence[Tensor],
    weights: Sequence[float],
    slow_F: Sequence[Tensor],
) -> Tensor:
    replicas_F = [(p - d)[trained:] for p, d in zip(slow_F, gradients_F, strict=True)]
    floating = len(replicas_F[0]) if averaged is None else averaged - trained
    if not sum(weights):
        return replicas_F[0]
    mean_F = torch.stack([b[:floating] * w for b, w in zip(replicas_F, weights, strict=True)]).sum(dim=0)
    return torch.cat([mean_F, replicas_F[0][floating:]])
