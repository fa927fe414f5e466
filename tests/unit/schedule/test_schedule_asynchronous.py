"""What asynchronous promises: merges of one, on arrival, answered to that node alone; local updates by pace."""

from __future__ import annotations

from dataclasses import replace

from orbital_train.schedule.faults import FaultPlan, Outage, SlowDown
from orbital_train.schedule.ops.merging import Merge, Snapshot
from orbital_train.schedule.ops.nodes import Adopt, Step
from orbital_train.schedule.policies.asynchronous import Asynchronous
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.validate import validate
from orbital_train.schedule.values import state_value
from tests.unit.schedule.scenarios import scenario

S = 1_000_000
STAR = [(i, 4, 0.0, 20_000.0) for i in range(4)]  # four nodes around site 4


def star(**given: object) -> Scenario:
    return scenario(**{"nodes": 5, "windows": STAR, "training_nodes": (0, 1, 2, 3), "budget_steps": 1200, **given})  # type: ignore[arg-type]


def flown(fleet: Scenario, policy: Asynchronous) -> Trace:
    trace = simulate(fleet, policy)
    validate(trace, fleet)
    return trace


def last_step_us(trace: Trace) -> int:
    return max(op.end_us for op in trace.of_kind(Step))


def test_every_contribution_is_merged_alone_when_it_arrives() -> None:
    trace = flown(star(), Asynchronous(inner_steps=20, home=(4,)))
    arrived_us = {t.value: t.arrival_us for t in trace.transfers if t.dest == 4}
    merges = list(trace.of_kind(Merge))
    assert len(merges) >= 60
    for merge in merges:
        (only,) = merge.contributions
        assert only.weight == 1.0
        assert merge.end_us == arrived_us[only.snapshot]
    assert trace.merged_steps == 1200


def test_the_result_goes_to_that_node_only_which_has_trained_on() -> None:
    trace = flown(star(), Asynchronous(inner_steps=20, home=(4,)))
    for merge in trace.of_kind(Merge):
        (only,) = merge.contributions
        sent_to = {t.dest for t in trace.transfers if t.value == state_value(0, merge.to_version)}
        assert sent_to <= {only.node}
    for op in trace.of_kind(Adopt):
        assert op.mode == "keep"
        assert op.since_snapshot is not None
    drain_us = trace.end_us - last_step_us(trace)
    assert all(account.waiting_us <= drain_us + 10 * S for account in trace.accounts[:4])


def test_contributions_are_stale_by_the_merges_of_the_others() -> None:
    """Three others contribute between two contributions of a node."""
    trace = flown(star(), Asynchronous(inner_steps=20, home=(4,)))
    early = [m.contributions[0].staleness for m in trace.of_kind(Merge) if m.end_us < last_step_us(trace)]
    assert early[:4] == [0, 1, 2, 3]
    assert set(early[4:]) == {3}


def test_slow_nodes_take_fewer_steps_once_paces_are_counted() -> None:
    """Node 2 takes three times as long for a step: a third of the steps of the others."""
    slow = FaultPlan(slow_downs=(SlowDown(node=2, start_us=0, end_us=20_000 * S, factor=3.0),))
    trace = flown(replace(star(budget_steps=6000), faults=slow), Asynchronous(inner_steps=30, home=(4,)))
    after = [op for op in trace.of_kind(Snapshot) if 8200 * S < op.end_us < last_step_us(trace)]
    assert {op.steps for op in after if op.node != 2} == {30}
    assert {op.steps for op in after if op.node == 2} == {10}
    before = [op for op in trace.of_kind(Snapshot) if op.end_us < 7200 * S]
    assert {op.steps for op in before} == {30}


def test_a_node_that_barely_trains_still_contributes_a_step_at_a_time() -> None:
    slow = FaultPlan(slow_downs=(SlowDown(node=2, start_us=0, end_us=20_000 * S, factor=30.0),))
    trace = flown(replace(star(budget_steps=5000), faults=slow), Asynchronous(inner_steps=10, home=(4,)))
    after = [op for op in trace.of_kind(Snapshot) if op.node == 2 and 11_000 * S < op.end_us < last_step_us(trace)]
    assert after
    assert {op.steps for op in after} == {1}


def test_each_node_sends_to_the_site_where_it_arrives_first() -> None:
    """Sites 2 and 3 are joined; node 0 sees site 2, node 1 site 3."""
    windows = [(0, 2, 0.0, 20_000.0), (1, 3, 0.0, 20_000.0), (2, 3, 0.0, 20_000.0)]
    fleet = scenario(4, windows=windows, training_nodes=(0, 1), budget_steps=600)
    trace = flown(fleet, Asynchronous(inner_steps=20, home=(2, 3)))
    assert trace.merged_steps == 600
    assert {(m.site, m.contributions[0].node) for m in trace.of_kind(Merge)} == {(2, 0), (3, 1)}


def test_a_site_merges_only_once_it_has_what_was_merged_elsewhere() -> None:
    """Both contributions arrive at the same moment; a version takes 3.2 s from site to site."""
    windows = [(0, 2, 0.0, 20_000.0), (1, 3, 0.0, 20_000.0), (2, 3, 0.0, 20_000.0)]
    fleet = scenario(4, windows=windows, training_nodes=(0, 1), budget_steps=600)
    first, second = list(flown(fleet, Asynchronous(inner_steps=20, home=(2, 3))).of_kind(Merge))[:2]
    assert (first.site, second.site) == (2, 3)
    assert second.end_us - first.end_us == 3_210_000


def test_contributions_on_their_way_to_a_site_that_fails_are_offered_to_another() -> None:
    windows = [(0, 2, 0.0, 20_000.0), (1, 3, 0.0, 20_000.0), (2, 3, 0.0, 20_000.0), (0, 3, 900.0, 20_000.0)]
    lost = FaultPlan(outages=(Outage(node=2, start_us=500 * S, end_us=None, loses_state=True, cause="radiation"),))
    fleet = scenario(4, windows=windows, training_nodes=(0, 1), budget_steps=600)
    trace = flown(replace(fleet, faults=lost), Asynchronous(inner_steps=20, home=(2, 3)))
    later = {(m.site, m.contributions[0].node) for m in trace.of_kind(Merge) if m.end_us > 1500 * S}
    assert later == {(3, 0), (3, 1)}
    assert trace.merged_steps == 600
