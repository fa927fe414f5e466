"""Slow weights of nodes' own, where there is no global model (gossip): each is held by the worker that hosts its node.

Suffix P: all of the model, parameters and buffers; F: of one fragment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from orbital_train.schedule.trace import Contribution, Mix, OwnVersions, Restore, Snapshot, Trace
from orbital_train.train.codec import CODECS, decode, encode
from orbital_train.train.flat import Layout
from orbital_train.train.liveness import momentum_value, own_value
from orbital_train.train.mixing import MOMENTUM, at_rest, mixed
from orbital_train.train.outer import GlobalState
from orbital_train.train.spec import OuterSpec
from orbital_train.train.state import NodeState
from orbital_train.train.sums import Sums

Row = dict[str, Any]  # a part of a line of metrics.jsonl


class OwnWeights:
    """The slow weights of this worker's nodes, which stand among what these hold, and how nodes mix them."""

    def __init__(self, trace: Trace, layout: Layout, nodes: Mapping[int, NodeState], sums: Sums) -> None:
        self._layout, self._nodes, self._sums = layout, nodes, sums
        self._codecs = {op.value: op.codec for op in trace.of_kind(Snapshot)}

    def begin(self, initial_P: Tensor) -> None:
        """Let every node start from the same parameters, at rest."""
        for node in self._nodes:
            for fragment in range(len(self._layout.fragments)):
                self._rest(node, fragment, 0, self._layout.take(initial_P, fragment).clone())

    def get_F(self, node: int, fragment: int, version: int) -> Tensor:
        """A version of a fragment of one of this worker's nodes."""
        return self._nodes[node].held[own_value(node, fragment, version)]

    def _rest(self, node: int, fragment: int, version: int, slow_F: Tensor) -> None:
        self._put(node, fragment, version, at_rest(slow_F, self._layout.fragment_trained(fragment)))

    def _put(self, node: int, fragment: int, version: int, state: GlobalState) -> None:
        held = self._nodes[node].held
        self._nodes[node].moved = True
        held[own_value(node, fragment, version)] = state.parameters_F
        held[momentum_value(node, fragment, version)] = state.outer[MOMENTUM]

    # -- mixing ---

    def mix(self, op: Mix, spec: OuterSpec) -> Row | None:
        """Make a node's next version.

        Returns:
            The length of that outer step and, if any was, how much of the weight was refused, since an outer gradient
            was not finite; None on workers that do not host the node.
        """
        gradients = [self._carry_gradient(op, c) for c in op.contributions]
        slow = [
            self._carry_slow(c.node, op.node, op.fragment, version, op.codec)
            for c, version in zip(op.contributions, op.slow_versions, strict=True)
        ]
        if op.node not in self._nodes:
            return None
        came = [gradient for gradient in gradients if gradient is not None]
        own = GlobalState(
            parameters_F=self.get_F(op.node, op.fragment, op.from_version),
            outer={MOMENTUM: self._nodes[op.node].held[momentum_value(op.node, op.fragment, op.from_version)]},
        )
        weights = [0.0 if refused else c.weight for c, (_, refused) in zip(op.contributions, came, strict=True)]
        left, asked = sum(weights), sum(c.weight for c in op.contributions)
        after = mixed(
            own,
            [gradient_F for gradient_F, _ in came],
            [weight / left if left else 0.0 for weight in weights] if left < asked else weights,
            [slow_F for slow_F in slow if slow_F is not None],
            spec,
            self._layout.fragment_averaged(op.fragment),
        )
        self._put(op.node, op.fragment, op.to_version, after)
        row = {"step_norm": float(torch.linalg.vector_norm(after.outer[MOMENTUM]))}
        return row | ({"refused_weight": asked - left} if left < asked else {})

    def _carry_gradient(self, op: Mix, c: Contribution) -> tuple[Tensor, bool] | None:
        """An outer gradient as it is sent to who mixes it, and whether it was refused; None where that node is not."""
        parameters_F, rest_F = None, None
        if c.node in self._nodes:
            state = self._nodes[c.node]
            parameters_F = state.held[c.snapshot]
            buffers_F = state.read(c.snapshot)[len(parameters_F) :]
            rest_F = torch.cat([buffers_F, buffers_F.new_tensor([state.refused.get(c.snapshot, 0.0)])])
        sent = self._carry(parameters_F, rest_F, c.node, op.node, op.fragment, self._codecs[c.snapshot], more=1)
        return None if sent is None else (sent[:-1], bool(sent[-1]))

    def _carry_slow(self, source: int, dest: int, fragment: int, version: int, codec: str) -> Tensor | None:
        """Slow weights of one node as they are sent to another; None where that is not."""
        parameters_F, rest_F, trained = None, None, self._layout.fragment_trained(fragment)
        if source in self._nodes:
            slow_F = self.get_F(source, fragment, version)
            parameters_F, rest_F = encode(slow_F[:trained], codec), slow_F[trained:]
        return self._carry(parameters_F, rest_F, source, dest, fragment, codec, more=0)

    def _carry(
        self,
        parameters_F: Tensor | None,
        rest_F: Tensor | None,
        source: int,
        dest: int,
        fragment: int,
        codec: str,
        *,
        more: int,
    ) -> Tensor | None:
        """Parameters as they are encoded and, exactly, the buffers and what is behind them; None where they are not."""
        trained = self._layout.fragment_trained(fragment)
        sent_F = self._sums.carry(parameters_F, source, dest, trained, CODECS[codec])
        size = self._layout.fragment_size(fragment) - trained + more
        if not size:
            return None if sent_F is None else decode(sent_F)
        behind_F = self._sums.carry(rest_F, source, dest, size, torch.float32)
        return None if sent_F is None or behind_F is None else torch.cat([decode(sent_F), behind_F])

    def restore(self, op: Restore) -> None:
        """Give a node another's slow weights, at rest, as it was sent them."""
        assert op.codec is not None
        for fragment, (version, own_version) in enumerate(zip(op.versions, op.own_versions, strict=True)):
            sent_F = self._carry_slow(op.source, op.node, fragment, version, op.codec)
            if sent_F is not None:
                slow_F = sent_F.clone()
                self._rest(op.node, fragment, own_version, slow_F)
                self._layout.put(self._nodes[op.node].replica.parameters_P.detach(), fragment, slow_F)

    # -- the mean ---

    def mean_P(self, own: OwnVersions) -> Tensor:
        """The mean of nodes' slow weights, on every worker; of integer buffers, to the nearest."""
        mine = {node: self._whole_P(node, versions) for node, *versions in own if node in self._nodes}
        mean_P = self._sums.everywhere(mine, _nodes(own), self._layout.size) / len(own)
        mean_P[self._layout.averaged :].round_()
        return mean_P

    def spread(self, own: OwnVersions, mean_P: Tensor) -> float:
        """How far nodes are from their mean: the root of the mean squared distance, as a share of the mean's norm.

        Of parameters: buffers follow from them.
        """
        trained = self._layout.trained
        squares = {
            node: (self._whole_P(node, versions) - mean_P)[:trained].square().sum().view(1)
            for node, *versions in own
            if node in self._nodes
        }
        square = self._sums.everywhere(squares, _nodes(own), 1) / len(own)
        return float(square.sqrt() / torch.linalg.vector_norm(mean_P[:trained]))

    def _whole_P(self, node: int, versions: list[int]) -> Tensor:
        whole_P = torch.empty(self._layout.size, device=self._sums.device)
        for fragment, version in enumerate(versions):
            self._layout.put(whole_P, fragment, self.get_F(node, fragment, version))
        return whole_P


def _nodes(own: OwnVersions) -> tuple[int, ...]:
    return tuple(sorted(node for node, *_ in own))
