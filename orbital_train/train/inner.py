"""The inner optimizer: AdamW, gradient clipping, and a learning rate by progress that rises again after a restart."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from orbital_train.train.flat import Layout
from orbital_train.train.spec import InnerSpec


def lr_at(spec: InnerSpec, progress: float) -> float:
    """Learning rate: linear from 0 over the warm-up, then half a cosine down to ``min_lr_fraction`` at progress 1."""
    progress = min(progress, 1.0)
    if progress <= spec.warmup_fraction and spec.warmup_fraction > 0:
        return spec.lr * progress / spec.warmup_fraction
    decayed = (progress - spec.warmup_fraction) / (1 - spec.warmup_fraction)
    cosine = 0.5 * (1 + math.cos(math.pi * decayed))
    return spec.lr * (spec.min_lr_fraction + (1 - spec.min_lr_fraction) * cosine)


def clip(gradient_P: Tensor, limit: float) -> None:
    """Scale a gradient in place to a norm of at most ``limit``; 0 turns it off. The device is not waited for."""
    if limit:
        gradient_P.mul_((limit / (torch.linalg.vector_norm(gradient_P) + 1e-6)).clamp_(max=1.0))


class Replica:
    """Parameters and AdamW state of one node, each a flat vector; weight decay is applied to matrices only.

    The state exists from the start, so that it can be saved and loaded at any time without a step.
    """

    def __init__(self, parameters_P: Tensor, gradient_P: Tensor, layout: Layout, spec: InnerSpec) -> None:
        self.parameters_P = parameters_P
        self.rewarm_left = 0  # steps that it takes at less than the full learning rate, after it started anew
        self._rewarm_steps = spec.rewarm_steps
        self.exp_avg_P = torch.zeros_like(parameters_P)
        self.exp_avg_sq_P = torch.zeros_like(parameters_P)
        everywhere = (slice(0, layout.matrix_size), slice(layout.matrix_size, layout.size))
        stretches = [where for where in everywhere if where.stop > where.start]
        groups = [
            {
                "params": [self._stretch(gradient_P, where)],
                "weight_decay": spec.weight_decay if where.stop <= layout.matrix_size else 0.0,
            }
            for where in stretches
        ]
        self._optimizer = torch.optim.AdamW(groups, lr=spec.lr, betas=(spec.beta1, spec.beta2), fused=True)
        self._counters = [torch.zeros((), device=parameters_P.device) for _ in groups]
        for group, where, counter in zip(self._optimizer.param_groups, stretches, self._counters, strict=True):
            self._optimizer.state[group["params"][0]] = {
                "step": counter,
                "exp_avg": self.exp_avg_P[where],
                "exp_avg_sq": self.exp_avg_sq_P[where],
            }

    def _stretch(self, gradient_P: Tensor, where: slice) -> Tensor:
        parameter = self.parameters_P[where].requires_grad_()
        parameter.grad = gradient_P[where]
        return parameter

    def step(self, lr: float) -> None:
        """One AdamW step on the gradient vector given at creation, at a part of ``lr`` after it started anew."""
        if self.rewarm_left:
            lr *= 1 - self.rewarm_left / (self._rewarm_steps + 1)
            self.rewarm_left -= 1
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self._optimizer.step()

    def start_anew(self) -> None:
        """Forget all of the past but the parameters; the learning rate then rises linearly over ``rewarm_steps``."""
        self.exp_avg_P.zero_()
        self.exp_avg_sq_P.zero_()
        self.steps, self.rewarm_left = 0, self._rewarm_steps

    @property
    def steps(self) -> int:
        """Steps taken so far, which AdamW's bias correction counts."""
        return int(self._counters[0].item())

    @steps.setter
    def steps(self, steps: int) -> None:
        for counter in self._counters:
            counter.fill_(steps)
