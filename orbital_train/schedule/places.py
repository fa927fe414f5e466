"""Where the values of a trace are, and since when: for the checks of :mod:`orbital_train.schedule.validate`."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

from orbital_train.schedule.ops.merging import Merge
from orbital_train.schedule.ops.nodes import Restore
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.transfers import Transfer
from orbital_train.schedule.values import part_of, restored_value, result_value, state_value
from orbital_train.schedule.workload import Workload


class TraceError(AssertionError):
    """A trace breaks one of its invariants: a defect of the simulation, never the user's."""


def require(holds: bool, what: str) -> None:
    """Raise unless it holds."""
    if not holds:
        raise TraceError(what)


class Places:
    """Where each value is, and since when, as its transfers carry it from where it was written."""

    def __init__(self, trace: Trace) -> None:
        self._carried: dict[str, list[Transfer]] = defaultdict(list)
        self._parts: dict[str, set[str]] = defaultdict(set)  # of outer gradients, that travel for themselves
        for transfer in trace.transfers:
            if not transfer.lost:
                self._carried[transfer.value].append(transfer)
                self._parts[transfer.value.partition("#")[0]].add(transfer.value)
        self._known: dict[str, dict[int, int]] = {}
        self._restored: dict[str, dict[int, int]] = defaultdict(dict)  # who can also send a version's parameters
        for op in trace.of_kind(Restore):
            for fragment, version in enumerate(op.versions):
                self._restored[state_value(fragment, version)].setdefault(op.node, op.end_us)

    def write(self, value: str, since_us: Mapping[int, int], bits: int) -> None:
        """A value is at nodes from some time on, and goes where its transfers, or those of its parts, take it."""
        for name in sorted({value} if "#" in value else {value} | self._parts[value]):
            self._known[name] = self._spread(name, dict(since_us), math.ceil(bits / part_of(name)[1]))

    def write_version(self, merge: Merge, workload: Workload) -> None:
        """What others need of a version: its update, and its parameters, which whoever has applied that has too."""
        result, state = (name(merge.fragment, merge.to_version) for name in (result_value, state_value))
        self.write(result, self._makers_us(merge), workload.fragment_bits)
        holders = {i: at_us for i, at_us in self._known[result].items() if i in merge.holders or i == merge.site}
        self.write(state, self._restored.get(state, {}) | holders, workload.fragment_state_bits)

    def _makers_us(self, merge: Merge) -> dict[int, int]:
        """Who makes a merge, and when: of one in parts, whoever has been sent all of them."""
        since_us = {merge.site: merge.end_us}
        if any("#" in value for value in merge.inputs):
            inputs = [self.since_us(value) for value in merge.inputs]
            for node in merge.holders:
                if all(node in there for there in inputs):
                    since_us[node] = max(merge.end_us, *(there[node] for there in inputs))
        return since_us

    def _spread(self, value: str, since_us: dict[int, int], whole: int) -> dict[int, int]:
        hops: dict[tuple[int, int], list[Transfer]] = defaultdict(list)
        for transfer in self._carried.get(value, ()):
            hops[transfer.source, transfer.dest].append(transfer)
        for (source, dest), parts in sorted(hops.items(), key=lambda item: min(t.start_us for t in item[1])):
            start_us = min(t.start_us for t in parts)
            require(since_us.get(source, math.inf) <= start_us, f"{value}: node {source} sends it before it has it")
            arrival_us = _first_arrival_us(parts, whole, f"{value}: from node {source} to node {dest}")
            if arrival_us is not None:
                since_us[dest] = min(arrival_us, since_us.get(dest, arrival_us))
        return since_us

    def since_us(self, value: str) -> dict[int, int]:
        """Where a value is, and since when. Where an outer gradient is, all its parts are."""
        return self._known.get(value.partition("#")[0], {}) | self._known.get(value, {})

    def require(self, value: str, node: int, by_us: int) -> None:
        """It must be at a node by a time."""
        require(self.since_us(value).get(node, math.inf) <= by_us, f"{value} is not at node {node} in time")


def require_restored(trace: Trace, op: Restore, places: Places) -> None:
    """The whole model came from the node that it is said to have come from."""
    value = restored_value(op.node, op.request)
    sent = [t for t in trace.transfers if t.value == value and not t.lost]
    left_us = min((t.start_us for t in sent if t.source == op.source), default=trace.end_us)
    whole = sum(t.bits for t in sent if t.dest == op.node)  # it may have set out before, and been lost on the way
    places.write(value, {op.source: left_us}, whole)
    places.require(value, op.node, op.start_us)


def _first_arrival_us(parts: list[Transfer], whole: int, where: str) -> int | None:
    """When a message is first whole at the end of a hop; None if the run ended, or its sender, before that.

    It may be sent again, for others or because its receiver has failed and forgotten it: the parts of one sending
    stand together.
    """
    sent, heard_us, arrivals_us = 0, 0, []
    for part in parts:
        sent, heard_us = sent + part.bits, max(heard_us, part.arrival_us)
        require(sent <= whole, f"{where} goes more than there is of it")
        if sent == whole:
            arrivals_us.append(heard_us)
            sent = heard_us = 0
    return min(arrivals_us, default=None)
