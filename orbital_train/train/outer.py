"""The outer optimizer: SGD with Nesterov momentum on an outer gradient (DiLoCo, arXiv 2311.08105)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from orbital_train.train.spec import OuterSpec


@dataclass(frozen=True, kw_only=True)
class GlobalState:
    """One version of a fragment of the global model, or of a node's own, with its momentum. Never changed in place."""

    parameters_F: Tensor
    momentum_F: Tensor


def initial_state(parameters_F: Tensor) -> GlobalState:
    """Version 0: these parameters, at rest."""
    return GlobalState(parameters_F=parameters_F, momentum_F=torch.zeros_like(parameters_F))


def average(state: GlobalState, outer_gradient_F: Tensor) -> GlobalState:
    """The next version of a group's model: less the mean outer gradient. Momentum is that of the global model."""
    return GlobalState(parameters_F=state.parameters_F - outer_gradient_F, momentum_F=state.momentum_F)


def rebased(own: GlobalState, since: GlobalState, taken: GlobalState) -> GlobalState:
    """A group's model on a global version, with what it has merged since: exactly that version if that is nothing."""
    kept_F = own.parameters_F - since.parameters_F
    return GlobalState(parameters_F=kept_F.add_(taken.parameters_F), momentum_F=taken.momentum_F)


def outer_step(state: GlobalState, outer_gradient_F: Tensor, spec: OuterSpec) -> GlobalState:
    """The next version, by the formulas of ``torch.optim.SGD`` in their order: v' = m v + g, p' = p - lr (g + m v').

    Without ``nesterov`` the last is p' = p - lr v'.
    """
    momentum_F = (state.momentum_F * spec.momentum).add_(outer_gradient_F)
    step_F = outer_gradient_F.add(momentum_F, alpha=spec.momentum) if spec.nesterov else momentum_F
    return GlobalState(parameters_F=state.parameters_F.add(step_F, alpha=-spec.lr), momentum_F=momentum_F)
