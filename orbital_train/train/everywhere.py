"""Sums over nodes that every worker needs: each worker adds up a stretch of them, and sends it to all others.

The additions are those of :mod:`~orbital_train.train.tree` and so are the bits, since who makes them does not change
them. Where the nodes of every worker are a subtree, as where both numbers are powers of two, each sends and hears what
it would in an all-reduce around a ring; else a little more: each subtree of its own is sent by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

import torch
from torch import Tensor

from orbital_train.train.placement import Owners
from orbital_train.train.scratch import Scratch
from orbital_train.train.transport import Message, Transport
from orbital_train.train.tree import BUCKET_BYTES, Vector, pieces

Nodes = tuple[int, ...]


def sum_everywhere(
    contributions: Mapping[int, Vector],
    nodes: Nodes,
    owners: Owners,
    transport: Transport,
    size: int,
    scratch: Scratch,
) -> Tensor:
    """Sum of one float32 vector per node, on every worker; all call this with the same ``nodes``.

    Args:
        contributions: the vectors of this worker's nodes, all of the shape (``size``,); they are not changed.
        nodes: all contributing nodes, sorted and distinct, at least one.
        owners: which worker hosts which node.
        transport: between the workers; all that was posted is waited for.
        size: of the vectors.
        scratch: memory of this worker. The sum is there, and overwritten by the next one, or it is the only
            vector that there is.
    """
    mine, others = transport.rank, [rank for rank in range(transport.size) if rank != transport.rank]
    out, stretches = scratch.take("sum", size), _stretches(size, transport.size)
    terms = list(_subtrees(nodes, owners))  # what each worker can add up by itself
    own = {
        term: _local_sum(contributions, term, scratch, scratch.take(k, size) if len(term) > 1 else out)
        for k, term in enumerate(terms)
        if owners[term[0]] == mine
    }
    if len(terms) == 1:  # nothing is to be added that is elsewhere
        return _from_one(own.get(terms[0]), owners[nodes[0]], transport, out)
    at = stretches[mine]
    heard = {term: scratch.take(k, at.stop - at.start) for k, term in enumerate(terms) if term not in own}
    transport.exchange(
        _in_pieces((total_P[stretches[rank]], rank) for rank in others for total_P in own.values()),
        _in_pieces((total, owners[term[0]]) for term, total in heard.items()),
    )
    for piece in pieces(at.stop - at.start, BUCKET_BYTES):
        where = slice(at.start + piece.start, at.start + piece.stop)
        here = {term: total[piece] for term, total in heard.items()} | {term: own[term][where] for term in own}
        _add(here, nodes, scratch, out[where])
    transport.exchange(
        _in_pieces((out[at], rank) for rank in others), _in_pieces((out[stretches[rank]], rank) for rank in others)
    )
    return out


def _in_pieces(messages: Iterable[Message]) -> list[Message]:
    """None of what is empty: where a vector is shorter than there are workers, some have no stretch of it."""
    return [(vector[piece], rank) for vector, rank in messages for piece in pieces(vector.numel(), BUCKET_BYTES)]


def _from_one(vector: Vector | None, root: int, transport: Transport, out: Tensor) -> Tensor:
    """A sum that one worker has, on all of them."""
    if vector is None:
        transport.exchange([], _in_pieces([(out, root)]))
        return out
    total_P = vector[slice(0, out.numel())]
    transport.exchange(_in_pieces((total_P, rank) for rank in range(transport.size) if rank != root), [])
    return total_P


def _stretches(size: int, workers: int) -> list[slice]:
    """Equal parts of a vector, in order."""
    ends = [size * k // workers for k in range(workers + 1)]
    return [slice(start, end) for start, end in pairwise(ends)]


def _halves(nodes: Nodes) -> tuple[Nodes, Nodes]:
    """The nodes below the two children of the lowest vertex of the tree that has them all; at least two nodes."""
    bit = 1 << ((nodes[0] ^ nodes[-1]).bit_length() - 1)
    return tuple(n for n in nodes if not n & bit), tuple(n for n in nodes if n & bit)


def _subtrees(nodes: Nodes, owners: Owners) -> Iterator[Nodes]:
    """The largest subtrees whose nodes are all on one worker, in order."""
    if len({owners[node] for node in nodes}) == 1:
        yield nodes
        return
    for half in _halves(nodes):
        yield from _subtrees(half, owners)


def _local_sum(contributions: Mapping[int, Vector], nodes: Nodes, scratch: Scratch, out: Tensor) -> Vector:
    """The sum over nodes of this worker, written into ``out`` if they are several."""
    if len(nodes) == 1:
        return contributions[nodes[0]]
    for piece in pieces(out.numel(), BUCKET_BYTES):
        _add({(node,): contributions[node][piece] for node in nodes}, nodes, scratch, out[piece])
    return out


def _add(terms: Mapping[Nodes, Tensor], nodes: Nodes, scratch: Scratch, out: Tensor, depth: int = 0) -> Tensor:
    """The sum over nodes along the tree, of which ``terms`` are the leaves: in ``out``, or the leaf that it is."""
    if nodes in terms:
        return terms[nodes]
    left, right = _halves(nodes)
    first = _add(terms, left, scratch, out, depth)
    second = _add(terms, right, scratch, scratch.take(("right", depth), out.numel()), depth + 1)
    return torch.add(first, second, out=out)
