"""Sums, averages and medians of what nodes hold, for a :class:`Combine` or a :class:`Merge`, over all workers.

What travels between workers is packets: those of single inputs where they are fewer bytes than the sum of them, which
is float32; and that of the average, from which everyone makes the same step. Suffix F: elements of a fragment, see
``packets.py``; K: contributions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from orbital_train.schedule.ops.merging import Combine, GroupSnapshot, Merge, Snapshot
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.values import WHOLE, Part, part_of, parts_of
from orbital_train.schedule.wire import encoded_bytes
from orbital_train.train.codecs import decode, whole_grains
from orbital_train.train.contributions import robust_average, without_refused
from orbital_train.train.encoders import Encoders
from orbital_train.train.everywhere import sum_everywhere
from orbital_train.train.feedback import weighed
from orbital_train.train.flat import Layout
from orbital_train.train.packets import FLOAT_BYTES, Form, Term, Terms, unpack
from orbital_train.train.placement import Owners
from orbital_train.train.scratch import Scratch
from orbital_train.train.spec import OuterSpec
from orbital_train.train.state import NodeState
from orbital_train.train.transport import Transport
from orbital_train.train.tree import BUCKET_BYTES, Vector, broadcast, moved, receive, send, settled, sum_on_tree

Input = tuple[int, str, float]  # to a sum, if it counts: the node that holds it, its name, its weight


def value_codecs(trace: Trace) -> dict[str, str]:
    """How outer gradients and sums are encoded, by their names."""
    return {op.value: op.codec for op in trace.ops if isinstance(op, Snapshot | GroupSnapshot | Combine)}


def _rows(inputs: list[Input], part: Part) -> list[Input]:
    """Those that enter a part of a sum: such parts, and what is whole."""
    return [row for row in inputs if part_of(row[1]) in (part, WHOLE)]


@dataclass(frozen=True, kw_only=True)
class Sums:
    """One worker's part in them; all workers ask for the same ones in the same order."""

    nodes: Mapping[int, NodeState]  # of this worker
    holders: Mapping[str, int]  # the node that holds each value
    codecs: Mapping[str, str]
    layout: Layout
    encoders: Encoders
    owners: Owners
    transport: Transport
    spec: OuterSpec
    device: torch.device
    scratch: Scratch

    def everywhere(self, contributions: Mapping[int, Vector], nodes: tuple[int, ...], size: int) -> Tensor:
        """Sum over nodes on every worker, of vectors that are not encoded. The next one overwrites it."""
        return sum_everywhere(contributions, nodes, self.owners, self.transport, size, self.scratch)

    def combine(self, op: Combine) -> None:
        """Let the holder of a sum that is formed on the way hold it."""
        inputs, holder = self._inputs(op), self.holders[op.value]
        root = self.owners[holder]
        left = self.encoders.residuals(op, root)
        total_F = self._total(op, inputs, op.part, root)
        if total_F is not None:
            self.nodes[holder].hold(op.value, self.encoders.encode(op, total_F, left))

    def average(self, op: Merge) -> tuple[Tensor, float]:
        """The averaged outer gradient as it is sent back, the same on all workers, and how much weight was refused."""
        inputs, form = self._inputs(op), Form.of(self.layout, op.fragment)
        if not inputs:
            return torch.zeros(form.size - 1, device=self.device), 0.0
        if self.spec.merging == "mean" and {op.codec, *(self.codecs[value] for _, value, _ in inputs)} == {"fp32"}:
            return self._exact_mean(op, inputs)
        root = self.owners[inputs[0][0]]
        left = self.encoders.residuals(op, root)
        mean = self.spec.merging == "mean"
        average_F = self._mean(op, inputs, root) if mean else self._robust(op, inputs, root)
        packet = None if average_F is None else self.encoders.encode(op, average_F, left)
        packet = broadcast(packet, self._bytes(form.packet_bytes(op.codec)), root, self.transport)
        vector_F = unpack(packet, op.codec, form)
        return vector_F[:-1], vector_F[-1].item()

    def _inputs(self, op: Combine | Merge) -> list[Input]:
        """In order. A node holds several if it has failed since it took the first."""
        weights = weighed(op.inputs, op.input_weights if isinstance(op, Merge) else op.weights)
        return sorted((self.holders[value], value, weight) for value, weight in weights.items())

    def _mean(self, op: Merge, inputs: list[Input], root: int) -> Tensor | None:
        """The weighted mean of what was not refused, on this worker; None on others. All parts refuse the same."""
        parts, refused = [], None
        for part in parts_of(op.inputs):
            total_F = self._total(op, _rows(inputs, part), part, root)
            if total_F is not None:
                refused = total_F[-1:] if refused is None else refused
                averaged = Form.of(self.layout, op.fragment, part).averaged
                parts.append(without_refused(total_F[:-1], refused.item(), averaged))
        return None if refused is None else torch.cat([*parts, refused])

    def _exact_mean(self, op: Merge, inputs: list[Input]) -> tuple[Tensor, float]:
        """The mean where nothing is encoded: workers need not leave it to one of them."""
        self.settle(node for node, _, _ in inputs)
        found, refused, parts = [], 0.0, parts_of(op.inputs)
        for part in parts:
            form, rows = Form.of(self.layout, op.fragment, part), _rows(inputs, part)
            if not rows:
                found.append(torch.zeros(form.size - 1, device=self.device))
                continue
            packets = {value: self.nodes[node].held[value] for node, value, _ in rows if node in self.nodes}
            nodes = tuple(sorted({node for node, _, _ in rows}))
            total_F = self.everywhere(self._terms(op, rows, packets, form), nodes, form.size)
            refused = total_F[-1].item()
            mean_F = without_refused(total_F[:-1], refused, form.averaged)
            found.append(mean_F if len(parts) == 1 else mean_F.clone())
        return found[0] if len(parts) == 1 else torch.cat(found), refused

    def _terms(
        self, op: Combine | Merge, rows: list[Input], packets: Mapping[str, Tensor], form: Form
    ) -> dict[int, Vector]:
        """What enters a sum from the nodes whose packets are here."""
        terms: dict[int, list[Term]] = defaultdict(list)
        for node, value, weight in rows:
            if value in packets:
                of_value = Form.of(self.layout, op.fragment, part_of(value))
                terms[node].append(Term(packet=packets[value], codec=self.codecs[value], form=of_value, weight=weight))
        return {node: Terms(form=form, terms=own, first=node == rows[0][0]) for node, own in terms.items()}

    def _total(self, op: Combine | Merge, inputs: list[Input], part: Part, root: int) -> Tensor | None:
        """A part of the weighted sum on this worker; None on the others. Whole inputs enter with that part of them."""
        form = Form.of(self.layout, op.fragment, part)
        if not inputs:
            return torch.zeros(form.size, device=self.device) if self.transport.rank == root else None
        forms = {value: Form.of(self.layout, op.fragment, part_of(value)) for _, value, _ in inputs}
        lengths = {value: forms[value].packet_bytes(self.codecs[value]) for value in forms}
        packet_bytes = {node: 0 for node, _, _ in inputs}
        for node, value, _ in inputs:
            packet_bytes[node] += lengths[value]
        owners = settled(packet_bytes, self.owners, FLOAT_BYTES * form.size)
        self.settle(node for node, _, _ in inputs)
        packets = self._gather(inputs, owners, lambda _, packet: packet, lambda value: self._bytes(lengths[value]))
        vectors = self._terms(op, inputs, packets, form)
        total_F = sum_on_tree(vectors, tuple(packet_bytes), owners, self.transport)
        return moved(total_F, form.size, self.device, self.owners[inputs[0][0]], root, self.transport)

    def _robust(self, op: Merge, inputs: list[Input], root: int) -> Tensor | None:
        """Median or trimmed mean of the inputs and, as a last element, how much of their weight was refused.

        Formed on one worker, in pieces, so that no more than a bucket of all contributions is there at once.
        """
        self.settle(node for node, _, _ in inputs)
        form = Form.of(self.layout, op.fragment)
        total_F = torch.empty(form.size, device=self.device)
        owners, mine = dict.fromkeys((node for node, _, _ in inputs), root), self.transport.rank == root
        others = self._gather(
            inputs, owners, form.others, lambda _: torch.empty(form.size - form.trained, device=self.device)
        )
        if mine:
            others_KE = torch.stack([others[value] for _, value, _ in inputs])
            counts_K = others_KE[:, -1] == 0
            total_F[form.trained : -1] = robust_average(
                others_KE[counts_K, :-1], self.spec, form.averaged - form.trained
            )
            total_F[-1] = others_KE[:, -1] @ others_KE.new_tensor([weight for _, _, weight in inputs])
        for piece in whole_grains(form.trained, BUCKET_BYTES // len(inputs)):
            size = piece.stop - piece.start
            parts = self._gather(inputs, owners, partial(form.part, where=piece), partial(self._room, size))
            if mine:
                vectors_KE = torch.stack([decode(parts[v], self.codecs[v], size) for _, v, _ in inputs])
                total_F[piece] = robust_average(vectors_KE[counts_K], self.spec, size)
        return total_F if mine else None

    def settle(self, nodes: Iterable[int]) -> None:
        """Where values of these nodes are, wait for what is encoded, and for what was posted: buffers stay bounded."""
        if self.transport.rank in {self.owners[node] for node in nodes}:
            self.encoders.side.join()
            self.transport.flush()

    def _room(self, size: int, value: str) -> Tensor:
        return self._bytes(encoded_bytes(self.codecs[value], size))

    def _bytes(self, length: int) -> Tensor:
        return torch.empty(length, dtype=torch.uint8, device=self.device)

    def _gather(
        self,
        inputs: list[Input],
        owners: Owners,
        part: Callable[[str, Tensor], Tensor],
        empty: Callable[[str], Tensor],
    ) -> dict[str, Tensor]:
        """Parts of the packets of inputs, each on the worker that ``owners`` give its node to, by name.

        Args:
            inputs: the same ones on all workers.
            owners: where they are to be.
            part: makes it, of a codec and a packet.
            empty: room for one, by the name of the value.
        """
        found, mine = {}, self.transport.rank
        for node, value, _ in inputs:
            source, dest, codec = self.owners[node], owners[node], self.codecs[value]
            if source == mine == dest:
                found[value] = part(codec, self.nodes[node].held[value])
            elif source == mine:
                send(part(codec, self.nodes[node].held[value]), dest, self.transport)
            elif dest == mine:
                found[value] = receive(empty(value), source, self.transport)
        return found
