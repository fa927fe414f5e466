"""What the devices of one node do together: a small protocol, and one device alone.

A node may span several workers, each with one device. All of them execute the node's operations, each on its shard of
every vector (``shards.py``), and meet where something is needed of all.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Devices(Protocol):
    """The devices of a node, from 0 to ``size - 1``. All of them call the same methods in the same order."""

    rank: int
    size: int

    def add(self, tensor: Tensor) -> None:
        """Replace a float tensor by its sum over all devices; the same bits on each of them, and in every run."""

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensors of all devices in their order, all of one shape."""


class OneDevice:
    """A node of one device: nothing is to be waited for."""

    rank = 0
    size = 1

    def add(self, tensor: Tensor) -> None:
        """It is its own sum."""

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """It alone."""
        return [tensor]


ONE_DEVICE = OneDevice()

# Elements whose squares are added up in float32. Of all at once the CPU's sum is short: by 1.4e-3 of 25 million.
_ROW = 1024


def norm(shard: Tensor, devices: Devices) -> Tensor:
    """Euclidean norm of a vector of which every device has a shard, as a scalar on the device; exact to float32."""
    whole = len(shard) // _ROW * _ROW
    rows = torch.linalg.vector_norm(shard[:whole].view(whole // _ROW, _ROW), dim=1)
    rest = torch.linalg.vector_norm(shard[whole:])
    total = torch.cat([rows, rest.view(1)]).double().square().sum()
    devices.add(total)
    return total.sqrt().float()


def all_finite(shard: Tensor, devices: Devices) -> Tensor:
    """Whether every element on every device is a number, as a scalar on the device."""
    # What is no number is the least and the largest of all; this reads a vector once, and makes no other of its size.
    extremes = torch.stack(torch.aminmax(shard)) if shard.numel() else shard
    refused = (~torch.isfinite(extremes).all()).float()
    devices.add(refused)
    return refused.eq(0.0)
