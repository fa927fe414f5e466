"""Work beside the inner steps: what a node sends is encoded on a second CUDA stream while the device trains on.

What is sent stays on the device, from where nccl takes it. On CPUs torch has the same names for one queue, in which
everything is done at once, in the order in which it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class SideStream:
    """A queue of its own; ``backend`` is ``torch.cuda``, or ``torch.cpu``."""

    def __init__(self, backend: Any) -> None:
        self._backend, self._stream = backend, backend.Stream()

    @classmethod
    def of(cls, device: torch.device) -> SideStream:
        """For tensors on a device."""
        return cls(torch.cuda if device.type == "cuda" else torch.cpu)

    def run(self, work: Callable[[], tuple[Tensor, ...]], reads: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Ask for work on what was asked for before, and go on at once; :meth:`join` comes before its result is read.

        Args:
            work: gives new tensors.
            reads: tensors that it reads; nobody changes them, and they may be let go.
        """
        main = self._backend.current_stream()
        self._stream.wait_stream(main)
        with self._backend.stream(self._stream):
            made = work()
        for tensors, stream in ((reads, self._stream), (made, main)):
            for tensor in tensors:
                if tensor.is_cuda:  # its memory is not used again before that stream is done with it
                    tensor.record_stream(stream)
        return made

    def join(self) -> None:
        """Let what is asked for from now on wait for all work so far."""
        self._backend.current_stream().wait_stream(self._stream)
