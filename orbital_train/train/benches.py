"""Benches of a node of several devices: each computes a part of every batch, and their gradients are averaged.

``data_parallel``: every device has all parameters, the whole gradient and the whole state of the inner optimizer, while
the node trains, and makes the same step. ``fsdp2``: torch's ``fully_shard`` gathers parameters for as long as they are
needed; of gradient and inner state, too, a device has its shard alone. In both, what the node is between inner steps is
shards (``shards.py``). Suffix T: all parameters.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from orbital_train.train.bench import Bench
from orbital_train.train.flat import Layout
from orbital_train.train.inner import Replica, clip
from orbital_train.train.optimizers import inner_optimizers
from orbital_train.train.protocol import Batch
from orbital_train.train.shards import Shards
from orbital_train.train.spec import InnerSpec


class _NodeBench(Bench):
    """What both have in common. It is bound to this device's shard of a vector, where buffers are whole."""

    def __init__(
        self, module: nn.Module, layout: Layout, shards: Shards, dtype: torch.dtype, micro_batches: int
    ) -> None:
        super().__init__(module, layout, dtype, micro_batches)
        self._shards, self._devices = shards, shards.devices
        self._shard_P = self.gradient_P  # any, until it is bound

    def bind(self, parameters_P: Tensor) -> None:
        """Compute with the vector of which this is the shard; all devices call this."""
        self._shard_P = parameters_P
        views = self._shards.own.views(parameters_P)
        self._bind(self._parameters() | {name: views[name] for name in self._shards.own.buffer_names})

    def _parameters(self) -> dict[str, Tensor]:
        """Views of the parameters that the module is to be bound to."""
        return {}

    def gradient(self, batch: Batch) -> Tensor:
        """Mean loss of the devices' parts of a batch, and its gradient; floating buffers are averaged."""
        parts = zip(*(torch.tensor_split(tensor, self._devices.size) for tensor in batch), strict=True)
        loss = super().gradient(list(parts)[self._devices.rank])
        averaged_P = self._shard_P.detach()[self._shards.own.trained : self._shards.own.averaged]
        vector = torch.cat([averaged_P, loss.view(1)])
        self._average(vector)
        averaged_P.copy_(vector[:-1])
        return vector[-1]

    def mean_loss(self, batches: tuple[Batch, ...]) -> float:
        """Mean loss over batches, in evaluation mode; devices take turns. Where they do not come out even, some batches
        are computed twice, since all devices must compute as often, and count once."""
        turns = -(-len(batches) // self._devices.size)
        mine = [min(k * self._devices.size + self._devices.rank, len(batches) - 1) for k in range(turns)]
        found = self._devices.gather(self._losses(tuple(batches[k] for k in mine)))
        return float(torch.stack(found, dim=1).flatten()[: len(batches)].double().mean().item())

    def _average(self, tensor: Tensor) -> None:
        self._devices.add(tensor)
        tensor /= self._devices.size


class DataParallelBench(_NodeBench):
    """All parameters of the node that trains are gathered in one vector, which every device steps."""

    def __init__(self, module: nn.Module, shards: Shards, dtype: torch.dtype, micro_batches: int) -> None:
        super().__init__(module, shards.whole, shards, dtype, micro_batches)
        self._whole_T = torch.empty_like(self.gradient_P)
        self._optimizers: list[torch.optim.Optimizer] | None = None

    def replica(self, parameters_P: Tensor, spec: InnerSpec) -> Replica:
        """The optimizers are those of the gathered vector: all replicas share them, each with a state of its own."""
        if self._optimizers is None:
            self._optimizers = inner_optimizers(self._whole_T, self.gradient_P, self.layout, spec)
        return Replica(parameters_P, self._optimizers, spec.rewarm_steps)

    def gradient(self, batch: Batch) -> Tensor:
        """See :meth:`_NodeBench.gradient`."""
        loss = super().gradient(batch)
        self._average(self.gradient_P)
        return loss

    def write_back(self) -> None:
        """Bring this device's shard of what was stepped into the vector that the bench is bound to."""
        own = self._shards.own
        self._shard_P.detach()[: own.trained] = self._shards.split(self._whole_T.detach())

    def gradient_shard(self) -> Tensor:
        """This device's shard of the gradient."""
        return self._shards.split(self.gradient_P)

    def put_gradient_shard(self, shard_P: Tensor) -> None:
        """Gather another gradient; all devices call this."""
        self._shards.join_parameters(self.gradient_P, shard_P)

    def _parameters(self) -> dict[str, Tensor]:
        self._shards.join_parameters(self._whole_T.detach(), self._shard_P.detach())
        return self.layout.views(self._whole_T)


class ShardedBench(_NodeBench):
    """FSDP2: the module itself is sharded."""

    def __init__(
        self, module: nn.Module, shards: Shards, dtype: torch.dtype, micro_batches: int, mesh: DeviceMesh
    ) -> None:
        self._root = shard(module, mesh)
        super().__init__(module, shards.own, shards, dtype, micro_batches)
        self._local = {name: cast(DTensor, self._tensors[name]).to_local() for name in shards.own.parameter_names}

    def gradient(self, batch: Batch) -> Tensor:
        """See :meth:`_NodeBench.gradient`; the gradient is averaged where it is scattered."""
        self._write_parameters()
        return super().gradient(batch)

    def clip(self, limit: float) -> None:
        """See :meth:`Bench.clip`; the norm is that of all devices' shards."""
        clip(self.gradient_P, limit, self._devices)

    def _losses(self, batches: tuple[Batch, ...]) -> Tensor:
        self._write_parameters()
        losses = super()._losses(batches)
        self._root.reshard()  # what is left gathered after a forward pass would not be gathered anew
        return losses

    @torch.no_grad()
    def _write_parameters(self) -> None:
        views = self._shards.own.views(self._shard_P)
        for name, local in self._local.items():
            local.copy_(views[name])

    def _as_parameter(self, name: str, tensor: Tensor) -> Tensor:
        like = self._tensors[name]
        assert isinstance(like, DTensor)
        return DTensor.from_local(
            tensor, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
        )


def node_bench(
    module: nn.Module, shards: Shards, dtype: torch.dtype, micro_batches: int, mesh: DeviceMesh | None
) -> Bench:
    """The bench of a node's device: data parallel where there is no mesh to shard the module over."""
    if shards.devices.size == 1:
        return Bench(module, shards.whole, dtype, micro_batches)
    if mesh is None:
        return DataParallelBench(module, shards, dtype, micro_batches)
    return ShardedBench(module, shards, dtype, micro_batches, mesh)


def shard(module: nn.Module, mesh: DeviceMesh) -> FSDPModule:
    """Divide the parameters of a module among devices, in place: layers in lists by themselves, and the rest."""
    lists = [part for part in module.modules() if isinstance(part, nn.ModuleList)]
    for layer in (layer for part in reversed(lists) for layer in part):  # what is inside of others comes first
        if not isinstance(layer, nn.ModuleList | FSDPModule):
            fully_shard(layer, mesh=mesh)
    root = fully_shard(module, mesh=mesh)
    assert isinstance(root, FSDPModule)
    for part in module.modules():
        if isinstance(part, FSDPModule):  # gloo does not average in all versions of torch (pytorch issue 162338)
            part.set_force_sum_reduction_for_comms(True)
    return root


def skeleton(module: nn.Module) -> nn.Module:
    """A copy of a module without memory for its parameters, for :class:`~orbital_train.train.bench.Binding`."""
    empty = {id(p): nn.Parameter(p.new_empty(0)) for p in module.parameters()}
    return copy.deepcopy(module, empty)
