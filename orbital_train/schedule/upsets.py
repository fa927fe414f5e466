"""Bit flips as operations of a trace: what each of them hits.

They are put into a trace when it is finished, since none of them changes when anything happens by itself. Those of
messages and of stores do so by what they hit: a message is sent again, and a node is sent the model by another.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence

from orbital_train.schedule.fault_times import is_hit
from orbital_train.schedule.faults import BitFlip
from orbital_train.schedule.ops.base import Op
from orbital_train.schedule.ops.nodes import Adopt, Lose, Restore, Step, Upset
from orbital_train.schedule.ops.run import Stage
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.transfers import Transfer
from orbital_train.schedule.values import GLOBAL, own_scope, version_value

Versions = tuple[int, ...]  # of each fragment, that a node adopted last


def upset_ops(
    scenario: Scenario, ops: Sequence[Op], transfers: Sequence[Transfer], end_us: int, *, gossips: bool
) -> list[Upset]:
    """The bit flips before ``end_us`` that hit something, by time.

    Args:
        scenario: whose faults have them.
        ops: all other operations, in the order in which they were known.
        transfers: all of them, lost ones too.
        end_us: end of the run.
        gossips: nodes have slow weights of their own, and no global model.
    """
    flips = [flip for flip in scenario.faults.bit_flips if flip.at_us < end_us]
    if not flips:
        return []
    nodes = {flip.node for flip in flips}
    lives = {
        node: _Life(node, scenario, own_scope(node) if gossips else GLOBAL)
        for node in nodes.intersection(scenario.training_nodes)
    }
    for op in sorted(ops, key=lambda op: op.end_us):
        if isinstance(op, Step | Adopt | Lose | Restore | Stage) and op.node in lives:
            lives[op.node].note(op)
    sent: dict[int, list[Transfer]] = defaultdict(list)
    for transfer in transfers:
        if transfer.source in nodes:
            sent[transfer.source].append(transfer)
    sendings = {node: _Sendings(sent[node], scenario.workload.message_bits) for node in nodes}
    written = {value for op in ops for value in op.writes if value.startswith(("snap/", "sum/", "group/"))}
    found = []
    for flip in flips:
        if flip.target == "message":
            values = [_written(value, written) for value in sendings[flip.node].hit(flip)]
        else:
            values = list(lives[flip.node].hit(flip)) if flip.node in lives else []
        found += [Upset(-1, flip.at_us, flip.at_us, flip.node, flip.target, flip.place, flip.bit, v) for v in values]
    return found


class _Life:
    """What a node has in its memory and in its store, over time."""

    def __init__(self, node: int, scenario: Scenario, scope: str) -> None:
        self._scope = scope  # whose versions it adopts
        staged = scenario.staging is None or node in scenario.staging.sources
        self._since_us = [0]
        self._alive, self._stored = [staged], [staged]
        self._versions: list[Versions] = [(0,) * scenario.workload.fragments]
        self._steps: list[Step] = []

    def note(self, op: Step | Adopt | Lose | Restore | Stage) -> None:
        """Operations of the node come in the order of their ends."""
        alive, stored, versions = True, True, self._versions[-1]
        match op:
            case Step():
                self._steps.append(op)
                return
            case Adopt():
                versions = tuple(op.version if f == op.fragment else v for f, v in enumerate(versions))
            case Lose():
                alive, stored = False, self._stored[-1] and not op.loses_state
            case Restore() if op.source != op.node:
                versions = op.own_versions or op.versions
        self._since_us.append(op.end_us)
        self._alive.append(alive)
        self._stored.append(stored)
        self._versions.append(versions)

    def hit(self, flip: BitFlip) -> Iterator[str]:
        """What a flip hits, as an operation names it; nothing where there is no such thing."""
        now = bisect_right(self._since_us, flip.at_us) - 1
        match flip.target:
            case "checkpoint":
                there = self._stored[now]
            case "gradient":
                there = self._alive[now] and self._is_in_step(flip.at_us)
            case _:
                there = self._alive[now]
        if there and flip.target == "version":
            versions = self._versions[now]
            fragment = int(flip.place * len(versions))
            yield version_value(self._scope, fragment, versions[fragment])
        elif there:
            yield ""

    def _is_in_step(self, at_us: int) -> bool:
        k = bisect_right(self._steps, at_us, key=lambda op: op.start_us) - 1
        return k >= 0 and at_us < self._steps[k].end_us


class _Sendings:
    """What a node sends, asked for at one time after the other."""

    def __init__(self, transfers: Sequence[Transfer], message_bits: int) -> None:
        self._ahead = sorted(transfers, key=lambda transfer: -transfer.start_us)
        self._under_way: list[Transfer] = []
        self._message_bits = message_bits

    def hit(self, flip: BitFlip) -> list[str]:
        """The messages that a flip hits: all that are under way and take that place in the buffer."""
        while self._ahead and self._ahead[-1].start_us <= flip.at_us:
            self._under_way.append(self._ahead.pop())
        self._under_way = [transfer for transfer in self._under_way if flip.at_us < transfer.arrival_us]
        hit = (t.value for t in self._under_way if is_hit(flip.place, t.bits, self._message_bits))
        return list(dict.fromkeys(hit))


def _written(value: str, written: set[str]) -> str:
    """The outer gradient or the sum that a message is, or is a part of; empty for any other message."""
    whole = value.partition("#")[0]
    return value if value in written else whole if whole in written else ""
