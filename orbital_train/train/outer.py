"""The outer optimizer: a pure function from one version of a fragment and an outer gradient to the next version.

Its state is part of the version: every holder computes the same one, and a version that is given up takes its own with
it. Suffix F: elements of a fragment, parameters first and then buffers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from orbital_train.train.devices import Devices, all_finite
from orbital_train.train.spec import OuterSpec

State = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class GlobalState:
    """One version of a fragment of the global model, or of a group's or a node's own, with the state of the outer
    optimizer. Never changed in place."""

    parameters_F: Tensor
    outer: State

    def is_finite(self, devices: Devices) -> bool:
        """Whether all of it is numbers, on all devices of a node: what is not would stay so for ever."""
        return all(bool(all_finite(tensor, devices)) for tensor in (self.parameters_F, *self.outer.values()))


def initial_state(parameters_F: Tensor, spec: OuterSpec, trained: int | None = None) -> GlobalState:
    """Version 0: these parameters, at rest. ``trained`` of them are no buffers; all, if not given."""
    if spec.optimizer == "adamw":
        return GlobalState(parameters_F=parameters_F, outer={})  # torch begins it at the first step
    outer = {"momentum": torch.zeros_like(parameters_F[:trained])}
    if spec.delay_merges != 1:
        outer |= {"pending": torch.zeros_like(parameters_F[:trained]), "merges": torch.zeros((), dtype=torch.int64)}
    return GlobalState(parameters_F=parameters_F, outer=outer)


def average(
    state: GlobalState, outer_gradient_F: Tensor, trained: int | None = None, share: float = 1.0
) -> GlobalState:
    """The next version of a group's model: less a share of the mean outer gradient, and with the mean of buffers.

    The state stays that of the global model.
    """
    after_F = state.parameters_F - outer_gradient_F
    if share != 1.0:
        after_F[:trained] = state.parameters_F[:trained] - outer_gradient_F[:trained] * share
    return GlobalState(parameters_F=after_F, outer=state.outer)


def rebased(own: GlobalState, since: GlobalState, taken: GlobalState) -> GlobalState:
    """A group's model on a global version, with what it has merged since: exactly that version if that is nothing."""
    kept_F = own.parameters_F - since.parameters_F
    return GlobalState(parameters_F=kept_F.add_(taken.parameters_F), outer=taken.outer)


def outer_step(
    state: GlobalState, outer_gradient_F: Tensor, spec: OuterSpec, trained: int | None = None, share: float = 1.0
) -> GlobalState:
    """The next version. Buffers are no matter of the optimizer: they become their average, whatever its settings.

    ``share`` is how much of a whole step it is: of the outer gradient, or of AdamW's rate, which no scale of gradients
    changes. Delayed Nesterov divides its steps by itself.
    """
    before_F, gradient_F = state.parameters_F[:trained], outer_gradient_F[:trained]
    if spec.optimizer == "adamw":
        after_F, outer = _adamw(before_F, gradient_F, state.outer, replace(spec, lr=spec.lr * share))
    elif spec.delay_merges != 1:
        after_F, outer = _delayed(before_F, gradient_F, state.outer, spec)
    else:
        after_F, outer = _sgd(before_F, gradient_F if share == 1.0 else gradient_F * share, state.outer, spec)
    if trained is not None and trained < len(state.parameters_F):
        after_F = torch.cat([after_F, state.parameters_F[trained:] - outer_gradient_F[trained:]])
    return GlobalState(parameters_F=after_F, outer=outer)


def _sgd(before_F: Tensor, gradient_F: Tensor, outer: State, spec: OuterSpec) -> tuple[Tensor, State]:
    """The formulas of ``torch.optim.SGD`` in their order: v' = m v + g, p' = p - lr (g + m v') (DiLoCo, 2311.08105).

    Without ``nesterov`` the last is p' = p - lr v'.
    """
    momentum_F = (outer["momentum"] * spec.momentum).add_(gradient_F)
    step_F = gradient_F.add(momentum_F, alpha=spec.momentum) if spec.nesterov else momentum_F
    return before_F.add(step_F, alpha=-spec.lr), {"momentum": momentum_F}


def _delayed(before_F: Tensor, gradient_F: Tensor, outer: State, spec: OuterSpec) -> tuple[Tensor, State]:
    """Delayed Nesterov (2401.09135, with c = 0): k merges are one outer step, on the mean of their outer gradients.

    Every merge goes down by g / k at once; momentum is updated and applied with the k-th. So k merges lead as far as
    one step of :func:`_sgd` on their mean, up to rounding.
    """
    assert spec.delay_merges is not None  # as :meth:`OuterSpec.of_fleet` gives it
    k, merges = spec.delay_merges, outer["merges"] + 1
    step_F, pending_F, momentum_F = gradient_F / k, outer["pending"] + gradient_F, outer["momentum"]
    if int(merges) % k == 0:
        before = momentum_F
        momentum_F = (momentum_F * spec.momentum).add_(pending_F, alpha=1 / k)
        step_F = step_F.add_(momentum_F if spec.nesterov else before, alpha=spec.momentum)
        pending_F = torch.zeros_like(pending_F)
    outer = {"momentum": momentum_F, "pending": pending_F, "merges": merges}
    return before_F.add(step_F, alpha=-spec.lr), outer


def _adamw(before_F: Tensor, gradient_F: Tensor, outer: State, spec: OuterSpec) -> tuple[Tensor, State]:
    """A step of ``torch.optim.AdamW`` on copies."""
    parameter = before_F.clone().requires_grad_()
    parameter.grad = gradient_F
    betas = (spec.beta1, spec.beta2)
    optimizer = torch.optim.AdamW(
        [parameter], lr=spec.lr, betas=betas, eps=spec.eps, weight_decay=spec.weight_decay, foreach=False
    )
    optimizer.state[parameter] |= {name: value.clone() for name, value in outer.items()}
    optimizer.step()
    return parameter.detach(), optimizer.state[parameter]
