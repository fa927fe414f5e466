"""Vectors of which every device of a node has a shard.

Every parameter is divided by the rows of its first dimension as torch's FSDP2 does it: with n devices each has a n-th
of them, rounded up, until none are left. So a shard is itself the vector of a model, one with fewer rows. Buffers,
which are small, are on every device whole. Suffix P: all of the model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

import torch
from torch import Tensor

from orbital_train.errors import InputError
from orbital_train.train.devices import ONE_DEVICE, Devices
from orbital_train.train.flat import Layout, stretches_of


def rows_of(shape: torch.Size, rank: int, ranks: int) -> slice:
    """The rows of a tensor that one of several devices has; a scalar is a row."""
    rows = shape[0] if shape else 1
    each = -(-rows // ranks)
    return slice(min(rank * each, rows), min((rank + 1) * each, rows))


def check_divisible(layout: Layout, devices: int) -> None:
    """Whether FSDP2 can divide a model among the devices of a node.

    Raises:
        InputError: a parameter is a scalar (``cluster.within_node``), or there is nothing for the last device
            (``cluster.devices_per_node``).
    """
    shapes = dict(zip(layout.parameter_names, layout.shapes[: layout.parameters], strict=True))
    if scalars := [name for name, shape in shapes.items() if not shape]:
        problem = f"divides parameters by their rows, and {scalars[0]} is a scalar; accepted: data_parallel"
        raise InputError("cluster.within_node", "fsdp2", problem)
    most = max(shape[0] for shape in shapes.values())
    if all(rows_of(shape, devices - 1, devices).start == shape[0] for shape in shapes.values()):
        problem = f"leaves nothing of the model for the last device: its parameters have {most} rows at most"
        raise InputError("cluster.devices_per_node", devices, problem)


@dataclass(frozen=True, kw_only=True)
class Shards:
    """How the vectors of a model are divided among the devices of a node, and put together again."""

    whole: Layout
    devices: Devices = ONE_DEVICE

    @cached_property
    def own(self) -> Layout:
        """Layout of this device's shard."""
        return self._layout(self.devices.rank)

    def split(self, whole_P: Tensor) -> Tensor:
        """This device's shard of a vector, which may end behind the parameters. Of one device it is the vector."""
        if self.devices.size == 1:
            return whole_P
        parts = [whole_P[where] for where in self._stretches[self.devices.rank]]
        return torch.cat([*parts, whole_P[self.whole.trained :]])

    def join_parameters(self, out_T: Tensor, shard_P: Tensor) -> None:
        """Gather the parameters of all devices' shards into the first elements of a vector; all devices call this."""
        mine_T = shard_P.new_zeros(max(self._sizes))
        mine_T[: self.own.trained] = shard_P[: self.own.trained]
        for part_T, stretches in zip(self.devices.gather(mine_T), self._stretches, strict=True):
            lengths = [where.stop - where.start for where in stretches]
            for where, part in zip(stretches, torch.split(part_T[: sum(lengths)], lengths), strict=True):
                out_T[where] = part

    def join(self, shard_P: Tensor) -> Tensor:
        """The vector of which all devices have shards; all devices call this. Of one device it is its own vector."""
        if self.devices.size == 1:
            return shard_P
        whole_P = shard_P.new_empty(self.whole.size)
        self.join_parameters(whole_P, shard_P)
        whole_P[self.whole.trained :] = shard_P[self.own.trained :]
        return whole_P

    @cached_property
    def _stretches(self) -> list[list[slice]]:
        """Where the rows of each device lie in the whole vector."""
        ends = accumulate(shape.numel() for shape in self.whole.shapes)
        parameters = [(shape, end) for shape, end in zip(self.whole.shapes, ends, strict=True)]
        parameters = parameters[: self.whole.parameters]
        return [[self._stretch(shape, end, rank) for shape, end in parameters] for rank in range(self.devices.size)]

    @cached_property
    def _sizes(self) -> list[int]:
        """Parameters that each device has."""
        return [sum(where.stop - where.start for where in stretches) for stretches in self._stretches]

    def _stretch(self, shape: torch.Size, end: int, rank: int) -> slice:
        rows, start = rows_of(shape, rank, self.devices.size), end - shape.numel()
        length = shape[1:].numel()
        return slice(start + rows.start * length, start + rows.stop * length)

    def _layout(self, rank: int) -> Layout:
        whole, ranks = self.whole, self.devices.size
        if ranks == 1:
            return whole
        shapes = [
            torch.Size([(rows := rows_of(shape, rank, ranks)).stop - rows.start, *shape[1:]])
            for shape in whole.shapes[: whole.parameters]
        ]
        sizes = [shape.numel() for shape in (*shapes, *whole.shapes[whole.parameters :])]
        trained = sum(sizes[: whole.parameters])
        return replace(
            whole,
            shapes=(*shapes, *whole.shapes[whole.parameters :]),
            matrix_size=sum(sizes[: whole.matrices]),
            trained=trained,
            averaged=trained + whole.averaged - whole.trained,
            fragments=tuple(stretches_of(sizes, members) for members in whole.members),
        )
