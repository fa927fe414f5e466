"""Workers that are processes: point-to-point messages through ``torch.distributed`` (gloo on CPUs, nccl on GPUs)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Literal

import torch.distributed as dist

# Imported later, from within torch, its functions would hold the group of that moment in their default arguments, and
# its connections would never be closed.
import torch.distributed.nn.functional  # noqa: F401
from torch import Tensor

from orbital_train.train.transport import Message, PeerLost

PATIENCE = timedelta(seconds=1800)  # longest wait for a living peer; a dead one is noticed by its closed connection
JOIN_PATIENCE = timedelta(seconds=15)  # longest wait for the others at a meeting, each of which was alive just before


class DistTransport:
    """Implements :class:`~orbital_train.train.transport.Transport` on the default process group.

    A group of which one worker is lost is of no use any more: all leave it, and join a new one at another meeting.
    What a worker of the old group may still send reaches nobody.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self.bytes_sent = 0
        self._posted: list[tuple[dist.Work | None, Tensor]] = []

    def join(self, backend: Literal["gloo", "nccl"], meeting: str) -> None:
        """Join a process group; blocks until all have.

        Args:
            backend: ``gloo`` or ``nccl``.
            meeting: ``file://`` path when all workers are on one machine (nothing listens), else ``tcp://host:port``.

        Raises:
            PeerLost: not all have come within a while.
        """
        with peers_may_be_lost():
            dist.init_process_group(
                backend, init_method=meeting, rank=self.rank, world_size=self.size, timeout=JOIN_PATIENCE
            )

    def leave(self) -> None:
        """Leave the group, if in one. Closed connections tell the others, who wait for this worker, that it is gone."""
        self._posted.clear()
        if dist.is_initialized():
            if dist.get_backend() == "nccl":
                dist.distributed_c10d._abort_process_group()
            else:
                dist.destroy_process_group()

    def send(self, tensor: Tensor, dest: int) -> None:
        """Post a message; the tensor is kept until :meth:`flush`."""
        self.bytes_sent += tensor.nbytes
        with peers_may_be_lost():
            self._posted.append((dist.isend(tensor, dest), tensor))

    def recv(self, tensor_out: Tensor, source: int) -> None:
        """Wait for the next message of ``source``."""
        with peers_may_be_lost():
            work = dist.irecv(tensor_out, source)
            assert work is not None
            work.wait(PATIENCE)

    def exchange(self, outgoing: Sequence[Message], incoming: Sequence[Message]) -> None:
        """Send and receive at the same time; what was posted before is waited for, too."""
        self.flush()
        self.bytes_sent += sum(tensor.nbytes for tensor, _ in outgoing)
        messages = [dist.P2POp(dist.irecv, tensor, source) for tensor, source in incoming]
        messages += [dist.P2POp(dist.isend, tensor, dest) for tensor, dest in outgoing]
        with peers_may_be_lost():
            for work in dist.batch_isend_irecv(messages) if messages else ():
                work.wait(PATIENCE)

    def flush(self) -> None:
        """Wait until all posted messages have left."""
        with peers_may_be_lost():
            for work, _ in self._posted:
                if work is not None:
                    work.wait(PATIENCE)
        self._posted.clear()


@contextmanager
def peers_may_be_lost() -> Iterator[None]:
    """Within are calls of the libraries alone: both tell a connection that broke as a RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        raise PeerLost(str(error).splitlines()[0]) from None


def is_lost_peer(error: RuntimeError) -> bool:
    """Whether an error that may come from anywhere, as from a module that gathers its parameters, is of that kind."""
    return isinstance(error, PeerLost | dist.DistError) or "gloo" in str(error)
