"""Sums over nodes whose bits do not depend on which worker hosts which node.

Floating-point addition does not associate, so the order is fixed by node index alone: node i is leaf i of a complete
binary tree, a parent is left + right, and a parent with one child absent is the other child. With contiguous
placement most parents are formed inside one worker. Partial sums travel between workers as float32, whatever codec
the contributions came in: rounding them again would make the result depend on the placement.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from orbital_train.train.placement import Owners
from orbital_train.train.transport import Transport

BUCKET_BYTES = 64 * 2**20  # vectors are summed and sent in pieces, which bounds the buffers


def root_of(nodes: tuple[int, ...], owners: Owners) -> int:
    """Rank of the worker on which the sum over these nodes is formed."""
    return owners[min(nodes)]


def sum_on_tree(
    contributions: dict[int, Tensor],
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
    size = next(iter(contributions.values())).numel()
    is_root = transport.rank == root_of(nodes, owners)
    total = torch.empty_like(next(iter(contributions.values()))) if is_root else None
    tree = _Tree(contributions, nodes, owners, transport)
    for piece in pieces(size, bucket_bytes):
        part, _ = tree.sum(piece, 0, 1 << max(nodes).bit_length())
        if total is not None and part is not None:
            total[piece] = part
    return total


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
    out = torch.empty_like(like) if tensor is None else tensor
    for piece in pieces(out.numel(), bucket_bytes):
        if tensor is None:
            transport.recv(out[piece], root)
            continue
        for rank in range(transport.size):
            if rank != root:
                transport.send(out[piece], rank)
    return out


class _Tree:
    """One tree of additions, walked depth first, left before right, in the same order by all workers."""

    def __init__(
        self, contributions: dict[int, Tensor], nodes: tuple[int, ...], owners: Owners, transport: Transport
    ) -> None:
        self._contributions, self._nodes = contributions, nodes
        self._owners, self._transport = owners, transport
        self._like = next(iter(contributions.values()))

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
            received = torch.empty_like(self._like[piece])
            self._transport.recv(received, source)
            return received
        return None


def pieces(size: int, bucket_bytes: int) -> Iterator[slice]:
    """Consecutive stretches of a float32 vector, none larger than a bucket."""
    length = max(1, bucket_bytes // 4)
    return (slice(start, min(start + length, size)) for start in range(0, size, length))
