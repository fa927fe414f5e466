"""Checks of a trace against its scenario: what must hold whatever the policy."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from orbital_train.schedule.lineage import chain, kept_merges, parents_of
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.trace import (
    FIRST_MODEL,
    Adopt,
    Combine,
    Deliver,
    Merge,
    Restore,
    Snapshot,
    Stage,
    Step,
    SyncStep,
    Trace,
    Transfer,
    data_value,
    final_value,
    global_value,
    local_value,
    part_of,
    part_value,
    parts_of,
    restored_value,
    result_value,
    state_value,
)
from orbital_train.schedule.workload import Workload


class TraceError(AssertionError):
    """A trace breaks one of its invariants: a defect of the simulation, never the user's."""


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise TraceError(what)


def validate(trace: Trace, scenario: Scenario) -> None:
    """Raise :class:`TraceError` unless the trace is sound.

    Single assignment; reads before writes by id and in time; whole steps of the right length, in order, in which no
    node does two at once; transfers inside contacts, within volume, one at a time a contact; contributions that arrived
    before their merge, and results before they are adopted, hop by hop; merge weights that add up to 1; battery energy
    within its bounds; terminals used once at a time.
    """
    _dataflow(trace)
    _steps(trace, scenario)
    _transfers(trace, scenario)
    _terminals(scenario)
    places = _merges(trace, scenario)
    _adoptions(trace, scenario.workload, places)
    _staging(trace, scenario)
    _energy(trace, scenario)


def _dataflow(trace: Trace) -> None:
    written_us = {global_value(fragment, 0): 0 for fragment in range(trace.fragments)}
    written_us |= {local_value(node, 0): 0 for node in trace.fleet_nodes}
    for position, op in enumerate(trace.ops):
        _require(op.id == position, f"operation {position} has id {op.id}")
        _require(op.start_us <= op.end_us <= trace.end_us, f"operation {op.id} ends before it starts or too late")
        for value in op.reads:
            _require(value in written_us, f"operation {op.id} reads {value} before it is written")
            _require(written_us[value] <= op.start_us, f"operation {op.id} starts before {value} is there")
        for value in op.writes:
            _require(value not in written_us, f"operation {op.id} writes {value} again")
            written_us[value] = op.end_us


def _steps(trace: Trace, scenario: Scenario) -> None:
    done: dict[int, int] = defaultdict(int)
    busy_until_us: dict[int, int] = defaultdict(int)
    slow = {s.factor for s in scenario.faults.slow_downs} | {1.0}
    lengths_us = {math.ceil(trace.step_us * factor) for factor in slow}
    for op in trace.of_kind(Step):
        whole = op.n > 0 and (op.end_us - op.start_us) in {op.n * length_us for length_us in lengths_us}
        _require(whole, f"operation {op.id}: not whole steps")
        _require(op.first == done[op.node], f"operation {op.id}: node {op.node} skips or repeats a step")
        _require(op.start_us >= busy_until_us[op.node], f"operation {op.id}: two steps at once")
        done[op.node] += op.n
        busy_until_us[op.node] = op.end_us
    for node, steps in done.items():
        _require(steps == trace.accounts[node].steps, f"node {node}: account and operations differ in steps")


def _transfers(trace: Trace, scenario: Scenario) -> None:
    plan, busy = scenario.contacts, defaultdict(list)
    sources, dests, starts_s, ends_s, rates_bps, owlts_s = (
        column.tolist() for column in (plan.source, plan.dest, plan.start_s, plan.end_s, plan.rate_bps, plan.owlt_s)
    )
    for k, t in enumerate(trace.transfers):
        c, rate_bps = t.contact, rates_bps[t.contact]
        _require((t.source, t.dest) == (sources[c], dests[c]), f"transfer {k}: not this contact's ends")
        inside = starts_s[c] * 1e6 <= t.start_us and t.end_us <= ends_s[c] * 1e6
        _require(inside, f"transfer {k}: outside contact {c}")
        _require(t.start_us <= trace.end_us, f"transfer {k}: after the end of the run")
        _require(t.owlt_us >= owlts_s[c] * 1e6, f"transfer {k}: faster than light")
        volume_bits = math.inf if math.isinf(rate_bps) else rate_bps * (t.end_us - t.start_us) / 1e6
        _require(t.bits <= volume_bits * (1 + 1e-12), f"transfer {k}: more bits than the contact carries")
        busy[c].append((t.start_us, t.end_us))
    for c, intervals in busy.items():
        intervals.sort()
        overlap = any(a[1] > b[0] for a, b in itertools.pairwise(intervals) if a[0] < a[1])
        _require(not overlap or math.isinf(rates_bps[c]), f"contact {c}: two transfers at once")


def _terminals(scenario: Scenario) -> None:
    plan = scenario.contacts
    nodes = np.concatenate([plan.source, plan.dest])
    terminals = np.concatenate([plan.source_terminal, plan.dest_terminal])
    acquire_start_s, end_s, link_id = (np.tile(c, 2) for c in (plan.acquire_start_s, plan.end_s, plan.link_id))
    order = np.lexsort((acquire_start_s, terminals, nodes))
    same = (np.diff(nodes[order]) == 0) & (np.diff(terminals[order]) == 0)
    same &= np.diff(link_id[order]) != 0
    overlap = same & (acquire_start_s[order][1:] < end_s[order][:-1] - 1e-9)
    _require(not overlap.any(), "a terminal is used twice at once")


