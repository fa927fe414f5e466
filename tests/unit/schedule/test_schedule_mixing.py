"""Exchanges in the simulation, followed by hand: what is sent when, who mixes what, and what counts as merged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orbital_train.schedule.faults import FaultPlan, LinkOutage, Outage
from orbital_train.schedule.measures import measure
from orbital_train.schedule.ops.merging import Mix, Snapshot
from orbital_train.schedule.ops.nodes import Adopt, Restore, Step
from orbital_train.schedule.ops.run import Evaluate
from orbital_train.schedule.policies.gossip import Gossip
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.trace_file import read_trace, write_trace
from orbital_train.schedule.validate import validate
from tests.unit.schedule.scenarios import WORKLOAD, Window, scenario

S = 1_000_000


def pair(budget_steps: int = 8, *faults: Outage | LinkOutage, windows: list[Window] | None = None) -> Scenario:
    """Two nodes: 10 s a step, 4.8 s a message of 48 Mbit, and 10 ms of light time."""
    fleet = scenario(2, windows=windows or [(0, 1, 0.0, 20_000.0)], power=None, budget_steps=budget_steps)
    plan = FaultPlan()
    for fault in faults:
        plan = plan.with_fault(fault)
    return replace(fleet, faults=plan)


def flown(fleet: Scenario, inner_steps: int = 3) -> Trace:
    trace = simulate(fleet, Gossip(inner_steps=inner_steps))
    validate(trace, fleet)
    return trace


def test_both_send_outer_gradient_and_slow_weights_train_on_and_mix() -> None:
    trace = flown(pair())
    first = trace.transfers[0]
    assert first.bits == WORKLOAD.fragment_offer_bits == 32_000_000 + 16_000_000
    assert (first.start_us, first.arrival_us, first.value) == (30 * S, 34 * S + 810_000, "offer/0/0@1")
    a, b = list(trace.of_kind(Mix))[:2]
    assert (a.node, b.node, a.end_us, b.end_us) == (0, 1, 40 * S, 40 * S)  # at the end of the step in progress
    assert (a.from_version, a.to_version, a.slow_versions, a.codec) == (0, 1, (0, 0), "bf16")
    assert [(c.node, c.steps, c.weight) for c in b.contributions] == [(1, 3, 0.5), (0, 3, 0.5)]
    adopted = next(trace.of_kind(Adopt))
    assert (adopted.scope, adopted.version, adopted.mode) == ("own/0", 1, "keep")
    assert adopted.since_snapshot == a.contributions[0].snapshot == "snap/0/0@1"
    assert adopted.reads == ("local/0@2", "own/0/0@1", "snap/0/0@1")


def test_what_was_trained_meanwhile_is_in_the_next_outer_gradient() -> None:
    trace = flown(pair(14))
    first, second = (s for s in list(trace.of_kind(Snapshot))[:4] if s.node == 0)
    assert (first.end_us, first.steps, first.base_version) == (30 * S, 3, 0)
    assert (second.end_us, second.steps, second.base_version) == (60 * S, 3, 1)


def test_weights_are_those_of_the_steps_or_all_the_same() -> None:
    dark = [(1, 25.0, 45.0)]
    fleet = replace(pair(), light=scenario(2, dark=dark).light)
    late = pair(20, Outage(node=1, start_us=1, end_us=20 * S, loses_state=False, cause="listed"))
    trace = flown(replace(late, light=fleet.light))
    mix = next(trace.of_kind(Mix))
    own, other = mix.contributions
    assert own.steps != other.steps
    assert own.weight == pytest.approx(own.steps / (own.steps + other.steps))
    uniform = simulate(late, Gossip(inner_steps=3, weights="uniform"))
    assert [c.weight for c in next(uniform.of_kind(Mix)).contributions] == [0.5, 0.5]


def test_steps_count_once_when_another_node_takes_them_in() -> None:
    trace = flown(pair(9))
    assert trace.merged_steps == 9
    last = list(trace.of_kind(Evaluate))[-1]
    assert (last.scope, last.versions, last.merged_steps) == ("mean", (), 9)
    assert last.own == trace.own == ((0, 2), (1, 2))
    assert last.reads == ("own/0/0@2", "own/1/0@2")
    measured = measure(trace)
    assert (measured.merges, measured.mean_contributors, measured.mean_inner_steps) == (4, 1.0, 9 / 4)


def test_where_one_message_is_lost_the_other_node_mixes_all_the_same() -> None:
    # Node 1 fails after it has sent, and before it has heard the last bit.
    outage = Outage(node=1, start_us=34_805_000, end_us=36 * S, loses_state=False, cause="listed")
    trace = flown(pair(16, outage))
    lost = [t for t in trace.transfers if t.lost]
    assert [(t.source, t.dest) for t in lost] == [(0, 1)]
    first = next(trace.of_kind(Mix))
    assert (first.node, first.end_us) == (0, 40 * S)
    again = next(s for s in trace.of_kind(Snapshot) if s.node == 1 and s.start_us > 36 * S)
    assert again.base_version == 0  # it holds the steps again that node 0 has
    assert again.steps > 3
    assert trace.merged_steps == 16


def test_a_partner_that_is_down_is_given_up_when_its_message_has_not_come() -> None:
    outage = Outage(node=1, start_us=29 * S, end_us=2_000 * S, loses_state=False, cause="listed")
    trace = flown(pair(400, outage))
    assert trace.accounts[0].waiting_us < 30 * S  # only at the end
    assert all(mix.start_us > 2_000 * S for mix in trace.of_kind(Mix))
    assert trace.merged_steps == 398  # two steps were in no store


def test_a_node_that_has_lost_its_state_takes_the_slow_weights_of_another() -> None:
    outage = Outage(node=1, start_us=100 * S, end_us=120 * S, loses_state=True, cause="listed")
    trace = flown(pair(100, outage))
    restore = next(trace.of_kind(Restore))
    assert (restore.source, restore.codec) == (0, "bf16")
    before = max((m.to_version for m in trace.of_kind(Mix) if m.node == 1 and m.end_us < 100 * S), default=0)
    assert restore.own_versions == (before + 1,)
    assert restore.reads == (f"own/0/0@{restore.versions[0]}",)
    assert restore.writes[1] == f"own/1/0@{before + 1}"
    after = next(m for m in trace.of_kind(Mix) if m.node == 1 and m.start_us > restore.end_us)
    assert after.from_version == before + 1
    assert 0 < trace.budget_steps - trace.merged_steps <= 8  # what nobody had taken in is lost


def test_progress_is_the_mean_of_what_both_know() -> None:
    # Node 1 joins late and has trained less.
    outage = Outage(node=1, start_us=0, end_us=300 * S, loses_state=False, cause="late")
    fleet = pair(400, outage)
    trace = flown(fleet, 40)
    mix = next(m for m in trace.of_kind(Mix) if m.node == 0)
    own, other = (c.steps for c in mix.contributions)
    assert own > other
    after = next(op for op in trace.of_kind(Step) if op.node == 0 and op.start_us >= mix.end_us)
    since = after.first - own
    assert after.lr_progress == pytest.approx((own + other + 2 * since) / 400)


def test_a_message_goes_by_way_of_relays_where_nodes_never_see_each_other() -> None:
    windows = [(0, 2, 0.0, 20_000.0), (1, 2, 300.0, 20_000.0)]
    fleet = replace(scenario(3, windows=windows, power=None, budget_steps=300), training_nodes=(0, 1))
    trace = flown(fleet)
    assert trace.merged_steps == 300
    assert {(t.source, t.dest) for t in trace.transfers} == {(0, 2), (2, 1), (1, 2), (2, 0)}
    first = next(trace.of_kind(Mix))
    assert first.end_us >= 300 * S


def test_fragments_are_mixed_one_by_one_and_in_turn() -> None:
    fleet = replace(pair(200), workload=replace(WORKLOAD, fragments=3))
    trace = flown(fleet, 9)
    taken = [(s.fragment, s.end_us // S) for s in trace.of_kind(Snapshot) if s.node == 0][:4]
    assert taken == [(0, 30), (1, 60), (2, 90), (0, 120)]
    assert trace.transfers[0].bits == 16_000_001  # rounded up, twice
    assert trace.merged_steps == 200


def test_a_trace_with_mixes_is_read_as_it_was_written(tmp_path: Path) -> None:
    trace = flown(pair(40))
    write_trace(trace, tmp_path / "trace")
    assert read_trace(tmp_path / "trace") == trace
