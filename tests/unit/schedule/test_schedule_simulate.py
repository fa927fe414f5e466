"""The simulation under its policies, on fleets small enough to know what must happen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from orbital_train.schedule.measures import measure
from orbital_train.schedule.ops.merging import Merge, Snapshot
from orbital_train.schedule.ops.nodes import Adopt, Step
from orbital_train.schedule.ops.run import Evaluate
from orbital_train.schedule.policies.fixed_period import FixedPeriod
from orbital_train.schedule.policies.link_aware import LinkAware
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace_file import read_trace, write_trace
from orbital_train.schedule.validate import validate
from tests.unit.schedule.scenarios import POWER, WORKLOAD, ops, rolling_night, scenario, sent

S = 1_000_000
POLICIES = {
    "keep": LinkAware(min_inner_steps=20),
    "replace": LinkAware(min_inner_steps=20, adopt="replace"),
    "blocking": FixedPeriod(inner_steps=25, site=0),
    "skipping": FixedPeriod(inner_steps=25, site=0, form="skipping", timeout_s=60.0),
    "local_then_average": FixedPeriod(inner_steps=None, site=0, name="local_then_average"),
}
every_policy = pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())


@every_policy
def test_the_budget_is_trained_exactly_and_merged_once(policy) -> None:
    fleet = scenario(4, dark=rolling_night(4, 20_000.0), budget_steps=1237)
    trace = simulate(fleet, policy)
    validate(trace, fleet)
    assert sum(op.n for op in ops(trace, Step)) == 1237
    if policy is not POLICIES["replace"]:  # it may throw away what was trained while a result was on its way
        assert trace.merged_steps == 1237
    assert trace.merged_steps == sum(c.steps for op in ops(trace, Merge) for c in op.contributions)
    assert trace.end_us < fleet.horizon_us


@every_policy
def test_nothing_unmerged_is_claimed_when_the_horizon_ends_first(policy) -> None:
    fleet = scenario(4, horizon_s=3000.0, dark=[(1, 1000.0, 2900.0)], budget_steps=10_000)
    trace = simulate(fleet, policy)
    validate(trace, fleet)
    trained = sum(op.n for op in ops(trace, Step))
    assert trace.end_us == 3000 * S
    assert 0 < trained < 4 * 300
    merged = sum(c.steps for op in ops(trace, Merge) for c in op.contributions)
    assert trace.merged_steps == merged <= trained
    assert (merged == 0) == (policy.name == "local_then_average")
    assert measure(trace).lost_steps == trained - merged


@every_policy
def test_a_trace_survives_writing_and_reading(policy, tmp_path: Path) -> None:
    trace = simulate(scenario(4, dark=rolling_night(4, 20_000.0), budget_steps=900), policy)
    write_trace(trace, tmp_path / "trace")
    again = read_trace(tmp_path / "trace")
    assert again == trace
    write_trace(again, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "trace").read_bytes()


def test_blocking_fixed_period_by_hand() -> None:
    """Two nodes, 1.6 s and 10 ms half a message, which they exchange twice; 3 steps of 10 s a round; the budget ends in
    round 2."""
    fleet = scenario(2, windows=[(0, 1, 0.0, 20_000.0)], budget_steps=10)
    trace = simulate(fleet, FixedPeriod(inner_steps=3))
    validate(trace, fleet)
    merges = ops(trace, Merge)
    assert [m.end_us for m in merges] == [33_220_000, 56_440_000]
    assert [[(c.node, c.steps, c.weight, c.staleness) for c in m.contributions] for m in merges] == [
        [(0, 3, 0.5, 0), (1, 3, 0.5, 0)],
        [(0, 2, 0.5, 0), (1, 2, 0.5, 0)],
    ]
    assert [(s.node, s.first, s.n, s.start_us) for s in ops(trace, Step)] == [
        (0, 0, 3, 0),
        (1, 0, 3, 0),
        (0, 3, 2, 33_220_000),
        (1, 3, 2, 33_220_000),
    ]
    assert [(a.node, a.version, a.end_us) for a in ops(trace, Adopt)] == [(0, 1, 33_220_000), (1, 1, 33_220_000)]
    assert trace.end_us == 56_440_000


def test_the_budget_cuts_steps_that_end_together_from_the_last_node_on() -> None:
    fleet = scenario(3, budget_steps=10)
    trace = simulate(fleet, FixedPeriod(inner_steps=None, site=0))
    assert [account.steps for account in trace.accounts] == [4, 3, 3]
    # the same where all batteries run out at that very moment
    power = replace(POWER, array_m2=0.0)
    seconds = (POWER.battery_wh - POWER.floor_wh) * 3600.0 * 0.95 / 800.0
    fleet = scenario(3, power=power, budget_steps=4, workload=replace(WORKLOAD, step_s=seconds / 2))
    trace = simulate(fleet, FixedPeriod(inner_steps=None, site=0))
    validate(trace, fleet)
    assert sum(account.steps for account in trace.accounts) == trace.merged_steps == 4


def test_the_model_is_validated_at_the_start_at_the_cadence_and_at_the_end() -> None:
    trace = simulate(scenario(4, budget_steps=450), FixedPeriod(inner_steps=10, site=0))
    found = [(e.versions, e.merged_steps, e.merged_tokens) for e in ops(trace, Evaluate)]
    assert found == [
        ((0,), 0, 0),
        ((3,), 120, 120_000),
        ((5,), 200, 200_000),
        ((8,), 320, 320_000),
        ((10,), 400, 400_000),
        ((12,), 450, 450_000),
    ]


@pytest.mark.parametrize("weights", ["tokens", "uniform"])
def test_a_node_that_trained_nothing_has_no_part_in_the_average(weights: Literal["tokens", "uniform"]) -> None:
    """The battery of node 2 is empty at once, and it sees no sun."""
    fleet = scenario(3, dark=[(2, 0.0001, 19_000.0)], power=replace(POWER, battery_wh=0.001), budget_steps=30)
    trace = simulate(fleet, FixedPeriod(inner_steps=None, site=0, weights=weights))
    (merge,) = ops(trace, Merge)
    assert [(c.node, c.steps, c.weight) for c in merge.contributions] == [(0, 15, 0.5), (1, 15, 0.5)]


def test_weights_by_tokens_follow_the_steps_and_uniform_ones_do_not() -> None:
    fleet = scenario(3, dark=[(2, 100.0, 19_000.0)], power=replace(POWER, battery_wh=20.0), budget_steps=90)
    found = {}
    for weights in ("tokens", "uniform"):
        policy = FixedPeriod(inner_steps=None, site=0, weights=weights)  # type: ignore[arg-type]
        merge = ops(simulate(fleet, policy), Merge)[0]
        found[weights] = [(c.steps, round(c.weight, 9)) for c in merge.contributions]
    steps = [row[0] for row in found["tokens"]]
    assert sum(steps) == 90
    assert steps[2] < steps[0]
    assert found["tokens"] == [(n, round(n / 90, 9)) for n in steps]
    assert found["uniform"] == [(n, round(1 / 3, 9)) for n in steps]


def test_learning_rate_progress_counts_the_fleets_merged_steps_and_the_nodes_own() -> None:
    trace = simulate(scenario(4, budget_steps=200), FixedPeriod(inner_steps=25, site=0))
    for step in ops(trace, Step):
        assert step.lr_progress_per_step == pytest.approx(4 / 200)
        assert step.lr_progress == pytest.approx(4 * step.first / 200)
        assert step.tokens == step.n * 1000


def test_a_relay_carries_messages_and_trains_nothing() -> None:
    windows = [(0, 2, 0.0, 20_000.0), (1, 2, 0.0, 20_000.0)]
    fleet = scenario(3, windows=windows, training_nodes=(0, 1), budget_steps=100)
    trace = simulate(fleet, FixedPeriod(inner_steps=10, site=0))
    validate(trace, fleet)
    assert {t.source for t in trace.transfers} == {0, 1, 2}
    assert {s.node for s in ops(trace, Step)} == {0, 1}
    account = trace.accounts[2]
    assert (account.trains, account.steps, account.training_us, account.battery_us) == (False, 0, 0, ())
    assert trace.merged_steps == 100


def test_skipping_merges_what_came_in_time_and_refuses_what_is_old() -> None:
    """Node 2 has no link for the first 600 s."""
    windows = [(0, 1, 0.0, 20_000.0), (1, 2, 600.0, 20_000.0)]
    fleet = scenario(3, windows=windows, budget_steps=400)
    trace = simulate(fleet, FixedPeriod(inner_steps=10, site=0, form="skipping", timeout_s=30.0))
    validate(trace, fleet)
    merges = ops(trace, Merge)
    assert merges[0].end_us == 130 * S  # the home's own came at 100 s
    assert [c.node for c in merges[0].contributions] == [0, 1]
    late, offered_again = (op for op in ops(trace, Snapshot) if op.node == 2 and op.start_us < 800 * S)
    assert (late.start_us, late.steps, offered_again.start_us, offered_again.steps) == (100 * S, 10, 760 * S, 73)
    merged = {c.snapshot for m in merges for c in m.contributions}
    assert late.value not in merged
    assert offered_again.value in merged
    assert trace.merged_steps == 400


def test_a_wake_up_for_an_earlier_round_closes_none() -> None:
    """Round 1 opens at 100 s and is whole at 103 s; its time-out at 250 s finds round 2 open, since 203 s."""
    fleet = scenario(3, windows=[(0, 1, 0.0, 20_000.0), (0, 2, 0.0, 105.0), (0, 2, 240.0, 20_000.0)], budget_steps=120)
    trace = simulate(fleet, FixedPeriod(inner_steps=10, site=0, form="skipping", timeout_s=150.0))
    validate(trace, fleet)
    first, second = ops(trace, Merge)[:2]
    assert (first.end_us, second.end_us) == (103_210_000, 344_630_000)
    assert [c.node for c in second.contributions] == [0, 1, 2]


def test_an_unreachable_node_stops_blocking_but_not_skipping() -> None:
    fleet = scenario(3, windows=[(0, 1, 0.0, 20_000.0)], budget_steps=300, horizon_s=20_000.0)
    blocked = simulate(fleet, FixedPeriod(inner_steps=20, site=0))
    assert (blocked.merged_steps, blocked.end_us) == (0, 20_000 * S)
    assert sum(a.steps for a in blocked.accounts) == 60
    skipping = simulate(fleet, FixedPeriod(inner_steps=20, site=0, form="skipping", timeout_s=10.0))
    lost = skipping.accounts[2].steps
    assert skipping.merged_steps == 300 - lost
    assert lost >= 80


def test_a_step_in_progress_ends_before_a_result_is_adopted() -> None:
    trace = simulate(scenario(4, budget_steps=800), LinkAware(min_inner_steps=20))
    adoptions = ops(trace, Adopt)
    assert adoptions
    for op in adoptions:
        assert op.start_us % (10 * S) == 0  # in constant sunlight nothing shifts the steps


def test_sending_draws_power_in_a_trace() -> None:
    fleet = scenario(2, windows=[(0, 1, 0.0, 20_000.0)], budget_steps=10)
    trace = simulate(fleet, FixedPeriod(inner_steps=3))
    assert [(t.source, t.end_us - t.start_us) for t in trace.transfers] == [(i, 1_600_000) for i in (0, 1) * 4]
    for account in trace.accounts:
        idle_wh, trained_wh = 100.0 * trace.end_us / 3.6e9, 700.0 * account.training_us / 3.6e9
        assert account.consumed_wh == pytest.approx(idle_wh + trained_wh + 4 * 50.0 * 1.6 / 3600.0, rel=1e-9)


def test_a_message_in_pieces_is_a_transfer_a_piece_and_draws_power_only_while_it_is_sent() -> None:
    """3.2 s a message: the first ends with its node's second window."""
    fleet = scenario(2, windows=[(0, 1, 0.0, 31.0), (0, 1, 35.0, 36.0), (0, 1, 40.0, 20_000.0)], budget_steps=10)
    trace = simulate(fleet, FixedPeriod(inner_steps=3, site=0, form="skipping", timeout_s=1000.0))
    validate(trace, fleet)
    first = next(op for op in ops(trace, Snapshot) if op.node == 1)
    assert [(t.start_us, t.end_us, t.bits) for t in sent(trace, first.value)] == [
        (30 * S, 31 * S, 10_000_000),
        (35 * S, 36 * S, 10_000_000),
        (40 * S, 41_200_000, 12_000_000),
    ]
    assert next(merge.end_us for merge in ops(trace, Merge)) == 41_210_000
    for account, messages in zip(trace.accounts, (1, 2), strict=True):
        idle_wh, trained_wh = 100.0 * trace.end_us / 3.6e9, 700.0 * account.training_us / 3.6e9
        assert account.consumed_wh == pytest.approx(idle_wh + trained_wh + messages * 50.0 * 3.2 / 3600.0, rel=1e-9)