class _Places:
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
            _require(since_us.get(source, math.inf) <= start_us, f"{value}: node {source} sends it before it has it")
            arrival_us = _first_arrival_us(parts, whole, f"{value}: from node {source} to node {dest}")
            if arrival_us is not None:
                since_us[dest] = min(arrival_us, since_us.get(dest, arrival_us))
        return since_us

    def since_us(self, value: str) -> dict[int, int]:
        """Where a value is, and since when. Where an outer gradient is, all its parts are."""
        return self._known.get(value.partition("#")[0], {}) | self._known.get(value, {})

    def require(self, value: str, node: int, by_us: int) -> None:
        """It must be at a node by a time."""
        _require(self.since_us(value).get(node, math.inf) <= by_us, f"{value} is not at node {node} in time")


def _first_arrival_us(parts: list[Transfer], whole: int, where: str) -> int | None:
    """When a message is first whole at the end of a hop; None if the run ended, or its sender, before that.

    It may be sent again, for others or because its receiver has failed and forgotten it: the parts of one sending
    stand together.
    """
    sent, heard_us, arrivals_us = 0, 0, []
    for part in parts:
        sent, heard_us = sent + part.bits, max(heard_us, part.arrival_us)
        _require(sent <= whole, f"{where} goes more than there is of it")
        if sent == whole:
            arrivals_us.append(heard_us)
            sent = heard_us = 0
    return min(arrivals_us, default=None)


