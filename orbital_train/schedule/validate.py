"""Checks of a trace against its scenario: what must hold whatever the policy."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import numpy as np

from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.trace import (
    Adopt,
    Contribution,
    Merge,
    Snapshot,
    Step,
    SyncStep,
    Trace,
    global_value,
    local_value,
)

FRAGMENT = 0


class TraceError(AssertionError):
    """A trace breaks one of its invariants: a defect of the simulation, never the user's."""


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise TraceError(what)


def validate(trace: Trace, scenario: Scenario) -> None:
    """Raise :class:`TraceError` unless the trace is sound.

    Single assignment; reads before writes by id and in time; whole steps of the right length, in order, in which no
    node does two at once; transfers inside contacts, within volume, one at a time a contact; contributions that arrived
    before their merge, and results before they are adopted, hop by hop and whole; merge weights that add up to 1;
    battery energy within its bounds; terminals used once at a time.
    """
    _dataflow(trace)
    _steps(trace)
    _transfers(trace, scenario)
    _terminals(scenario)
    _merges(trace)
    _adoptions(trace)
    _energy(trace, scenario)


def _dataflow(trace: Trace) -> None:
    written_us = {global_value(FRAGMENT, 0): 0}
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


def _steps(trace: Trace) -> None:
    done: dict[int, int] = defaultdict(int)
    busy_until_us: dict[int, int] = defaultdict(int)
    for op in trace.of_kind(Step):
        _require(
            op.n > 0 and op.end_us - op.start_us == op.n * trace.step_us,
            f"operation {op.id}: not whole steps",
        )
        _require(op.first == done[op.node], f"operation {op.id}: node {op.node} skips or repeats a step")
        _require(op.start_us >= busy_until_us[op.node], f"operation {op.id}: two steps at once")
        done[op.node] += op.n
        busy_until_us[op.node] = op.end_us
    for node, steps in done.items():
        _require(steps == trace.accounts[node].steps, f"node {node}: account and operations differ in steps")


def _transfers(trace: Trace, scenario: Scenario) -> None:
    plan, busy = scenario.contacts, defaultdict(list)
    for k, t in enumerate(trace.transfers):
        c = t.contact
        rate_bps = float(plan.rate_bps[c])
        _require(
            (t.source, t.dest) == (int(plan.source[c]), int(plan.dest[c])),
            f"transfer {k}: not this contact's ends",
        )
        inside = plan.start_s[c] * 1e6 <= t.start_us and t.end_us <= plan.end_s[c] * 1e6
        _require(bool(inside), f"transfer {k}: outside contact {c}")
        _require(t.start_us <= trace.end_us, f"transfer {k}: after the end of the run")
        _require(t.owlt_us >= plan.owlt_s[c] * 1e6, f"transfer {k}: faster than light")
        volume_bits = math.inf if math.isinf(rate_bps) else rate_bps * (t.end_us - t.start_us) / 1e6
        _require(t.bits <= volume_bits * (1 + 1e-12), f"transfer {k}: more bits than the contact carries")
        busy[c].append((t.start_us, t.end_us))
    for c, intervals in busy.items():
        intervals.sort()
        overlap = any(a[1] > b[0] for a, b in itertools.pairwise(intervals) if a[0] < a[1])
        _require(not overlap or bool(np.isinf(plan.rate_bps[c])), f"contact {c}: two transfers at once")


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


def _merges(trace: Trace) -> None:
    snapshots = {op.writes[0]: op for op in trace.of_kind(Snapshot)}
    used: set[str] = set()
    merged_steps = 0
    for merge in trace.of_kind(Merge):
        total = sum(c.weight for c in merge.contributions)
        steps = sum(c.steps for c in merge.contributions)
        _require(abs(total - (1 if steps else 0)) < 1e-9, f"operation {merge.id}: weights add up to {total}")
        for c in merge.contributions:
            _require(c.snapshot in snapshots, f"operation {merge.id} merges {c.snapshot}, which is no outer gradient")
            _require(c.snapshot not in used, f"operation {merge.id} merges {c.snapshot} again")
            used.add(c.snapshot)
            _contribution(trace, merge, c, snapshots[c.snapshot])
        merged_steps += steps
    if not any(True for _ in trace.of_kind(SyncStep)):
        _require(merged_steps == trace.merged_steps, "merged steps do not add up")


def _contribution(trace: Trace, merge: Merge, c: Contribution, snapshot: Snapshot) -> None:
    where = f"operation {merge.id}, {c.snapshot}"
    _require((c.node, c.steps) == (snapshot.node, snapshot.steps), f"{where}: not the node or steps of its snapshot")
    _require((c.weight > 0) == (c.steps > 0), f"{where}: weight {c.weight} for {c.steps} steps")
    _require(snapshot.base_version + c.staleness == merge.from_version, f"{where}: staleness")
    _journey(trace, snapshot.transfers, c.snapshot, (snapshot.node, snapshot.end_us), (merge.site, merge.end_us))


def _adoptions(trace: Trace) -> None:
    made = {op.to_version: op for op in trace.of_kind(Merge)}
    adopted: dict[int, int] = defaultdict(int)
    for op in trace.of_kind(Adopt):
        newer = range(adopted[op.node] + 1, op.version + 1)
        _require(len(newer) > 0, f"operation {op.id}: node {op.node} adopts version {op.version} again or goes back")
        for version in newer:
            value = f"result/{op.fragment}@{version}"
            hops = tuple(k for k in op.transfers if trace.transfers[k].value == value)
            merge = made[version]
            _journey(trace, hops, value, (merge.site, merge.end_us), (op.node, op.start_us))
        adopted[op.node] = op.version


def _journey(
    trace: Trace, transfers: tuple[int, ...], value: str, leaves: tuple[int, int], arrives: tuple[int, int]
) -> None:
    """A value travels from a (node, not before) to a (node, not after), hop by hop; every hop may be in pieces."""
    here, here_us = leaves
    pieces = (trace.transfers[k] for k in transfers)
    for (source, dest), group in itertools.groupby(pieces, key=lambda t: (t.source, t.dest)):
        hop = list(group)
        _require(all(t.value == value for t in hop), f"{value}: another value on its way")
        joined = source == here and all(t.start_us >= here_us for t in hop)
        _require(joined, f"{value}: its hops do not join")
        _require(sum(t.bits for t in hop) == trace.message_bits, f"{value}: {source} to {dest} carry only a part of it")
        here, here_us = dest, max(t.arrival_us for t in hop)
    _require(here == arrives[0] and here_us <= arrives[1], f"{value} is not at node {arrives[0]} in time")


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
