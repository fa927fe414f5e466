"""A replica under its inner optimizer, gradient clipping, and the learning rate by progress."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from orbital_train.errors import InputError
from orbital_train.train.devices import ONE_DEVICE, Devices, norm
from orbital_train.train.flat import Layout
from orbital_train.train.optimizers import inner_optimizers
from orbital_train.train.parking import Parking
from orbital_train.train.spec import InnerSpec

State = defaultdict[Tensor, Any]  # of an optimizer: named values by parameter


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


def clip(gradient_P: Tensor, limit: float, devices: Devices = ONE_DEVICE) -> None:
    """Scale a gradient, of which every device has a shard, in place to a norm of at most ``limit``; 0 turns it off.

    A node's only device is not waited for.
    """
    if limit:
        gradient_P.mul_((limit / (norm(gradient_P, devices) + 1e-6)).clamp_(max=1.0))


class Replica:
    """All tensors of one node's model in one vector, and the state of its inner optimizer.

    Args:
        parameters_P: parameters and buffers; the vector is the replica's own from now on.
        optimizers: over this vector; other replicas may use them too. Their state now is the replica's at rest.
        rewarm_steps: steps below the full learning rate, after it started anew.
    """

    def __init__(self, parameters_P: Tensor, optimizers: Sequence[Optimizer], rewarm_steps: int) -> None:
        self._parameters_P = parameters_P
        self._parking: Parking | None = None
        self.rewarm_left = 0  # steps that it takes at less than the full learning rate, after it started anew
        self.stopped = False  # a loss was not finite: it trains no more, and what it would contribute is refused
        self._rewarm_steps = rewarm_steps
        self._optimizers = tuple(optimizers)
        self._at_rest = [_copied(optimizer.state) for optimizer in optimizers]
        self._states = [_copied(state) for state in self._at_rest]

    @classmethod
    def of(cls, parameters_P: Tensor, gradient_P: Tensor, layout: Layout, spec: InnerSpec) -> Replica:
        """One with optimizers of its own, over ``gradient_P``, where the gradient will be at every step."""
        return cls(parameters_P, inner_optimizers(parameters_P, gradient_P, layout, spec), spec.rewarm_steps)

    @property
    def parameters_P(self) -> Tensor:
        """The vector, on the device; to be asked for anew by every operation, since it may have been parked since."""
        self._be_here()
        return self._parameters_P

    def share(self, parking: Parking) -> None:
        """Be on the device only where it is needed, from now on."""
        self._parking = parking
        parking.need(self)

    def vectors(self) -> Iterator[Tensor]:
        """All tensors that are as large as the model, or large parts of it."""
        yield self._parameters_P
        for _, state, parameter in self._parameters():
            yield from (v for v in state.get(parameter, {}).values() if isinstance(v, Tensor) and v.dim())

    def _be_here(self) -> None:
        if self._parking is not None:
            self._parking.need(self)

    def enter(self) -> None:
        """Give the optimizers the state of this replica to work with."""
        self._be_here()
        for optimizer, state in zip(self._optimizers, self._states, strict=True):
            optimizer.state = state

    def step(self, lr: float) -> None:
        """One step of the optimizers, at a part of ``lr`` after it started anew."""
        self.enter()
        lr *= self.next_warmth()
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.step()

    def next_warmth(self) -> float:
        """The part of the learning rate for the next step, which is counted: 1, but rising to it after a new start."""
        warmth = 1 - self.rewarm_left / (self._rewarm_steps + 1)
        self.rewarm_left = max(0, self.rewarm_left - 1)
        return warmth

    def start_anew(self) -> None:
        """Forget all of the past but the parameters; the learning rate then rises linearly over ``rewarm_steps``."""
        self._be_here()
        self._states = [_copied(state) for state in self._at_rest]
        self.rewarm_left, self.stopped = self._rewarm_steps, False

    def optimizer_state(self) -> dict[str, Tensor]:
        """The state of the inner optimizer by name, sharing its memory; before the first step most have none.

        Raises:
            InputError: an optimizer of the user's own has other things than tensors in its state (``optimizer``).
        """
        self._be_here()
        return {
            f"{number}/{name}": _tensor(optimizer, name, value)
            for number, (optimizer, state, parameter) in enumerate(self._parameters())
            for name, value in state.get(parameter, {}).items()
            if value is not None
        }

    def moments(self) -> Iterator[tuple[dict[str, Tensor], tuple[float, float]]]:
        """What the inner optimizer has of each parameter by name, counters left out, and its betas, 0 without any."""
        self._be_here()
        for optimizer, state, parameter in self._parameters():
            values = {n: v for n, v in state.get(parameter, {}).items() if isinstance(v, Tensor) and v.dim()}
            if values:
                yield values, optimizer.defaults.get("betas", (0.0, 0.0))

    def load_optimizer_state(self, state: Mapping[str, Tensor]) -> None:
        """Take exactly this state, of which copies are made. Nothing is stepped, and what is not in it is forgotten."""
        self._be_here()
        owners = list(self._parameters())
        for _, own, parameter in owners:
            own.pop(parameter, None)
        for key, value in state.items():
            number, name = key.split("/")
            optimizer, own, parameter = owners[int(number)]
            own[parameter][name] = value.to(_home(optimizer, parameter, value), copy=True)

    def _parameters(self) -> Iterator[tuple[Optimizer, State, Tensor]]:
        for optimizer, state in zip(self._optimizers, self._states, strict=True):
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    yield optimizer, state, parameter


def _copied(state: State) -> State:
    return defaultdict(dict, {parameter: deepcopy(values) for parameter, values in state.items()})


def _tensor(optimizer: Optimizer, name: str, value: object) -> Tensor:
    if not isinstance(value, Tensor):
        problem = f"keeps {name} as {type(value).__name__}; a node goes back to its store with tensors alone"
        raise InputError("optimizer", type(optimizer).__name__, problem)
    return value


def _home(optimizer: Optimizer, parameter: Tensor, value: Tensor) -> torch.device:
    """Where an optimizer keeps a value: counters are on the CPU, except those of a fused one."""
    on_device = value.dim() > 0 or optimizer.defaults.get("fused")
    return parameter.device if on_device else torch.device("cpu")
