"""What encodes the values of a trace: on every worker, those that its nodes hold, with error feedback.

Suffix F: elements of a fragment, see ``packets.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from orbital_train.schedule.ops.merging import Combine, GroupSnapshot, Merge, Snapshot
from orbital_train.schedule.values import WHOLE
from orbital_train.train.devices import Devices
from orbital_train.train.feedback import Encoding, Feedback, decay, encoded_value, residual_value
from orbital_train.train.flat import Layout
from orbital_train.train.inner import clip
from orbital_train.train.packets import Form, pack, residual_of, seed_of
from orbital_train.train.placement import Owners
from orbital_train.train.side_stream import SideStream
from orbital_train.train.state import NodeState
from orbital_train.train.transport import Transport
from orbital_train.train.tree import moved


@dataclass(frozen=True, kw_only=True)
class Encoders:
    """One worker's; ``holders`` and ``feedback`` are those of the whole trace."""

    nodes: Mapping[int, NodeState]  # of this worker
    holders: Mapping[str, int]  # the node that holds each value
    feedback: Feedback
    layout: Layout
    owners: Owners
    transport: Transport
    seed: int
    clip_norm: float  # of what a node contributes
    side: SideStream
    device: torch.device
    devices: Devices  # of each node

    def contribute(self, op: Snapshot | GroupSnapshot, delta_F: Tensor, refused: bool) -> None:
        """Let a node of this worker hold its outer gradient, or its group's, while training goes on.

        Args:
            op: the snapshot.
            delta_F: the outer gradient without the refused weight, as a new tensor; zero where it is refused.
            refused: if so, nothing is sent, and what the last one left out still is.
        """
        node, trained = self.nodes[op.node], self._form(op).trained
        self.side.join()  # residuals are made there
        left = [node.held[residual] for residual in self.feedback.get(op.id, ())]
        for left_F in left if not refused else ():
            delta_F[:trained] += left_F
        clip(delta_F[:trained], self.clip_norm, self.devices)
        vector_F = torch.cat([delta_F, delta_F.new_full((1,), float(refused))])
        packet, *residual = self.side.run(lambda: self._encoded(op, vector_F), (vector_F,))
        node.hold(op.value, packet)
        for residual_F in residual:
            node.hold(residual_value(op.value), left[0].clone() if refused and left else residual_F)

    def encode(self, op: Combine | Merge, vector_F: Tensor, left: tuple[Tensor, ...]) -> Tensor:
        """The packet of a sum or an average, on the worker where it is, to which residuals are added first."""
        for left_F in left:
            vector_F[: len(left_F)] += left_F
        packet, *residual = self._encoded(op, vector_F)
        for residual_F in residual:
            value = encoded_value(op)
            self.nodes[self.holders[value]].hold(residual_value(value), residual_F)
        return packet

    def residuals(self, op: Combine | Merge, root: int) -> tuple[Tensor, ...]:
        """What is added to a sum or an average on the worker where it is; the others send it there, and get nothing."""
        found = []
        for residual in self.feedback.get(op.id, ()):
            holder, size = self.holders[residual], self._form(op).trained
            left_F = self.nodes[holder].held[residual] if holder in self.nodes else None
            found.append(moved(left_F, size, self.device, self.owners[holder], root, self.transport))
        return tuple(left_F for left_F in found if left_F is not None)

    def _form(self, op: Encoding) -> Form:
        return Form.of(self.layout, op.fragment, op.part if isinstance(op, Combine) else WHOLE)

    def _encoded(self, op: Encoding, vector_F: Tensor) -> tuple[Tensor, ...]:
        """The packet and, where it is added to something later, the residual."""
        form, value = self._form(op), encoded_value(op)
        packet = pack(vector_F, op.codec, form, seed_of(self.seed, value))
        if residual_value(value) not in self.holders:
            return (packet,)
        return packet, residual_of(vector_F, packet, op.codec, form) * decay(op.codec)
