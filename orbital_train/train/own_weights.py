"""Slow weights of nodes' own, where there is no global model (gossip): each is held by the worker that hosts its node.

Suffix P: all of the model, parameters and buffers; F: of one fragment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from orbital_train.schedule.ops.merging import Contribution, Mix
from orbital_train.schedule.ops.nodes import Restore
from orbital_train.schedule.values import OwnVersions
from orbital_train.train.devices import Devices, norm
from orbital_train.train.flat import Layout
from orbital_train.train.liveness import momentum_value, own_value
from orbital_train.train.mixing import MOMENTUM, at_rest, mixed
from orbital_train.train.outer import GlobalState
from orbital_train.train.packets import Form, pack, unpack
from orbital_train.train.rows import Row
from orbital_train.train.spec import OuterSpec
from orbital_train.train.state import NodeState
from orbital_train.train.sums import Sums
from orbital_train.train.tree import moved


@dataclass(frozen=True, kw_only=True)
class OwnWeights:
    """The slow weights of this worker's nodes, which stand among what these hold, and how nodes mix them."""

    layout: Layout
    nodes: Mapping[int, NodeState]  # of this worker
    sums: Sums
    devices: Devices  # of each node

    def begin(self, initial_P: Tensor) -> None:
        """Let every node start from the same parameters, at rest."""
        for node in self.nodes:
            for fragment in range(len(self.layout.fragments)):
                self._rest(node, fragment, 0, self.layout.take(initial_P, fragment).clone())

    def get_F(self, node: int, fragment: int, version: int) -> Tensor:
        """A version of a fragment of one of this worker's nodes."""
        return self.nodes[node].held[own_value(node, fragment, version)]

    def _rest(self, node: int, fragment: int, version: int, slow_F: Tensor) -> None:
        self._put(node, fragment, version, at_rest(slow_F, self.layout.fragment_trained(fragment)))

    def _put(self, node: int, fragment: int, version: int, state: GlobalState) -> None:
        self.nodes[node].hold(own_value(node, fragment, version), state.parameters_F)
        self.nodes[node].hold(momentum_value(node, fragment, version), state.outer[MOMENTUM])

    # -- mixing ---

    def mix(self, op: Mix, spec: OuterSpec) -> Row | None:
        """Make a node's next version.

        Returns:
            The length of that outer step and, if any was, how much of the weight was refused, since an outer gradient
            was not finite; or a problem, if the version would not be finite, and the one before stays. None on workers
            that do not host the node.
        """
        self.sums.settle(c.node for c in op.contributions)
        pairs = list(zip(op.contributions, op.slow_versions, strict=True))
        gradients = [self._gradient(op, c) for c, _ in pairs]
        slow = [self._slow(c.node, op.node, op.fragment, version, op.codec) for c, version in pairs]
        if op.node not in self.nodes:
            return None
        came = [vector_F for vector_F in gradients if vector_F is not None]
        weights = [c.weight * (1 - refused.item()) for c, refused in zip(op.contributions, _last(came), strict=True)]
        left, asked = sum(weights), sum(c.weight for c in op.contributions)
        before = self._state(op.node, op.fragment, op.from_version)
        after = mixed(
            before,
            [vector_F[:-1] for vector_F in came],
            [weight / left if left else 0.0 for weight in weights] if left < asked else weights,
            [slow_F for slow_F in slow if slow_F is not None],
            spec,
            self.layout.fragment_averaged(op.fragment),
        )
        row: Row = {"step_norm": norm(after.outer[MOMENTUM], self.devices).item()}
        if not after.is_finite(self.devices):
            after, row = before, {"problem": "the version would not be finite"}
        self._put(op.node, op.fragment, op.to_version, after)
        return row | ({"refused_weight": asked - left} if left < asked else {})

    def _state(self, node: int, fragment: int, version: int) -> GlobalState:
        momentum_F = self.nodes[node].held[momentum_value(node, fragment, version)]
        return GlobalState(parameters_F=self.get_F(node, fragment, version), outer={MOMENTUM: momentum_F})

    def _gradient(self, op: Mix, c: Contribution) -> Tensor | None:
        """An outer gradient as it is sent to who mixes it, and behind it if it was refused; None where that is not."""
        packet = self.nodes[c.node].held[c.snapshot] if c.node in self.nodes else None
        return self._sent(packet, self.sums.codecs[c.snapshot], op.fragment, c.node, op.node)

    def _slow(self, source: int, dest: int, fragment: int, version: int, codec: str) -> Tensor | None:
        """Slow weights of one node as they are sent to another; None where that is not."""
        packet = None
        if source in self.nodes:
            slow_F = self.get_F(source, fragment, version)
            packet = pack(torch.cat([slow_F, slow_F.new_zeros(1)]), codec, Form.of(self.layout, fragment), seed=0)
        sent_F = self._sent(packet, codec, fragment, source, dest)
        return None if sent_F is None else sent_F[:-1]

    def _sent(self, packet: Tensor | None, codec: str, fragment: int, source: int, dest: int) -> Tensor | None:
        """What is in a packet of one node, on another's worker; None on all others."""
        form, sums = Form.of(self.layout, fragment), self.sums
        start, end, size = sums.owners[source], sums.owners[dest], form.packet_bytes(codec)
        came = moved(packet, size, sums.device, start, end, sums.transport, torch.uint8)
        return None if came is None else unpack(came, codec, form)

    def restore(self, op: Restore) -> None:
        """Give a node another's slow weights, at rest, as it was sent them."""
        assert op.codec is not None
        for fragment, (version, own_version) in enumerate(zip(op.versions, op.own_versions, strict=True)):
            slow_F = self._slow(op.source, op.node, fragment, version, op.codec)
            if slow_F is not None:
                self._rest(op.node, fragment, own_version, slow_F)
                self.layout.put(self.nodes[op.node].replica.parameters_P.detach(), fragment, slow_F)

    # -- the mean ---

    def mean_P(self, own: OwnVersions) -> Tensor:
        """The mean of nodes' slow weights, on every worker; of integer buffers, to the nearest."""
        mine = {node: self._whole_P(node, versions) for node, *versions in own if node in self.nodes}
        mean_P = self.sums.everywhere(mine, _nodes(own), self.layout.size) / len(own)
        mean_P[self.layout.averaged :].round_()
        return mean_P

    def spread(self, own: OwnVersions, mean_P: Tensor) -> float:
        """How far nodes are from their mean: the root of the mean squared distance, as a share of the mean's norm.

        Of parameters: buffers follow from them.
        """
        trained = self.layout.trained
        squares = {
            node: (self._whole_P(node, versions) - mean_P)[:trained].square().sum().view(1)
            for node, *versions in own
            if node in self.nodes
        }
        square = self.sums.everywhere(squares, _nodes(own), 1) / len(own)
        self.devices.add(square)
        return float(square.sqrt() / norm(mean_P[:trained], self.devices))

    def _whole_P(self, node: int, versions: list[int]) -> Tensor:
        whole_P = torch.empty(self.layout.size, device=self.sums.device)
        for fragment, version in enumerate(versions):
            self.layout.put(whole_P, fragment, self.get_F(node, fragment, version))
        return whole_P


def _last(vectors_F: list[Tensor]) -> list[Tensor]:
    return [vector_F[-1] for vector_F in vectors_F]


def _nodes(own: OwnVersions) -> tuple[int, ...]:
    return tuple(sorted(node for node, *_ in own))
