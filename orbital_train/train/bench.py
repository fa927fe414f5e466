"""Where losses and gradients are computed: one module and one gradient vector for all replicas of a worker."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn

from orbital_train.train.flat import Layout, named_tensors
from orbital_train.train.inner import Replica, clip
from orbital_train.train.protocol import Batch
from orbital_train.train.spec import InnerSpec


class Binding:
    """A module whose tensors are views of the vector of one replica at a time. Suffix P: all of the model."""

    def __init__(self, module: nn.Module, layout: Layout) -> None:
        self._module, self.layout = module, layout
        self._tensors = named_tensors(module)
        self._counts: list[tuple[Tensor, Tensor]] = []  # integer buffers, and where they are in the vector bound

    def bind(self, parameters_P: Tensor) -> None:
        """Compute with this vector from now on; of integer buffers alone a copy is made."""
        self._bind(self.layout.views(parameters_P))

    def _bind(self, views: Mapping[str, Tensor]) -> None:
        self._counts = []
        for name, view in views.items():
            tensor = self._tensors[name]
            if tensor.is_floating_point():
                tensor.data = view
            else:
                self._counts.append((tensor, view))
        self._read_counts()

    def write_counts(self) -> None:
        """Write integer buffers back into the vector."""
        for buffer, view in self._counts:
            view.copy_(buffer)

    def _read_counts(self) -> None:
        for buffer, view in self._counts:
            buffer.copy_(view.round())


class Bench(Binding):
    """The module of a worker, and the gradient of the replica to which it is bound.

    Args:
        module: ``module(*batch)`` gives the mean loss of a batch.
        layout: of the module.
        dtype: of the forward and backward pass. Parameters and gradients are float32.
        micro_batches: in which a batch goes through the module, one after the other.
    """

    def __init__(self, module: nn.Module, layout: Layout, dtype: torch.dtype, micro_batches: int = 1) -> None:
        super().__init__(module, layout)
        self._dtype, self._micro_batches = dtype, micro_batches
        self.gradient_P = torch.zeros(layout.trained, device=next(module.parameters()).device)
        for name, gradient in layout.views(self.gradient_P).items():
            self._tensors[name].grad = self._as_parameter(name, gradient)

    def replica(self, parameters_P: Tensor, spec: InnerSpec) -> Replica:
        """A replica of a vector, which is its own from now on; it is stepped while the bench is bound to it."""
        return Replica.of(parameters_P, self.gradient_P, self.layout, spec)

    def gradient(self, batch: Batch) -> Tensor:
        """Loss of a batch (a scalar on the device); its gradient is left in ``gradient_P``, buffers move on."""
        self._read_counts()
        self.gradient_P.zero_()
        parts = zip(*(torch.tensor_split(part, self._micro_batches) for part in batch), strict=True)
        losses = torch.stack([self._backward(part) for part in parts])
        self.write_counts()
        return losses.mean()

    def _backward(self, batch: Batch) -> Tensor:
        with self._precision():
            loss = cast(Tensor, self._module(*batch))
        (loss / self._micro_batches).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def clip(self, limit: float) -> None:
        """Scale the gradient to a norm of at most ``limit``; 0 turns it off."""
        clip(self.gradient_P, limit)

    def mean_loss(self, batches: tuple[Batch, ...]) -> float:
        """Mean loss over batches, in evaluation mode; the gradient is left alone."""
        return float(self._losses(batches).double().mean().item())

    def write_back(self) -> None:
        """Bring what was stepped back into the vector that the bench is bound to: here it is the same memory."""

    def gradient_shard(self) -> Tensor:
        """This device's shard of the gradient: all of it."""
        return self.gradient_P

    def put_gradient_shard(self, shard_P: Tensor) -> None:
        """Take another gradient, of which this is this device's shard."""
        self.gradient_P.copy_(shard_P)

    def _losses(self, batches: tuple[Batch, ...]) -> Tensor:
        self._module.eval()
        with torch.no_grad(), self._precision():
            losses = torch.stack([self._module(*batch) for batch in batches])
        self._module.train()
        return losses

    def _as_parameter(self, name: str, tensor: Tensor) -> Tensor:
        """A tensor in the form that a parameter has in the module."""
        return tensor

    def _precision(self) -> AbstractContextManager[Any]:
        if self._dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.gradient_P.device.type, dtype=self._dtype)
