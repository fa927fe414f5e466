"""Sums over nodes whose bits do not depend on which worker hosts which node.

Floating-point addition does not associate, so the order is fixed by node index alone: node i is leaf i of a complete
binary tree, a parent is left + right, and a parent with one child absent is the other child. With contiguous
placement most parents are formed inside one worker. Partial sums travel between workers as float32, whatever codec
the contributions came in: rounding them again would make the result depend on the placement. Where the leaves of a
subtree are fewer bytes than its sum, as few encoded ones are, they travel instead, and are added where they come to:
who adds them does not change the bits either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from orbital_train.train.placement import Owners
from orbital_train.train.transport import Transport

BUCKET_BYTES = 4 * 2**20  # vectors are summed and sent in pieces, which stay in the caches


class Vector(Protocol):
    """What a node adds: a float32 tensor (P,), or what makes any stretch of one when it is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, where: slice, /) -> Tensor: ...


def root_of(nodes: tuple[int, ...], owners: Owners) -> int:
    """Rank of the worker on which the sum over these nodes is formed."""
    return owners[min(nodes)]


def sum_on_tree(
    contributions: Mapping[int, Vector],
    nodes: tuple[int, ...],
    owners: Owners,
    transport: Transport,
    bucket_bytes: int = BUCKET_BYTES,
) -> Tensor | None:
    """Sum of one float32 vector per node; every worker calls this with the same ``nodes``.

    Args:
        contributions: the vectors of this worker's nodes, all of one shape (P,). They are read until the next
            ``flush`` of the transport, and are not changed.
        nodes: all contributing nodes, sorted and distinct.
        owners: which worker hosts which node.
        transport: between the workers.
        bucket_bytes: largest message.

    Returns:
        The sum (P,) on the worker :func:`root_of`, None on all others.
    """
    assert all(a < b for a, b in pairwise(nodes)), "nodes must be sorted and distinct"
    if not contributions:
        return None
    like = next(iter(contributions.values()))
    total = like[0:0].new_empty(len(like)) if transport.rank == root_of(nodes, owners) else None
    tree = _Tree(contributions, nodes, owners, transport)
    for piece in pieces(len(like), bucket_bytes):
        part, _ = tree.sum(piece, 0, 1 << max(nodes).bit_length())
        if total is not None and part is not None:
            total[piece] = part
    return total


def settled(packet_bytes: Mapping[int, int], owners: Owners, sum_bytes: int) -> dict[int, int]:
    """On which worker each leaf of the tree is added, so that few bytes travel; the root stays where it is.

    All leaves of a subtree go to where its sum would go if they are fewer bytes than that.

    Args:
        packet_bytes: what each leaf is, by node, in order.
        owners: where they are.
        sum_bytes: what any sum of them is.
    """
    found = {node: owners[node] for node in packet_bytes}

    def settle(nodes: list[int], low: int, high: int) -> None:
        if len(nodes) < 2:
            return
        middle = (low + high) // 2
        left, right = [n for n in nodes if n < middle], [n for n in nodes if n >= middle]
        settle(left, low, middle)
        settle(right, middle, high)
        if left and right and found[left[0]] != found[right[0]] and sum(packet_bytes[n] for n in right) < sum_bytes:
            found.update(dict.fromkeys(right, found[left[0]]))

    settle(list(packet_bytes), 0, 1 << max(packet_bytes).bit_length())
    return found


def send(tensor: Tensor, dest: int, transport: Transport, bucket_bytes: int = BUCKET_BYTES) -> None:
    """Post a vector in pieces; it must not be changed before the next ``flush``."""
    for piece in pieces(tensor.numel(), bucket_bytes, tensor.element_size()):
        transport.send(tensor[piece], dest)


def receive(out: Tensor, source: int, transport: Transport, bucket_bytes: int = BUCKET_BYTES) -> Tensor:
    """Wait for a vector in pieces; returns ``out``."""
    for piece in pieces(out.numel(), bucket_bytes, out.element_size()):
        transport.recv(out[piece], source)
    return out


def moved(
    tensor: Tensor | None,
    size: int,
    device: torch.device,
    source: int,
    dest: int,
    transport: Transport,
    dtype: torch.dtype = torch.float32,
) -> Tensor | None:
    """Take a vector (``size``,) from one worker, which alone has it, to another; None on all others."""
    if source == dest or transport.rank not in (source, dest):
        return tensor
    if transport.rank == dest:
        return receive(torch.empty(size, dtype=dtype, device=device), source, transport)
    assert tensor is not None
    send(tensor, dest, transport)
    return None


def broadcast(
    tensor: Tensor | None, like: Tensor, root: int, transport: Transport, bucket_bytes: int = BUCKET_BYTES
) -> Tensor:
    """Copy the root's vector to all workers.

    Args:
        tensor: the vector (P,) on the root, None elsewhere. It must not be changed before the next ``flush``.
        like: any vector of the same shape, type and device.
        root: rank of the worker that has it.
        transport: between the workers.
        bucket_bytes: largest message.
    """
    if tensor is None:
        return receive(torch.empty_like(like), root, transport, bucket_bytes)
    for piece in pieces(tensor.numel(), bucket_bytes, tensor.element_size()):
        for rank in range(transport.size):
            if rank != root:
                transport.send(tensor[piece], rank)
    return tensor


class _Tree:
    """One tree of additions, walked depth first, left before right, in the same order by all workers."""

    def __init__(
        self, contributions: Mapping[int, Vector], nodes: tuple[int, ...], owners: Owners, transport: Transport
    ) -> None:
        self._contributions, self._nodes = contributions, nodes
        self._owners, self._transport = owners, transport
        self._like = next(iter(contributions.values()))[0:0]

    def sum(self, piece: slice, low: int, high: int) -> tuple[Tensor | None, int]:
        """Sum of this piece over the nodes in [low, high), and the worker on which it is; None on the others."""
        present = [n for n in self._nodes if low <= n < high]
        rank = self._owners[present[0]]
        if len(present) == 1:
            mine = rank == self._transport.rank
            return (self._contributions[present[0]][piece] if mine else None), rank
        middle = (low + high) // 2
        if present[-1] < middle:
            return self.sum(piece, low, middle)
        if present[0] >= middle:
            return self.sum(piece, middle, high)
        left, rank = self.sum(piece, low, middle)
        right, right_rank = self.sum(piece, middle, high)
        if right_rank != rank:
            right = self._move(right, piece, right_rank, rank)
        return (None if left is None or right is None else left + right), rank

    def _move(self, tensor: Tensor | None, piece: slice, source: int, dest: int) -> Tensor | None:
        """Take a partial sum from one worker to another; all other workers do nothing."""
        if self._transport.rank == source and tensor is not None:
            self._transport.send(tensor, dest)
        if self._transport.rank == dest:
            received = self._like.new_empty(piece.stop - piece.start)
            self._transport.recv(received, source)
            return received
        return None


def pieces(size: int, bucket_bytes: int, element_bytes: int = 4) -> Iterator[slice]:
    """Consecutive stretches of a vector, none larger than a bucket."""
    length = max(1, bucket_bytes // element_bytes)
    return (slice(start, min(start + length, size)) for start in range(0, size, length))
