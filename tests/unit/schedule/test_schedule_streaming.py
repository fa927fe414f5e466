"""What streaming promises: a fragment a turn, nobody waits, results blended in tau steps after their snapshots."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import replace

import pytest

from orbital_train.schedule.faults import FaultPlan, Outage
from orbital_train.schedule.measures import measure
from orbital_train.schedule.ops.merging import Merge, Snapshot
from orbital_train.schedule.ops.nodes import Adopt, Step
from orbital_train.schedule.policies.streaming import Streaming
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.validate import validate
from tests.unit.schedule.scenarios import WORKLOAD, rolling_night, scenario

S = 1_000_000
STREAMING = Streaming(inner_steps=24, site=0, timeout_s=60.0)


def fragmented(fragments: int, **given: object) -> Scenario:
    workload = replace(WORKLOAD, fragments=fragments)
    return scenario(**{"workload": workload, "budget_steps": 1200, **given})  # type: ignore[arg-type]


def flown(fleet: Scenario, policy: Streaming = STREAMING) -> Trace:
    trace = simulate(fleet, policy)
    validate(trace, fleet)
    return trace


def steps_trained(trace: Trace, node: int, by_us: int) -> int:
    return sum(op.n for op in trace.of_kind(Step) if op.node == node and op.end_us <= by_us)


def last_step_us(trace: Trace) -> int:
    return max(op.end_us for op in trace.of_kind(Step))


def test_each_node_sends_the_fragments_in_turn_and_each_of_them_every_h_steps() -> None:
    trace = flown(fragmented(4))
    for node in range(4):
        mine = [op for op in trace.of_kind(Snapshot) if op.node == node and op.end_us < last_step_us(trace)]
        assert [op.fragment for op in mine] == [k % 4 for k in range(len(mine))]
        assert {b.end_us - a.end_us for a, b in itertools.pairwise(mine)} == {6 * 10 * S}
        assert [op.steps for op in mine[4:]] == [24] * len(mine[4:])


def test_a_message_is_as_large_as_its_fragment() -> None:
    for fragments, bits in ((1, 32_000_000), (4, 8_000_000)):
        hops: dict[object, int] = defaultdict(int)
        for t in flown(fragmented(fragments)).transfers:
            hops[t.value, t.source, t.dest] += t.bits
        assert set(hops.values()) == {bits}


def test_nobody_waits_and_all_is_merged() -> None:
    trace = flown(fragmented(4, dark=rolling_night(4, 20_000.0)))
    assert trace.merged_steps == 1200
    drain_us = trace.end_us - last_step_us(trace)
    assert all(account.waiting_us <= drain_us + 10 * S for account in trace.accounts)


@pytest.mark.parametrize("tau", [0, 1, 7])
def test_a_result_is_blended_in_tau_steps_after_the_snapshot(tau: int) -> None:
    """It takes two messages to come: less than one step."""
    trace = flown(fragmented(4), replace(STREAMING, overlap_steps=tau, alpha=0.25))
    snapshots = {op.value: op for op in trace.of_kind(Snapshot)}
    late = [op for op in trace.of_kind(Adopt) if op.end_us < last_step_us(trace)]
    assert late
    for op in late:
        assert (op.mode, op.alpha) == ("blend", 0.25)
        taken_us = snapshots[op.since_snapshot].end_us
        since = steps_trained(trace, op.node, op.end_us) - steps_trained(trace, op.node, taken_us)
        assert since == max(tau, 1)


def test_a_result_that_comes_late_is_blended_in_when_it_comes() -> None:
    """Over two hops of 32 s."""
    trace = flown(fragmented(1, nodes=3, rate_bps=1e6), replace(STREAMING, overlap_steps=2))
    merge = next(trace.of_kind(Merge))
    adopted = {op.node: op.end_us for op in trace.of_kind(Adopt) if op.version == merge.to_version}
    heard_us = {t.dest: t.arrival_us for t in trace.transfers if t.value == f"result/0@{merge.to_version}"}
    for node, at_us in heard_us.items():
        assert at_us <= adopted[node] < at_us + 10 * S


def test_who_holds_takes_what_has_come_at_once() -> None:
    """The budget is trained before tau steps are: then nothing is waited for."""
    trace = flown(fragmented(1, budget_steps=100), replace(STREAMING, overlap_steps=1000))
    assert trace.merged_steps == 100
    assert {op.end_us > last_step_us(trace) - 1 for op in trace.of_kind(Adopt)} == {True}


def test_in_a_gap_the_snapshot_is_taken_at_the_last_turn_before_the_next_contact() -> None:
    windows = [(0, 1, 0.0, 100.0), (0, 1, 1000.0, 1200.0), (0, 1, 3000.0, 20_000.0)]
    trace = flown(fragmented(2, nodes=2, windows=windows, budget_steps=1000), replace(STREAMING, inner_steps=8))
    carried = defaultdict(list)
    for t in trace.transfers:
        carried[t.value].append(t.start_us)
    for op in trace.of_kind(Snapshot):
        if op.node == 1 and op.end_us < last_step_us(trace):
            assert min(carried[op.value]) - op.end_us < 4 * 10 * S, "a turn of four steps"
    early = [op for op in trace.of_kind(Snapshot) if op.node == 1 and 100 * S < op.end_us < 960 * S]
    assert not early


def test_what_was_not_sent_for_longest_goes_first() -> None:
    """Of the two fragments, node 1 could send but one before the gap."""
    windows = [(0, 1, 0.0, 60.0), (0, 1, 1000.0, 20_000.0)]
    trace = flown(fragmented(2, nodes=2, windows=windows), replace(STREAMING, inner_steps=8))
    mine = [op.fragment for op in trace.of_kind(Snapshot) if op.node == 1]
    assert mine[:3] == [0, 1, 0]


def test_a_merge_waits_for_all_or_for_its_time_out() -> None:
    dark = [(3, 100.0, 8000.0)]
    trace = flown(fragmented(1, dark=dark, horizon_s=9000.0), STREAMING)
    merges = list(trace.of_kind(Merge))
    contributors = [len(m.contributions) for m in merges]
    assert contributors[0] == 4
    assert 3 in contributors, "node 3 is in the dark"
    alone = next(m for m in merges if len(m.contributions) == 3)
    snapshots = {op.value: op.end_us for op in trace.of_kind(Snapshot)}
    waited_us = alone.end_us - min(snapshots[c.snapshot] for c in alone.contributions)
    assert 60 * S <= waited_us < 70 * S


def test_fragments_that_the_site_alone_holds_go_back_as_parameters() -> None:
    fleet = fragmented(3, windows=[(i, 4, 0.0, 20_000.0) for i in range(4)], nodes=5, training_nodes=(0, 1, 2, 3))
    trace = flown(fleet, replace(STREAMING, site=4, home=(4,)))
    assert trace.merged_steps == 1200
    assert {op.codec for op in trace.of_kind(Adopt)} == {"bf16"}
    assert {m.site for m in trace.of_kind(Merge)} == {4}
    assert measure(trace).goodput > 0.95


def test_while_the_site_is_down_another_node_takes_its_place() -> None:
    lost = FaultPlan(outages=(Outage(node=0, start_us=500 * S, end_us=None, loses_state=True, cause="radiation"),))
    fleet = replace(fragmented(2), faults=lost)
    trace = flown(fleet)
    assert {m.site for m in trace.of_kind(Merge)} == {0, 1}
    assert trace.merged_steps > 1100
