"""Sums, averages and medians of what nodes hold, for a :class:`Combine` or a :class:`Merge`, over all workers.

A vector travels with one element more: how much of its weight was refused, since a contribution in it was not finite.
Suffix F: elements of a fragment (parameters, then floating buffers, then integer ones); K: contributions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from orbital_train.schedule.trace import WHOLE, Combine, Merge, Part, part_of, parts_of
from orbital_train.train.contributions import gather, robust_average, without_refused
from orbital_train.train.flat import Layout
from orbital_train.train.liveness import weighed
from orbital_train.train.placement import Owners
from orbital_train.train.spec import OuterSpec
from orbital_train.train.state import NodeState
from orbital_train.train.transport import Transport
from orbital_train.train.tree import BUCKET_BYTES, broadcast, pieces, root_of, sum_on_tree


@dataclass(frozen=True, kw_only=True)
class Sums:
    """One worker's part in them; all workers ask for the same ones in the same order."""

    nodes: Mapping[int, NodeState]  # of this worker
    holders: Mapping[str, int]  # the node that holds each value
    owners: Owners
    transport: Transport
    layout: Layout
    spec: OuterSpec
    device: torch.device

    def hosts(self, node: int) -> bool:
        """Whether this worker hosts a node."""
        return self.owners[node] == self.transport.rank

    def carry(self, tensor: Tensor | None, source: int, dest: int, size: int, dtype: torch.dtype) -> Tensor | None:
        """A vector of one node on another's worker; None on all others. Only the first node's worker gives it."""
        start, end = self.owners[source], self.owners[dest]
        if start != end and tensor is not None:
            self.transport.flush()
            self.transport.send(tensor, end)
        if start != end and self.transport.rank == end:
            tensor = torch.empty(size, dtype=dtype, device=self.device)
            self.transport.recv(tensor, start)
        return tensor if self.transport.rank == end else None

    def everywhere(self, contributions: dict[int, Tensor], nodes: tuple[int, ...], size: int) -> Tensor:
        """Sum over nodes on every worker; zero over none."""
        if not nodes:
            return torch.zeros(size, device=self.device)
        total = self._sum(contributions, nodes)
        like = torch.empty(size, device=self.device)
        return broadcast(total, like, root_of(nodes, self.owners), self.transport)

    def total(self, op: Combine) -> Tensor | None:
        """The sum that is formed on the way, on the worker of its holder; None on others, and of nothing."""
        return self._sum(*self._inputs(op, op.part))

    def average(self, op: Merge) -> tuple[Tensor, float]:
        """What is merged, the same on all workers, and how much of the weight was refused."""
        if self.spec.merging == "mean":
            # What is refused is refused in all parts.
            vectors, refused = zip(*(self._average(op, part) for part in parts_of(op.inputs)), strict=True)
            return vectors[0] if len(vectors) == 1 else torch.cat(vectors), refused[0]
        total_F = self._robust_everywhere(op, self.layout.fragment_size(op.fragment) + 1)
        return total_F[:-1], total_F[-1].item()

    def _average(self, op: Merge, part: Part) -> tuple[Tensor, float]:
        where = self.layout.part(op.fragment, part)
        total_F = self.everywhere(*self._inputs(op, part), where.stop - where.start + 1)
        refused = total_F[-1].item()
        averaged = max(0, self.layout.fragment_averaged(op.fragment) - where.start)
        return without_refused(total_F[:-1], refused, averaged), refused

    def _sum(self, contributions: dict[int, Tensor], nodes: tuple[int, ...]) -> Tensor | None:
        """Sum over nodes on the lowest one's worker. What the last sum posted is waited for: buffers stay bounded."""
        if contributions:
            self.transport.flush()
        return sum_on_tree(contributions, nodes, self.owners, self.transport)

    def _inputs(self, op: Combine | Merge, part: Part) -> tuple[dict[int, Tensor], tuple[int, ...]]:
        """What enters a part of a sum, by the node that holds it: the weighted vectors of this worker's nodes, and all
        nodes.

        Of what is no part itself, the part that is added up is taken. A node holds several if it has failed since it
        took the first; they are added up in the order of their names.
        Integer buffers are copied, and not averaged: they are those of the first input.
        """
        counted = [row for row in self._counted(op) if part_of(row[1]) in (part, WHOLE)]
        where = self.layout.part(op.fragment, part)
        averaged = max(0, self.layout.fragment_averaged(op.fragment) - where.start)
        mine: dict[int, Tensor] = {}
        for order, (node, value, weight) in enumerate(counted):
            if node in self.nodes:
                vector_F = self._vector(node, value, slice(None) if part_of(value) == part else where)
                integers = vector_F[averaged:-1] if order == 0 else 0.0
                weighted_F = vector_F * weight
                weighted_F[averaged:-1] = integers
                mine[node] = mine[node] + weighted_F if node in mine else weighted_F
        return mine, tuple(sorted({node for node, _, _ in counted}))

    def _counted(self, op: Combine | Merge) -> list[tuple[int, str, float]]:
        """The inputs that count, with the nodes that hold them and their weights, in order."""
        weights = weighed(op.inputs, op.input_weights if isinstance(op, Merge) else op.weights)
        return sorted((self.holders[value], value, weight) for value, weight in weights.items())

    def _vector(self, node: int, value: str, where: slice = slice(None)) -> Tensor:
        """A value that a node of this worker holds and, as a last element, how much of its weight was refused."""
        state = self.nodes[node]
        vector_F = state.read(value)[where]
        return torch.cat([vector_F, vector_F.new_full((1,), state.refused.get(value, 0.0))])

    def _robust_everywhere(self, op: Merge, size: int) -> Tensor:
        """Median or trimmed mean of the contributions and, as a last element, how much of their weight was refused.

        Formed on one worker, in pieces, so that no more than a bucket of all contributions is there at once.
        """
        counted, like = self._counted(op), torch.empty(size, device=self.device)
        if not counted:
            return torch.zeros_like(like)
        mine = {value: self._vector(node, value) for node, value, _ in counted if node in self.nodes}
        values = [(value, self.owners[node]) for node, value, _ in counted]
        if mine:
            self.transport.flush()
        root, averaged, total_F = values[0][1], self.layout.fragment_averaged(op.fragment), torch.empty_like(like)
        refused_K = gather(mine, values, slice(size - 1, size), like, root, self.transport)
        for piece in pieces(size - 1, BUCKET_BYTES // len(values)):
            vectors_KF = gather(mine, values, piece, like, root, self.transport)
            if vectors_KF is not None and refused_K is not None:
                floating = max(0, averaged - piece.start)
                total_F[piece] = robust_average(vectors_KF[refused_K[:, 0] == 0], self.spec, floating)
        if refused_K is not None:
            total_F[-1] = refused_K[:, 0] @ refused_K.new_tensor([weight for _, _, weight in counted])
        return broadcast(total_F if self.transport.rank == root else None, like, root, self.transport)
