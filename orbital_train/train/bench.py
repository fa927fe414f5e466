"""Where losses and gradients are computed: one module and one gradient vector for all replicas of a worker."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn

from orbital_train.train.flat import Layout, saved_buffers
from orbital_train.train.protocol import Batch


class Bench:
    """The module of a worker, bound to the vector of one replica at a time. Suffix P: all of the model.

    Args:
        module: ``module(*batch)`` gives the mean loss of a batch.
        layout: of the module.
        dtype: of the forward and backward pass. Parameters and gradients are float32.
        micro_batches: in which a batch goes through the module, one after the other.
    """

    def __init__(self, module: nn.Module, layout: Layout, dtype: torch.dtype, micro_batches: int = 1) -> None:
        self._module, self._layout, self._dtype, self._micro_batches = module, layout, dtype, micro_batches
        self._tensors = {**dict(module.named_parameters()), **saved_buffers(module)}
        self._counts: list[tuple[Tensor, Tensor]] = []  # integer buffers, and where they are in the vector bound
        self.gradient_P = torch.zeros(layout.trained, device=next(module.parameters()).device)
        for name, gradient in layout.views(self.gradient_P).items():
            self._tensors[name].grad = gradient

    def bind(self, parameters_P: Tensor) -> None:
        """Compute with this vector from now on; of integer buffers alone a copy is made, and written back."""
        self._counts = []
        for name, view in self._layout.views(parameters_P).items():
            tensor = self._tensors[name]
            if tensor.is_floating_point():
                tensor.data = view
            else:
                self._counts.append((tensor, view))
        self._read_counts()

    def _read_counts(self) -> None:
        for buffer, view in self._counts:
            buffer.copy_(view.round())

    def gradient(self, batch: Batch) -> Tensor:
        """Loss of a batch (a scalar on the device); its gradient is left in ``gradient_P``, buffers move on."""
        self._read_counts()
        self.gradient_P.zero_()
        parts = zip(*(torch.tensor_split(part, self._micro_batches) for part in batch), strict=True)
        losses = torch.stack([self._backward(part) for part in parts])
        for buffer, view in self._counts:
            view.copy_(buffer)
        return losses.mean()

    def _backward(self, batch: Batch) -> Tensor:
        with self._precision():
            loss = cast(Tensor, self._module(*batch))
        (loss / self._micro_batches).backward()  # type: ignore[no-untyped-call]
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
