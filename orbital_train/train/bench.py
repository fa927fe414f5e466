"""Where losses and gradients are computed: one module and one gradient vector for all replicas of a worker."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn

from orbital_train.train.flat import Layout
from orbital_train.train.protocol import Batch


class Bench:
    """The module of a worker, bound to the parameters of one replica at a time. Suffix P: all parameters.

    Args:
        module: ``module(*batch)`` gives the mean loss of a batch.
        layout: of the module.
        dtype: of the forward and backward pass. Parameters and gradients are float32.
    """

    def __init__(self, module: nn.Module, layout: Layout, dtype: torch.dtype) -> None:
        self._module, self._layout, self._dtype = module, layout, dtype
        named = dict(module.named_parameters())
        self._parameters = [named[name] for name in layout.names]
        self.gradient_P = torch.zeros(layout.size, device=self._parameters[0].device)
        for parameter, gradient in zip(self._parameters, layout.views(self.gradient_P).values(), strict=True):
            parameter.grad = gradient

    def bind(self, parameters_P: Tensor) -> None:
        """Compute with these parameters from now on, without a copy."""
        for parameter, view in zip(self._parameters, self._layout.views(parameters_P).values(), strict=True):
            parameter.data = view

    def gradient(self, batch: Batch) -> Tensor:
        """Loss of a batch (a scalar on the device); its gradient is left in ``gradient_P``."""
        self.gradient_P.zero_()
        with self._precision():
            loss = cast(Tensor, self._module(*batch))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def mean_loss(self, batches: tuple[Batch, ...]) -> float:
        """Mean loss over batches, in evaluation mode; the gradient is left alone."""
        self._module.eval()
        with torch.no_grad(), self._precision():
            losses = torch.stack([self._module(*batch) for batch in batches])
        self._module.train()
        return float(losses.double().mean().item())

    def _precision(self) -> AbstractContextManager[Any]:
        if self._dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.gradient_P.device.type, dtype=self._dtype)
