"""Sums over nodes and messages between them, whichever worker hosts which: what all workers call in the same order."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from orbital_train.train.placement import Owners
from orbital_train.train.transport import Transport
from orbital_train.train.tree import broadcast, root_of, sum_on_tree


@dataclass(frozen=True)
class Sums:
    """Where nodes are, and how vectors get from one to another. What was posted last is waited for: buffers stay
    bounded."""

    owners: Owners
    transport: Transport
    device: torch.device

    def hosts(self, node: int) -> bool:
        """Whether this worker hosts a node."""
        return self.owners[node] == self.transport.rank

    def at_lowest(self, contributions: dict[int, Tensor], nodes: tuple[int, ...]) -> Tensor | None:
        """Sum over nodes on the lowest one's worker; None on all others."""
        if contributions:
            self.transport.flush()
        return sum_on_tree(contributions, nodes, self.owners, self.transport)

    def everywhere(self, contributions: dict[int, Tensor], nodes: tuple[int, ...], size: int) -> Tensor:
        """Sum over nodes on every worker; zero over none."""
        if not nodes:
            return torch.zeros(size, device=self.device)
        total = self.at_lowest(contributions, nodes)
        like = torch.empty(size, device=self.device)
        return broadcast(total, like, root_of(nodes, self.owners), self.transport)

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
