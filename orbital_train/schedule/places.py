"""Where the values of a trace are, and since when: for the checks of :mod:`orbital_train.schedule.validate`."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

from orbital_train.schedule.trace import Merge, Restore, Trace, Transfer, restored_value, result_value, state_value


class TraceError(AssertionError):
    """A trace breaks one of its invariants: a defect of the simulation, never the user's."""


def require(holds: bool, what: str) -> None:
    """Raise unless it holds."""
    if not holds:
        raise TraceError(what)


class Places:
    """Where each value is, and since when, as its transfers carry it from where it was written."""

    def __init__(self, trace: Trace) -> None:
        self._bits = {False: math.ceil(trace.message_bits / trace.fragments)}
        self._bits[True] = math.ceil(trace.state_bits / trace.fragments)
        self._carried: dict[str, list[Transfer]] = defaultdict(list)
        for transfer in trace.transfers:
            if not transfer.lost:
                self._carried[transfer.value].append(transfer)
        self._known: dict[str, dict[int, int]] = {}
        self._restored: dict[str, dict[int, int]] = defaultdict(dict)  # who can also send a version's parameters
        for op in trace.of_kind(Restore):
            for fragment, version in enumerate(op.versions):
                self._restored[state_value(fragment, version)].setdefault(op.node, op.end_us)

    def write(self, value: str, nodes: Iterable[int], at_us: int, bits: int | None = None) -> None:
        """A value is there from now on, and goes where its transfers take it."""
        self._spread(value, dict.fromkeys(nodes, at_us), bits or self._bits[False])

    def write_version(self, merge: Merge) -> None:
        """What others need of a version: its update, and its parameters, which whoever has applied that has too."""
        result, state = (name(merge.fragment, merge.to_version) for name in (result_value, state_value))
        self.write(result, (merge.site,), merge.end_us)
        holders = {i: at_us for i, at_us in self._known[result].items() if i in merge.holders or i == merge.site}
        self._spread(state, self._restored.get(state, {}) | holders, self._bits[True])

    def _spread(self, value: str, since_us: dict[int, int], whole: int) -> None:
        hops: dict[tuple[int, int], list[Transfer]] = defaultdict(list)
        for transfer in self._carried.get(value, ()):
            hops[transfer.source, transfer.dest].append(transfer)
        for (source, dest), parts in sorted(hops.items(), key=lambda item: min(t.start_us for t in item[1])):
            start_us = min(t.start_us for t in parts)
            require(since_us.get(source, math.inf) <= start_us, f"{value}: node {source} sends it before it has it")
            arrival_us = _first_arrival_us(parts, whole, f"{value}: from node {source} to node {dest}")
            if arrival_us is not None:
                since_us[dest] = min(arrival_us, since_us.get(dest, arrival_us))
        self._known[value] = since_us

    def require(self, value: str, node: int, by_us: int) -> None:
        """It must be at a node by a time."""
        there = value in self._known and self._known[value].get(node, math.inf) <= by_us
        require(there, f"{value} is not at node {node} in time")

    def arrival_us(self, value: str, node: int) -> int | None:
        """Since when it is at a node; None if it never comes there."""
        return self._known[value].get(node)


def require_restored(trace: Trace, op: Restore, places: Places) -> None:
    """The whole model came from the node that it is said to have come from."""
    value = restored_value(op.node, op.source, op.life)
    sent = [t for t in trace.transfers if t.value == value and not t.lost]
    left_us = min((t.start_us for t in sent if t.source == op.source), default=trace.end_us)
    whole = sum(t.bits for t in sent if t.dest == op.node)  # it may have set out before, and been lost on the way
    places.write(value, (op.source,), left_us, whole)
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
