"""The devices of a node over ``torch.distributed``: one worker each, whose ranks follow on each other."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from orbital_train.cluster.dist_transport import PATIENCE, peers_may_be_lost


class DistDevices:
    """Implements :class:`~orbital_train.train.devices.Devices` on a process group of the node's own.

    All workers of the default group make theirs at the same time, when they have joined it. They are of no use any
    more once it is left.
    """

    def __init__(self, devices: int) -> None:
        with peers_may_be_lost():
            group, _ = dist.new_subgroups(group_size=devices, timeout=PATIENCE)  # type: ignore[no-untyped-call]
        self.rank, self.size = dist.get_rank(group), devices
        self._group = group

    def add(self, tensor: Tensor) -> None:
        """See :meth:`~orbital_train.train.devices.Devices.add`."""
        with peers_may_be_lost():
            dist.all_reduce(tensor, group=self._group)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """See :meth:`~orbital_train.train.devices.Devices.gather`."""
        found = [torch.empty_like(tensor) for _ in range(self.size)]
        with peers_may_be_lost():
            dist.all_gather(found, tensor, group=self._group)
        return found

    def mesh(self, kind: str) -> DeviceMesh:
        """These devices as torch's own parallelism takes them; ``kind`` is ``cpu`` or ``cuda``."""
        return DeviceMesh.from_group(self._group, kind)
