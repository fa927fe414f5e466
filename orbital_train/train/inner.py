"""A replica under its inner optimizer, gradient clipping, and the learning rate by progress."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from orbital_train.train.flat import Layout
from orbital_train.train.optimizers import inner_optimizers
from orbital_train.train.spec import InnerSpec


def lr_at(spec: InnerSpec, progress: float) -> float:
    """Learning rate: linear from 0 over the warm-up, then as ``schedule`` says, to ``min_lr_fraction`` at progress 1.

    ``cosine`` falls by half a cosine, ``linear`` in a line; ``wsd`` is constant and falls in a line over the last
    ``decay_fraction`` (warm-up, stable, decay); ``constant`` does not fall.
    """
    progress = min(progress, 1.0)
    if progress <= spec.warmup_fraction and spec.warmup_fraction > 0:
        return spec.lr * progress / spec.warmup_fraction
    decayed = (progress - spec.warmup_fraction) / (1 - spec.warmup_fraction)
    return spec.lr * (spec.min_lr_fraction + (1 - spec.min_lr_fraction) * _remaining(spec, progress, decayed))


def _remaining(spec: InnerSpec, progress: float, decayed: float) -> float:
    """Part of the decay that is still to come; ``decayed`` is progress since the warm-up."""
    match spec.schedule:
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * decayed))
        case "linear":
            return 1 - decayed
        case "wsd":
            return min(1.0, (1 - progress) / spec.decay_fraction)
        case "constant":
            return 1.0


def clip(gradient_P: Tensor, limit: float) -> None:
    """Scale a gradient in place to a norm of at most ``limit``; 0 turns it off. The device is not waited for."""
    if limit:
        gradient_P.mul_((limit / (torch.linalg.vector_norm(gradient_P) + 1e-6)).clamp_(max=1.0))


class Replica:
    """All tensors of one node's model in one vector, and the state of its inner optimizer.

    Args:
        parameters_P: parameters and buffers; the vector is the replica's own from now on.
        gradient_P: where the gradient of the parameters will be at every step.
        layout: of the vector.
        spec: the optimizer and its settings.
    """

    def __init__(self, parameters_P: Tensor, gradient_P: Tensor, layout: Layout, spec: InnerSpec) -> None:
        self.parameters_P = parameters_P
        self.rewarm_left = 0  # steps that it takes at less than the full learning rate, after it started anew
        self.stopped = False  # a loss was not finite: it trains no more, and what it would contribute is refused
        self._rewarm_steps = spec.rewarm_steps
        self._optimizers = inner_optimizers(parameters_P, gradient_P, layout, spec)
        self._at_rest = {name: value.clone() for name, value in self.optimizer_state().items()}

    def step(self, lr: float) -> None:
        """One step on the gradient vector given at creation, at a part of ``lr`` after it started anew."""
        if self.rewarm_left:
            lr *= 1 - self.rewarm_left / (self._rewarm_steps + 1)
            self.rewarm_left -= 1
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.step()

    def start_anew(self) -> None:
        """Forget all of the past but the parameters; the learning rate then rises linearly over ``rewarm_steps``."""
        self.load_optimizer_state(self._at_rest)
        self.rewarm_left, self.stopped = self._rewarm_steps, False

    def optimizer_state(self) -> dict[str, Tensor]:
        """The state of the inner optimizer by name, sharing its memory; before the first step most have none."""
        return {
            f"{number}/{name}": value
            for number, (optimizer, parameter) in enumerate(self._parameters())
            for name, value in optimizer.state.get(parameter, {}).items()
            if value is not None
        }

    def load_optimizer_state(self, state: Mapping[str, Tensor]) -> None:
        """Take exactly this state, of which copies are made. Nothing is stepped, and what is not in it is forgotten."""
        owners = list(self._parameters())
        for optimizer, parameter in owners:
            optimizer.state.pop(parameter, None)
        for key, value in state.items():
            number, name = key.split("/")
            optimizer, parameter = owners[int(number)]
            optimizer.state[parameter][name] = value.to(_home(optimizer, parameter, value), copy=True)

    def _parameters(self) -> Iterator[tuple[torch.optim.Optimizer, Tensor]]:
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    yield optimizer, parameter


def _home(optimizer: torch.optim.Optimizer, parameter: Tensor, value: Tensor) -> torch.device:
    """Where an optimizer keeps a value: counters are on the CPU, except those of a fused one."""
    on_device = value.dim() > 0 or optimizer.defaults.get("fused")
    return parameter.device if on_device else torch.device("cpu")