def _merges(trace: Trace, scenario: Scenario) -> _Places:
    """What is merged arrived where it is merged, by way of sums or not, and counts once and for what it is."""
    workload, void = scenario.workload, {value for lost in scenario.faults.worker_losses for value in lost.void}
    snapshots: dict[str, Snapshot] = {}
    holds: dict[str, dict[str, float]] = {}  # snapshots in a value, with their weights
    merged: set[str] = set()
    places, kept, merged_steps = _Places(trace), kept_merges(trace), 0
    parents = parents_of(trace)
    for op in trace.ops:
        if isinstance(op, Snapshot):
            snapshots[op.value], holds[op.value] = op, {op.value: 1.0}
            places.write(op.value, {op.node: op.end_us}, workload.fragment_bits)
        elif isinstance(op, Combine | Merge):
            for value in op.inputs:
                _require(value in holds, f"operation {op.id} adds {value}, which is no outer gradient")
                places.require(part_value(value, op.part) if isinstance(op, Combine) else value, op.site, op.start_us)
        if isinstance(op, Combine):
            holds[op.value] = _combined(op, holds)
            plain = op.codec == workload.codec
            bits = workload.fragment_bits if plain else workload.sum_bits(len(holds[op.value]))
            places.write(op.value, {op.site: op.end_us}, bits)
        elif isinstance(op, Merge):
            for whole in _merged(op, holds):
                _contributions(op, snapshots, whole, parents, void)
            if op.id in kept:
                again = merged & {c.snapshot for c in op.contributions}
                _require(not again, f"operation {op.id} merges {', '.join(sorted(again))} again")
                merged |= {c.snapshot for c in op.contributions}
                merged_steps += sum(c.steps for c in op.contributions if c.snapshot not in void)
    if not any(True for _ in trace.of_kind(SyncStep)):
        _require(merged_steps // trace.fragments == trace.merged_steps, "merged steps do not add up")
    return places


def _combined(op: Combine, holds: dict[str, dict[str, float]]) -> dict[str, float]:
    _require({part_of(value) for value in op.inputs if "#" in value} <= {op.part}, f"operation {op.id} mixes parts")
    return _added_up(op, zip(op.inputs, op.weights, strict=True), holds)


def _merged(op: Merge, holds: dict[str, dict[str, float]]) -> Iterator[dict[str, float]]:
    """What is in each part of a merge."""
    parts = parts_of(op.inputs)
    _require(parts == [(c, len(parts)) for c in range(len(parts))], f"operation {op.id} merges not all parts")
    for part in parts:
        inputs = zip(op.inputs, op.input_weights, strict=True)
        yield _added_up(op, ((value, weight) for value, weight in inputs if part_of(value) == part), holds)


def _added_up(
    op: Combine | Merge, inputs: Iterable[tuple[str, float]], holds: dict[str, dict[str, float]]
) -> dict[str, float]:
    """Snapshots with their weights in a sum."""
    whole: dict[str, float] = {}
    for value, weight in inputs:
        twice = whole.keys() & holds[value].keys()
        _require(not twice, f"operation {op.id} adds an outer gradient twice")
        whole |= {snapshot: weight * inner for snapshot, inner in holds[value].items()}
    return whole


def _contributions(
    merge: Merge,
    snapshots: dict[str, Snapshot],
    whole: dict[str, float],
    parents: dict[tuple[int, int], int],
    void: set[str],
) -> None:
    """They are what the inputs of the merge hold; those that are void have no weight."""
    total = sum(c.weight for c in merge.contributions)
    steps = sum(c.steps for c in merge.contributions if c.snapshot not in void)
    _require(abs(total - (1 if steps else 0)) < 1e-9, f"operation {merge.id}: weights add up to {total}")
    _require(
        whole.keys() <= {c.snapshot for c in merge.contributions},
        f"operation {merge.id}: an input is not accounted for",
    )
    for c in merge.contributions:
        where = f"operation {merge.id}, {c.snapshot}"
        _require(c.snapshot in snapshots, f"{where}: no outer gradient")
        snapshot = snapshots[c.snapshot]
        _require(
            (c.node, c.steps) == (snapshot.node, snapshot.steps), f"{where}: not the node or steps of its snapshot"
        )
        counts = c.steps > 0 and c.snapshot not in void
        _require((c.weight > 0) == counts, f"{where}: weight {c.weight} for {c.steps} steps")
        _require(abs(whole.get(c.snapshot, 0.0) - c.weight) < 1e-9, f"{where}: not the weight that it enters with")
        between = chain(parents, merge.fragment, merge.from_version, snapshot.base_version)
        _require(len(between) == c.staleness, f"{where}: staleness")


def _adoptions(trace: Trace, workload: Workload, places: _Places) -> None:
    """Who adopts a version was sent it, or all that was merged up to it; so was whoever merges more into it.

    ``places`` are those of outer gradients and sums: a merge in parts is made by everybody who has been sent all of it.
    """
    parents = parents_of(trace)
    has: dict[tuple[int, int], int] = defaultdict(int)  # newest version of a fragment that a holder is known to have
    adopted: dict[tuple[int, int], int] = defaultdict(int)

    def require_all(node: int, fragment: int, version: int, by_us: int) -> None:
        for newer in chain(parents, fragment, version, has[node, fragment]):
            places.require(result_value(fragment, newer), node, by_us)
        has[node, fragment] = max(version, has[node, fragment])

    for op in trace.ops:
        if isinstance(op, Merge):
            if op.site in op.holders:
                require_all(op.site, op.fragment, op.from_version, op.start_us)
            places.write_version(op, workload)
        elif isinstance(op, Adopt):
            last = adopted[op.node, op.fragment]
            where = f"operation {op.id}: node {op.node}"
            _require(op.version > last, f"{where} adopts version {op.version} again or goes back")
            _require(op.base_version == last, f"{where} has version {last}")
            if op.codec is None:
                require_all(op.node, op.fragment, op.version, op.start_us)
            else:
                places.require(state_value(op.fragment, op.version), op.node, op.start_us)
            adopted[op.node, op.fragment] = op.version
        elif isinstance(op, Restore) and op.source != op.node:
            _restored(trace, op, places)
            for fragment, version in enumerate(op.versions):
                adopted[op.node, fragment] = has[op.node, fragment] = version


def _staging(trace: Trace, scenario: Scenario) -> None:
    """Who begins has been sent model and data; a model that is said to have come down has."""
    spec, places = scenario.staging, _Places(trace)
    if spec is None:
        return
    places.write(FIRST_MODEL, dict.fromkeys(spec.sources, 0), trace.state_bits)
    begun = {op.node: op.end_us for op in trace.of_kind(Stage)}
    for node, at_us in begun.items():
        places.require(FIRST_MODEL, node, at_us)
        if spec.data_bits:
            places.write(data_value(node), dict.fromkeys(spec.sources, 0), spec.data_bits)
            places.require(data_value(node), node, at_us)
    for op in trace.of_kind(Step):
        late = op.node not in spec.sources and op.start_us < begun.get(op.node, trace.end_us)
        _require(not late, f"operation {op.id}: node {op.node} trains before it has model and data")
    for op in trace.of_kind(Deliver):
        places.write(final_value(op.versions), {op.source: op.start_us}, trace.state_bits)
        places.require(final_value(op.versions), op.site, op.end_us)


def _restored(trace: Trace, op: Restore, places: _Places) -> None:
    """The whole model came from the node that it is said to have come from."""
    value = restored_value(op.node, op.request)
    sent = [t for t in trace.transfers if t.value == value and not t.lost]
    left_us = min((t.start_us for t in sent if t.source == op.source), default=trace.end_us)
    places.write(value, {op.source: left_us}, sum(t.bits for t in sent if t.source == op.source))
    places.require(value, op.node, op.start_us)


def _energy(trace: Trace, scenario: Scenario) -> None:
    if scenario.power is None:
        return
    for account in trace.accounts:
        if account.battery_wh:
            low, high = min(account.battery_wh), max(account.battery_wh)
            _require(low >= 0 and high <= scenario.power.battery_wh, f"{account.name}: battery out of its bounds")
            stored = account.battery_wh[-1] - account.battery_wh[0]
            out = account.consumed_wh + account.curtailed_wh + account.battery_loss_wh + stored
            scale = max(account.harvested_wh, account.consumed_wh, 1.0)
            _require(abs(account.harvested_wh - out) <= 1e-9 * scale, f"{account.name}: energy does not balance")
