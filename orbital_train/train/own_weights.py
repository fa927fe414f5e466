"""Slow weights of nodes' own, where there is no global model (gossip): each is held by the worker that hosts its node.

Suffix P: all parameters of the model; F: those of one fragment.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from orbital_train.schedule.trace import Mix, OwnVersions, Restore, Snapshot, Trace
from orbital_train.train.codec import CODECS, decode, encode
from orbital_train.train.flat import Layout
from orbital_train.train.liveness import momentum_value, own_value
from orbital_train.train.mixing import mixed
from orbital_train.train.outer import GlobalState, initial_state
from orbital_train.train.spec import OuterSpec
from orbital_train.train.state import NodeState
from orbital_train.train.sums import Sums


class OwnWeights:
    """The slow weights of this worker's nodes, which stand among what these hold, and how nodes mix them."""

    def __init__(self, trace: Trace, layout: Layout, nodes: Mapping[int, NodeState], sums: Sums) -> None:
        self._layout, self._nodes, self._sums = layout, nodes, sums
        self._codecs = {op.value: op.codec for op in trace.of_kind(Snapshot)}

    def begin(self, initial_P: Tensor) -> None:
        """Let every node start from the same parameters, at rest."""
        for node in self._nodes:
            for fragment in range(len(self._layout.fragments)):
                self._put(node, fragment, 0, initial_state(self._layout.take(initial_P, fragment).clone()))

    def get_F(self, node: int, fragment: int, version: int) -> Tensor:
        """A version of a fragment of one of this worker's nodes."""
        return self._nodes[node].held[own_value(node, fragment, version)]

    def _put(self, node: int, fragment: int, version: int, state: GlobalState) -> None:
        held = self._nodes[node].held
        held[own_value(node, fragment, version)] = state.parameters_F
        held[momentum_value(node, fragment, version)] = state.momentum_F

    # -- mixing ---

    def mix(self, op: Mix, spec: OuterSpec) -> float | None:
        """Make a node's next version; the length of that outer step, None on workers that do not host it."""
        gradients = [self._carry(c.snapshot, op, c.node, self._codecs[c.snapshot]) for c in op.contributions]
        slow = [
            self._carry(own_value(c.node, op.fragment, version), op, c.node, op.codec)
            for c, version in zip(op.contributions, op.slow_versions, strict=True)
        ]
        if op.node not in self._nodes:
            return None
        own = GlobalState(
            parameters_F=self.get_F(op.node, op.fragment, op.from_version),
            momentum_F=self._nodes[op.node].held[momentum_value(op.node, op.fragment, op.from_version)],
        )
        weights = [c.weight for c in op.contributions]
        after = mixed(own, [g for g in gradients if g is not None], weights, [p for p in slow if p is not None], spec)
        self._put(op.node, op.fragment, op.to_version, after)
        return float(torch.linalg.vector_norm(after.momentum_F))

    def _carry(self, value: str, op: Mix, source: int, codec: str) -> Tensor | None:
        """What a node has, as it is sent to the one that mixes; None where that is not."""
        tensor = encode(self._nodes[source].held[value], codec) if source in self._nodes else None
        size = self._layout.fragment_size(op.fragment)
        sent = self._sums.carry(tensor, source, op.node, size, CODECS[codec])
        return None if sent is None else decode(sent)

    def restore(self, op: Restore) -> None:
        """Give a node another's slow weights, at rest, as it was sent them."""
        assert op.codec is not None
        for fragment, (version, own_version) in enumerate(zip(op.versions, op.own_versions, strict=True)):
            there = self.get_F(op.source, fragment, version) if op.source in self._nodes else None
            tensor = None if there is None else encode(there, op.codec)
            size = self._layout.fragment_size(fragment)
            sent_F = self._sums.carry(tensor, op.source, op.node, size, CODECS[op.codec])
            if sent_F is not None:
                slow_F = decode(sent_F).clone()
                self._put(op.node, fragment, own_version, initial_state(slow_F))
                self._layout.put(self._nodes[op.node].replica.parameters_P.detach(), fragment, slow_F)

    # -- the mean ---

    def mean_P(self, own: OwnVersions) -> Tensor:
        """The mean of nodes' slow weights, on every worker."""
        mine = {node: self._whole_P(node, versions) for node, *versions in own if node in self._nodes}
        return self._sums.everywhere(mine, _nodes(own), self._layout.size) / len(own)

    def spread(self, own: OwnVersions, mean_P: Tensor) -> float:
        """How far nodes are from their mean: the root of the mean squared distance, as a share of the mean's norm."""
        squares = {
            node: (self._whole_P(node, versions) - mean_P).square().sum().view(1)
            for node, *versions in own
            if node in self._nodes
        }
        square = self._sums.everywhere(squares, _nodes(own), 1) / len(own)
        return float(square.sqrt() / torch.linalg.vector_norm(mean_P))

    def _whole_P(self, node: int, versions: list[int]) -> Tensor:
        whole_P = torch.empty(self._layout.size, device=self._sums.device)
        for fragment, version in enumerate(versions):
            self._layout.put(whole_P, fragment, self.get_F(node, fragment, version))
        return whole_P


def _nodes(own: OwnVersions) -> tuple[int, ...]:
    return tuple(sorted(node for node, *_ in own))
