"""Workers that are processes: point-to-point messages through ``torch.distributed`` (gloo on CPUs, nccl on GPUs)."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import torch.distributed as dist
from torch import Tensor

PATIENCE_S = 1800.0  # longest wait for a living peer; a dead one is noticed by its closed connection


class DistTransport:
    """Implements :class:`~orbital_train.train.transport.Transport` on the default process group."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self.bytes_sent = 0
        self._posted: list[tuple[dist.Work | None, Tensor]] = []

    def send(self, tensor: Tensor, dest: int) -> None:
        """Post a message; the tensor is kept until :meth:`flush`."""
        self.bytes_sent += tensor.nbytes
        self._posted.append((dist.isend(tensor, dest), tensor))

    def recv(self, tensor_out: Tensor, source: int) -> None:
        """Wait for the next message of ``source``."""
        dist.recv(tensor_out, source)

    def flush(self) -> None:
        """Wait until all posted messages have left."""
        for work, _ in self._posted:
            if work is not None:
                work.wait()
        self._posted.clear()


def join_group(rank: int, size: int, backend: Literal["gloo", "nccl"], meeting: str) -> DistTransport:
    """Join the process group of a run's workers; blocks until all have.

    Args:
        rank: of this worker.
        size: number of workers.
        backend: ``gloo`` or ``nccl``.
        meeting: ``file://`` path when all workers are on one machine (nothing listens), else ``tcp://host:port``.
    """
    dist.init_process_group(
        backend, init_method=meeting, rank=rank, world_size=size, timeout=timedelta(seconds=PATIENCE_S)
    )
    return DistTransport(rank, size)
