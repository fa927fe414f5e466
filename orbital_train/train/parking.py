"""Replicas that do not all fit onto a worker's device: most are parked in pinned host memory, and come ahead of need.

A parked tensor keeps its identity, and with it its views and whatever an optimizer knows it by; its memory alone goes
and comes back. So nobody but a replica itself knows where it is, and no bit depends on it. What nodes have under way
(outer gradients, marks, residuals) stays on the device.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

FEWEST = 2  # the replica that is at work, and the one that comes next


class Parked(Protocol):
    """What can be parked."""

    def vectors(self) -> Iterator[Tensor]:
        """Its tensors, each with a memory of its own."""


class Parking:
    """At most ``places`` replicas of a worker are on its device at once, those that were needed last.

    On CPUs, where the tests use it, host memory is the same memory, and copies are done at once.
    """

    def __init__(self, places: int, device: torch.device) -> None:
        assert places >= FEWEST
        self._places, self._cuda = places, device.type == "cuda"
        self._backend: Any = torch.cuda if self._cuda else torch.cpu
        self._stream = self._backend.Stream()  # on which replicas come, beside inner steps
        self._here: dict[Parked, None] = {}  # on the device or coming, in the order in which they were needed
        self._away: dict[Parked, list[tuple[Tensor, Tensor]]] = {}  # with the copies in host memory

    def need(self, replica: Parked) -> None:
        """Let a replica be on the device for what is asked for from now on."""
        self.expect(replica)
        del self._here[replica]
        self._here[replica] = None
        self._backend.current_stream().wait_stream(self._stream)

    def expect(self, replica: Parked) -> None:
        """Let a replica come, if it is away, while the device works on."""
        if replica in self._here:
            return
        while len(self._here) >= self._places:
            self._park(next(iter(self._here)))
        self._here[replica] = None
        copies = self._away.pop(replica, ())
        for tensor, copy in copies:
            tensor.untyped_storage().resize_(copy.nbytes)
        self._stream.wait_stream(self._backend.current_stream())
        with self._backend.stream(self._stream):
            for tensor, copy in copies:
                tensor.detach().copy_(copy, non_blocking=True)

    def _park(self, replica: Parked) -> None:
        """On the stream of the inner steps: the memory is free for what is asked for after the copy."""
        del self._here[replica]
        self._backend.current_stream().wait_stream(self._stream)
        copies = []
        for tensor in replica.vectors():
            copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=self._cuda)
            copies.append((tensor, copy.copy_(tensor.detach(), non_blocking=True)))
            tensor.untyped_storage().resize_(0)
        self._away[replica] = copies
