"""The state of one node, and the form in which state is saved: named tensors and a few integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from orbital_train.train.inner import Replica


@dataclass(frozen=True, kw_only=True)
class Saved:
    """State that can be written: tensors on the CPU that share no memory with the run, and integers."""

    tensors: dict[str, Tensor]
    meta: dict[str, int]


def detached(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}


@dataclass(kw_only=True)
class NodeState:
    """A node's replica and what it holds beside it, by name: outer gradients and sums not yet merged, marks not yet
    adopted."""

    replica: Replica
    held: dict[str, Tensor] = field(default_factory=dict)

    def save(self) -> Saved:
        """Everything that :meth:`load` needs."""
        return Saved(
            tensors=detached({**replica_tensors(self.replica), **self.held}),
            meta={"inner_steps": self.replica.steps},
        )

    def load(self, saved: Saved) -> None:
        """Become exactly what was saved."""
        load_replica(self.replica, saved.tensors)
        self.replica.steps = saved.meta["inner_steps"]
        device = self.replica.parameters_P.device
        own = replica_tensors(self.replica)
        self.held = {n: t.to(device, copy=True) for n, t in saved.tensors.items() if n not in own}


def replica_tensors(replica: Replica) -> dict[str, Tensor]:
    """The vectors of a replica by name."""
    return {
        "parameters": replica.parameters_P,
        "exp_avg": replica.exp_avg_P,
        "exp_avg_sq": replica.exp_avg_sq_P,
    }


@torch.no_grad()
def load_replica(replica: Replica, tensors: Mapping[str, Tensor]) -> None:
    """Overwrite the vectors of a replica."""
    for name, tensor in replica_tensors(replica).items():
        tensor.copy_(tensors[name])
