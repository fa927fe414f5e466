"""Checks of a trace against its scenario: what must hold whatever the policy."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from orbital_train.schedule.lineage import chain, kept_merges, parents_of
from orbital_train.schedule.ops.merging import Combine, GroupSnapshot, Merge, Snapshot
from orbital_train.schedule.ops.nodes import Adopt, Restore, Step, SyncStep, Upset
from orbital_train.schedule.ops.run import Deliver, Stage
from orbital_train.schedule.places import Places, require, require_restored
from orbital_train.schedule.places import TraceError as TraceError
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.transfers import Transfer
from orbital_train.schedule.validate_groups import check_groups
from orbital_train.schedule.validate_mixes import check_mixes
from orbital_train.schedule.values import (
    FIRST_MODEL,
    GLOBAL,
    data_value,
    final_value,
    global_value,
    local_value,
    own_values,
    part_of,
    part_value,
    parts_of,
    result_value,
    state_value,
)
from orbital_train.schedule.workload import Workload


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
    if trace.own:
        check_mixes(trace, scenario.workload)
    else:
        places = _merges(trace, scenario)
        if trace.grouped:
            check_groups(trace, scenario.workload)
        else:
            _adoptions(trace, scenario.workload, places)
    _staging(trace, scenario)
    _energy(trace, scenario)
    _upsets(trace)


def _dataflow(trace: Trace) -> None:
    written_us = {global_value(fragment, 0): 0 for fragment in range(trace.fragments)}
    written_us |= {local_value(node, 0): 0 for node in trace.fleet_nodes}
    if trace.own:
        at_rest = tuple((node, *([0] * trace.fragments)) for node in trace.fleet_nodes)
        written_us |= dict.fromkeys(own_values(at_rest), 0)
    for position, op in enumerate(trace.ops):
        require(op.id == position, f"operation {position} has id {op.id}")
        require(op.start_us <= op.end_us <= trace.end_us, f"operation {op.id} ends before it starts or too late")
        for value in op.reads:
            require(value in written_us, f"operation {op.id} reads {value} before it is written")
            require(written_us[value] <= op.start_us, f"operation {op.id} starts before {value} is there")
        for value in op.writes:
            require(value not in written_us, f"operation {op.id} writes {value} again")
            written_us[value] = op.end_us


def _steps(trace: Trace, scenario: Scenario) -> None:
    done: dict[int, int] = defaultdict(int)
    busy_until_us: dict[int, int] = defaultdict(int)
    slow = {s.factor for s in scenario.faults.slow_downs} | {1.0}
    lengths_us = {math.ceil(trace.step_us * factor) for factor in slow}
    for op in trace.of_kind(Step):
        whole = op.n > 0 and (op.end_us - op.start_us) in {op.n * length_us for length_us in lengths_us}
        require(whole, f"operation {op.id}: not whole steps")
        require(op.first == done[op.node], f"operation {op.id}: node {op.node} skips or repeats a step")
        require(op.start_us >= busy_until_us[op.node], f"operation {op.id}: two steps at once")
        done[op.node] += op.n
        busy_until_us[op.node] = op.end_us
    for node, steps in done.items():
        require(steps == trace.accounts[node].steps, f"node {node}: account and operations differ in steps")


def _transfers(trace: Trace, scenario: Scenario) -> None:
    plan, busy = scenario.contacts, defaultdict(list)
    sources, dests, starts_s, ends_s, rates_bps, owlts_s = (
        column.tolist() for column in (plan.source, plan.dest, plan.start_s, plan.end_s, plan.rate_bps, plan.owlt_s)
    )
    for k, t in enumerate(trace.transfers):
        c, rate_bps = t.contact, rates_bps[t.contact]
        require((t.source, t.dest) == (sources[c], dests[c]), f"transfer {k}: not this contact's ends")
        inside = starts_s[c] * 1e6 <= t.start_us and t.end_us <= ends_s[c] * 1e6
        require(inside, f"transfer {k}: outside contact {c}")
        require(t.start_us <= trace.end_us, f"transfer {k}: after the end of the run")
        require(t.owlt_us >= owlts_s[c] * 1e6, f"transfer {k}: faster than light")
        volume_bits = math.inf if math.isinf(rate_bps) else rate_bps * (t.end_us - t.start_us) / 1e6
        require(t.bits <= volume_bits * (1 + 1e-12), f"transfer {k}: more bits than the contact carries")
        busy[c].append((t.start_us, t.end_us))
    for c, intervals in busy.items():
        intervals.sort()
        overlap = any(a[1] > b[0] for a, b in itertools.pairwise(intervals) if a[0] < a[1])
        require(not overlap or math.isinf(rates_bps[c]), f"contact {c}: two transfers at once")


def _terminals(scenario: Scenario) -> None:
    plan = scenario.contacts
    nodes = np.concatenate([plan.source, plan.dest])
    terminals = np.concatenate([plan.source_terminal, plan.dest_terminal])
    acquire_start_s, end_s, link_id = (np.tile(c, 2) for c in (plan.acquire_start_s, plan.end_s, plan.link_id))
    order = np.lexsort((acquire_start_s, terminals, nodes))
    same = (np.diff(nodes[order]) == 0) & (np.diff(terminals[order]) == 0)
    same &= np.diff(link_id[order]) != 0
    overlap = same & (acquire_start_s[order][1:] < end_s[order][:-1] - 1e-9)
    require(not overlap.any(), "a terminal is used twice at once")


def _merges(trace: Trace, scenario: Scenario) -> Places:
    """What is merged arrived where it is merged, by way of sums or not, and counts once and for what it is."""
    workload, void = scenario.workload, {value for lost in scenario.faults.worker_losses for value in lost.void}
    snapshots: dict[str, Snapshot | GroupSnapshot] = {}
    holds: dict[str, dict[str, float]] = {}  # snapshots in a value, with their weights
    merged: set[str] = set()
    places, kept, merged_steps = Places(trace), kept_merges(trace), 0
    parents = parents_of(trace)
    for op in trace.ops:
        if isinstance(op, Snapshot | GroupSnapshot):
            snapshots[op.value], holds[op.value] = op, {op.value: 1.0}
            places.write(op.value, {op.node: op.end_us}, workload.fragment_bits)
        elif isinstance(op, Combine | Merge):
            for value in op.inputs:
                require(value in holds, f"operation {op.id} adds {value}, which is no outer gradient")
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
                require(not again, f"operation {op.id} merges {', '.join(sorted(again))} again")
                merged |= {c.snapshot for c in op.contributions}
                merged_steps += sum(c.steps for c in op.contributions if c.snapshot not in void and op.scope == GLOBAL)
    if not any(True for _ in trace.of_kind(SyncStep)):
        require(merged_steps // trace.fragments == trace.merged_steps, "merged steps do not add up")
    return places


def _combined(op: Combine, holds: dict[str, dict[str, float]]) -> dict[str, float]:
    require({part_of(value) for value in op.inputs if "#" in value} <= {op.part}, f"operation {op.id} mixes parts")
    return _added_up(op, zip(op.inputs, op.weights, strict=True), holds)


def _merged(op: Merge, holds: dict[str, dict[str, float]]) -> Iterator[dict[str, float]]:
    """What is in each part of a merge."""
    parts = parts_of(op.inputs)
    require(parts == [(c, len(parts)) for c in range(len(parts))], f"operation {op.id} merges not all parts")
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
        require(not twice, f"operation {op.id} adds an outer gradient twice")
        whole |= {snapshot: weight * inner for snapshot, inner in holds[value].items()}
    return whole


def _contributions(
    merge: Merge,
    snapshots: dict[str, Snapshot | GroupSnapshot],
    whole: dict[str, float],
    parents: dict[tuple[int, int], int],
    void: set[str],
) -> None:
    """They are what the inputs of the merge hold; those that are void have no weight."""
    require(0.0 < merge.share <= 1.0, f"operation {merge.id} is {merge.share:g} of a step")
    total = sum(c.weight for c in merge.contributions)
    steps = sum(c.steps for c in merge.contributions if c.snapshot not in void)
    require(abs(total - (1 if steps else 0)) < 1e-9, f"operation {merge.id}: weights add up to {total}")
    require(
        whole.keys() <= {c.snapshot for c in merge.contributions},
        f"operation {merge.id}: an input is not accounted for",
    )
    for c in merge.contributions:
        where = f"operation {merge.id}, {c.snapshot}"
        require(c.snapshot in snapshots, f"{where}: no outer gradient")
        snapshot = snapshots[c.snapshot]
        require((c.node, c.steps) == (snapshot.node, snapshot.steps), f"{where}: not the node or steps of its snapshot")
        counts = c.steps > 0 and c.snapshot not in void
        require((c.weight > 0) == counts, f"{where}: weight {c.weight} for {c.steps} steps")
        require(abs(whole.get(c.snapshot, 0.0) - c.weight) < 1e-9, f"{where}: not the weight that it enters with")
        between = chain(parents, merge.fragment, merge.from_version, snapshot.base_version)
        require(len(between) == c.staleness, f"{where}: staleness")


def _adoptions(trace: Trace, workload: Workload, places: Places) -> None:
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
            require(op.version > last, f"{where} adopts version {op.version} again or goes back")
            require(op.base_version == last, f"{where} has version {last}")
            if op.codec is None:
                require_all(op.node, op.fragment, op.version, op.start_us)
            else:
                places.require(state_value(op.fragment, op.version), op.node, op.start_us)
            adopted[op.node, op.fragment] = op.version
        elif isinstance(op, Restore) and op.source != op.node:
            require_restored(trace, op, places)
            for fragment, version in enumerate(op.versions):
                adopted[op.node, fragment] = has[op.node, fragment] = version


def _staging(trace: Trace, scenario: Scenario) -> None:
    """Who begins has been sent model and data; a model that is said to have come down has."""
    spec, places = scenario.staging, Places(trace)
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
        require(not late, f"operation {op.id}: node {op.node} trains before it has model and data")
    for op in trace.of_kind(Deliver):
        places.write(final_value(op.versions), {op.source: op.start_us}, trace.state_bits)
        places.require(final_value(op.versions), op.site, op.end_us)


def _energy(trace: Trace, scenario: Scenario) -> None:
    if scenario.power is None:
        return
    for account in trace.accounts:
        if account.battery_wh:
            low, high = min(account.battery_wh), max(account.battery_wh)
            require(low >= 0 and high <= scenario.power.battery_wh, f"{account.name}: battery out of its bounds")
            stored = account.battery_wh[-1] - account.battery_wh[0]
            out = account.consumed_wh + account.curtailed_wh + account.battery_loss_wh + stored
            scale = max(account.harvested_wh, account.consumed_wh, 1.0)
            require(abs(account.harvested_wh - out) <= 1e-9 * scale, f"{account.name}: energy does not balance")


def _upsets(trace: Trace) -> None:
    """A message of which a bit was flipped does not get through."""
    sent: dict[tuple[int, str], list[Transfer]] = defaultdict(list)
    for t in trace.transfers:
        sent[t.source, t.value.partition("#")[0]].append(t)
    for op in trace.of_kind(Upset):
        if op.target == "message" and op.value:
            under_way = [t for t in sent[op.node, op.value.partition("#")[0]] if t.start_us <= op.end_us < t.arrival_us]
            require(any(t.lost for t in under_way), f"operation {op.id}: {op.value} gets through with a flipped bit")
