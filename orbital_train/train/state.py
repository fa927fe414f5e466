"""The state of one node, and the form in which state is saved: named tensors and a few integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from orbital_train.train.codec import decode, encode
from orbital_train.train.inner import Replica


@dataclass(frozen=True, kw_only=True)
class Saved:
    """Named tensors and integers. What is to be written has tensors on the CPU that share no memory with the run."""

    tensors: dict[str, Tensor]
    meta: dict[str, int]

    def named(self, prefix: str) -> Saved:
        """The same under longer names."""
        return Saved(
            tensors={prefix + name: tensor for name, tensor in self.tensors.items()},
            meta={prefix + name: value for name, value in self.meta.items()},
        )

    def part(self, prefix: str) -> Saved:
        """What :meth:`named` made longer, under its own names."""
        return Saved(
            tensors={n.removeprefix(prefix): t for n, t in self.tensors.items() if n.startswith(prefix)},
            meta={n.removeprefix(prefix): v for n, v in self.meta.items() if n.startswith(prefix)},
        )

    def __or__(self, other: Saved) -> Saved:
        """Both."""
        return Saved(tensors=self.tensors | other.tensors, meta=self.meta | other.meta)

    def on(self, device: torch.device | str) -> Saved:
        """Copies on a device."""
        return Saved(
            tensors={name: tensor.detach().to(device, copy=True) for name, tensor in self.tensors.items()},
            meta=dict(self.meta),
        )


@dataclass(kw_only=True)
class NodeState:
    """A node's replica, and by name what it holds beside it: outer gradients and sums not yet merged, marks not yet
    adopted, and earlier states of the replica that it will go back to."""

    replica: Replica
    held: dict[str, Tensor] = field(default_factory=dict)
    kept: dict[str, Saved] = field(default_factory=dict)
    moved: bool = True  # since it was last saved
    refused: dict[str, float] = field(default_factory=dict)  # weight in a value held of what was refused, if any

    def hold(self, name: str, vector_F: Tensor, codec: str, trained: int) -> None:
        """Hold an outer gradient or a sum as it travels: parameters encoded, buffers behind them exactly."""
        self.held[name] = encode(vector_F[:trained], codec)
        if trained < len(vector_F):
            self.held[f"{name}/{BUFFERS}"] = vector_F[trained:].clone()

    def read(self, name: str) -> Tensor:
        """An outer gradient or a sum as its receiver has it; it may share memory."""
        buffers = self.held.get(f"{name}/{BUFFERS}")
        parameters_F = decode(self.held[name])
        return parameters_F if buffers is None else torch.cat([parameters_F, buffers])

    def keep(self, name: str) -> None:
        """Keep the replica as it is now under the name of its state."""
        self.kept[name] = replica_state(self.replica).on(self._device)

    def go_back(self, name: str) -> None:
        """Let the replica be as it was when this state was kept."""
        load_replica(self.replica, self.kept[name])

    def drop(self, name: str) -> None:
        """Forget a value that it holds."""
        del (self.kept if name in self.kept else self.held)[name]
        self.held.pop(f"{name}/{BUFFERS}", None)
        self.refused.pop(name, None)

    def save(self) -> Saved:
        """Everything that :meth:`load` needs."""
        weights = {_REFUSED + n: torch.tensor(weight, dtype=torch.float64) for n, weight in self.refused.items()}
        saved = replica_state(self.replica) | Saved(tensors=self.held | weights, meta={})
        for name, kept in self.kept.items():
            saved |= kept.named(f"{name}/")
        return saved.on("cpu")

    def load(self, saved: Saved) -> None:
        """Become exactly what was saved."""
        load_replica(self.replica, saved)
        here = saved.on(self._device)
        self.refused = {name: weight.item() for name, weight in here.part(_REFUSED).tensors.items()}
        self.kept = {name: here.part(f"{name}/") for name in _kept_names(here.tensors)}
        own = (PARAMETERS, _INNER, _REFUSED, _LOCAL)
        self.held = {name: tensor for name, tensor in here.tensors.items() if not name.startswith(own)}

    @property
    def _device(self) -> torch.device:
        return self.replica.parameters_P.device


BUFFERS = "buffers"
PARAMETERS = "parameters"
_INNER = "inner/"
_LOCAL = "local/"
_REFUSED = "refused/"


def _kept_names(names: Mapping[str, Tensor]) -> set[str]:
    return {
        name.removesuffix(f"/{PARAMETERS}") for name in names if name.startswith(_LOCAL) and name.endswith(PARAMETERS)
    }


def replica_state(replica: Replica) -> Saved:
    """The vectors of a replica, which share its memory, and its counters."""
    optimizer = Saved(tensors=replica.optimizer_state(), meta={}).named(_INNER)
    meta = {"rewarm_left": replica.rewarm_left, "stopped": int(replica.stopped)}
    return Saved(tensors={PARAMETERS: replica.parameters_P}, meta=meta) | optimizer


@torch.no_grad()
def load_replica(replica: Replica, saved: Saved) -> None:
    """Overwrite the vectors and counters of a replica."""
    replica.parameters_P.copy_(saved.tensors[PARAMETERS])
    replica.load_optimizer_state(saved.part(_INNER).tensors)
    replica.rewarm_left, replica.stopped = saved.meta["rewarm_left"], bool(saved.meta["stopped"])
