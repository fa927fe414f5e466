"""What the bit flips of a trace do on one worker: to its replicas and gradients, and to copies with checksums."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from orbital_train.schedule.ops.nodes import Step, Upset
from orbital_train.schedule.trace import Trace
from orbital_train.train.flips import Strikes, checked, flip_one_of, strikes
from orbital_train.train.packing import pack
from orbital_train.train.side_stream import SideStream
from orbital_train.train.state import NodeState
from orbital_train.train.versions import Versions

CHECKED = {"message": "crc32", "version": "sha256", "checkpoint": "sha256"}
"""How a flip is found of what does not change while it is there."""


@dataclass(frozen=True, kw_only=True)
class Upsets:
    """One worker's; ``within_steps`` are those that take place in a block of inner steps and not by themselves."""

    nodes: Mapping[int, NodeState]  # of this worker
    holders: Mapping[str, int]  # the node that holds each outer gradient and each sum
    versions: Versions
    trained: int  # parameters of the model
    side: SideStream
    emit: Callable[[dict[str, Any]], None]
    strikes: Strikes
    within_steps: frozenset[int]

    @classmethod
    def of(cls, trace: Trace, **fields: Any) -> Upsets:
        """Those of a trace."""
        hits = strikes(trace)
        within_steps = frozenset(upset.id for own in hits.values() for _, upset in own)
        return cls(strikes=hits, within_steps=within_steps, **fields)

    def strike(self, op: Step, step: int, gradient_P: Tensor | None = None) -> None:
        """Flip what is hit in an inner step of a block: of the replica before it, or of the gradient that is given."""
        for k, upset in self.strikes.get(op.id, ()):
            if k == step and (upset.target == "gradient") == (gradient_P is not None):
                self._flip(op.id, upset, gradient_P)

    def happen(self, upset: Upset) -> None:
        """Flip what is hit outside of inner steps."""
        if upset.target in CHECKED:
            self._check(upset, CHECKED[upset.target])
        elif upset.id not in self.within_steps and upset.node in self.nodes:
            self._flip(upset.id, upset, None)

    def _flip(self, op_id: int, upset: Upset, gradient_P: Tensor | None) -> None:
        """An optimizer that has not taken a step has nothing that could be hit."""
        node = self.nodes[upset.node]
        if gradient_P is not None:
            hit = [gradient_P]
        elif upset.target == "parameters":
            hit = [node.replica.parameters_P[: self.trained]]
        else:
            hit = [tensor for state, _ in node.replica.moments() for tensor in state.values()]
        if hit:
            node.moved = True
            self._tell(op_id, upset, element=flip_one_of(hit, upset.place, upset.bit))

    def _check(self, upset: Upset, kind: str) -> None:
        """Flip a bit of a copy of what is hit, and see whether its checksum tells; what is there stays as it was.

        A message is sent again, a version taken from those who have the same one, and a store written anew, or not
        used: the trace has that.
        """
        holder = self.holders.get(upset.value, upset.node)
        if holder in self.nodes:
            found = checked(self._content(upset, self.nodes[holder]), kind, upset.place, upset.bit)
            self._tell(upset.id, upset, found=kind if found else None)

    def _content(self, upset: Upset, node: NodeState) -> Tensor:
        """What is hit. For messages that are no outer gradients or sums the parameters of their sender stand in."""
        self.side.join()
        if upset.target == "checkpoint":
            return torch.from_numpy(pack(node.save()).copy())
        if upset.target == "version" and upset.value not in node.held:  # no slow weights of its own
            return self.versions.named(upset.value).parameters_F
        return node.held[upset.value] if upset.value else node.replica.parameters_P

    def _tell(self, op_id: int, upset: Upset, **more: object) -> None:
        row = {"event": "upset", "op": op_id, "sim_s": upset.end_us / 1e6, "node": upset.node}
        self.emit({**row, "target": upset.target, "bit": upset.bit, **more})
