"""How tensors move between workers: a small protocol, one worker alone, and workers that are threads."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

THREAD_PATIENCE_S = 60.0  # a thread that hears nothing for this long takes its peer for dead


Message = tuple[Tensor, int]  # and the other rank


class PeerLost(RuntimeError):
    """Another worker cannot be reached any more; the state of this one is between two operations."""


class Transport(Protocol):
    """Ordered point-to-point messages between ranks 0 to ``size - 1``.

    Both sides know shape and type of what comes next, so that only the bytes of tensors travel.
    """

    rank: int
    size: int

    @property
    def bytes_sent(self) -> int:
        """Bytes of all tensors sent so far, in the form in which they were sent."""

    def send(self, tensor: Tensor, dest: int) -> None:
        """Post a message without blocking. The tensor is kept alive, and must not be changed until :meth:`flush`."""

    def recv(self, tensor_out: Tensor, source: int) -> None:
        """Wait for the next message of ``source`` and write it into ``tensor_out``."""

    def exchange(self, outgoing: Sequence[Message], incoming: Sequence[Message]) -> None:
        """Send some messages and receive others at the same time; returns when all have left, and come."""

    def flush(self) -> None:
        """Wait until all posted messages have left."""


class LaneTransport:
    """Where nodes span several devices: between workers that have the same place among the devices of their nodes.

    The workers of a node have ranks that follow on each other. Here the rank is that of the node's workers.
    """

    def __init__(self, transport: Transport, devices: int) -> None:
        self._transport, self._devices = transport, devices
        self.rank, self._device = divmod(transport.rank, devices)
        self.size = transport.size // devices

    @property
    def bytes_sent(self) -> int:
        """See :class:`Transport`."""
        return self._transport.bytes_sent

    def send(self, tensor: Tensor, dest: int) -> None:
        """See :meth:`Transport.send`."""
        self._transport.send(tensor, self._rank(dest))

    def recv(self, tensor_out: Tensor, source: int) -> None:
        """See :meth:`Transport.recv`."""
        self._transport.recv(tensor_out, self._rank(source))

    def exchange(self, outgoing: Sequence[Message], incoming: Sequence[Message]) -> None:
        """See :meth:`Transport.exchange`."""
        others = [[(tensor, self._rank(rank)) for tensor, rank in messages] for messages in (outgoing, incoming)]
        self._transport.exchange(*others)

    def flush(self) -> None:
        """See :meth:`Transport.flush`."""
        self._transport.flush()

    def _rank(self, rank: int) -> int:
        return rank * self._devices + self._device


class LocalTransport:
    """The only worker: there is nobody to send to."""

    rank = 0
    size = 1
    bytes_sent = 0

    def send(self, tensor: Tensor, dest: int) -> None:
        """Never called: there is no other rank."""
        raise ValueError(f"rank {dest} does not exist")

    def recv(self, tensor_out: Tensor, source: int) -> None:
        """Never called: there is no other rank."""
        raise ValueError(f"rank {source} does not exist")

    def exchange(self, outgoing: Sequence[Message], incoming: Sequence[Message]) -> None:
        """There are none."""
        assert not outgoing
        assert not incoming

    def flush(self) -> None:
        """Nothing is ever on its way."""


class ThreadTransport:
    """Workers that are threads of one process; see :func:`thread_group`.

    Messages are passed without a copy until they are received, so that breaking the rule of :meth:`Transport.send`
    shows here as it would on a network.
    """

    def __init__(self, rank: int, size: int, queues: dict[tuple[int, int], queue.Queue[Tensor]]) -> None:
        self.rank, self.size = rank, size
        self.bytes_sent = 0
        self._queues = queues

    def send(self, tensor: Tensor, dest: int) -> None:
        """See :meth:`Transport.send`."""
        self.bytes_sent += tensor.nbytes
        self._queues[self.rank, dest].put(tensor)

    def recv(self, tensor_out: Tensor, source: int) -> None:
        """See :meth:`Transport.recv`. Raises :class:`queue.Empty` where the peer has died."""
        incoming = self._queues[source, self.rank]
        tensor_out.copy_(incoming.get(timeout=THREAD_PATIENCE_S))
        incoming.task_done()

    def exchange(self, outgoing: Sequence[Message], incoming: Sequence[Message]) -> None:
        """See :meth:`Transport.exchange`."""
        for tensor, dest in outgoing:
            self.send(tensor, dest)
        for tensor, source in incoming:
            self.recv(tensor, source)
        self.flush()

    def flush(self) -> None:
        """See :meth:`Transport.flush`. Raises :class:`TimeoutError` where a peer has died."""
        for (source, dest), outgoing in self._queues.items():
            if source == self.rank:
                _wait_taken(outgoing, dest)


def _wait_taken(outgoing: queue.Queue[Tensor], dest: int) -> None:
    """Like ``join()``, which would wait for a dead peer forever."""
    with outgoing.all_tasks_done:
        if not outgoing.all_tasks_done.wait_for(lambda: outgoing.unfinished_tasks == 0, THREAD_PATIENCE_S):
            raise TimeoutError(f"worker {dest} does not take its messages")


def thread_group(size: int) -> list[ThreadTransport]:
    """Connected transports, one for each of ``size`` threads."""
    pairs = [(a, b) for a in range(size) for b in range(size) if a != b]
    queues: dict[tuple[int, int], queue.Queue[Tensor]] = {pair: queue.Queue() for pair in pairs}
    return [ThreadTransport(rank, size, queues) for rank in range(size)]
