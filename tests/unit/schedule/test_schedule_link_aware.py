"""What the link-aware policy promises: no waiting for links, bounded staleness, and plans that come true."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from orbital_train.schedule.measures import measure
from orbital_train.schedule.ops.merging import Combine, Merge, Snapshot
from orbital_train.schedule.ops.nodes import Adopt, Step
from orbital_train.schedule.policies.fixed_period import FixedPeriod
from orbital_train.schedule.policies.link_aware import LinkAware
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.validate import validate
from tests.unit.schedule.scenarios import POWER, WORKLOAD, ops, ring, rolling_night, scenario, sent

S = 1_000_000
DAY_S = 30_000.0


def last_step_us(trace: Trace) -> int:
    return max(op.end_us for op in ops(trace, Step))


def test_it_merges_more_per_second_than_blocking_fixed_period_where_nights_roll() -> None:
    fleet = scenario(6, horizon_s=DAY_S, dark=rolling_night(6, DAY_S), power=replace(POWER, battery_wh=120.0))
    fleet = replace(fleet, budget_steps=8000)
    aware = simulate(fleet, LinkAware(min_inner_steps=20))
    fixed = simulate(fleet, FixedPeriod(inner_steps=20, site=0))
    for trace in (aware, fixed):
        validate(trace, fleet)
    aware_rate, fixed_rate = (t.merged_steps / t.end_us for t in (aware, fixed))
    assert aware.merged_steps == 8000
    assert aware_rate > 1.3 * fixed_rate
    assert measure(aware).goodput > 0.95


def test_no_node_waits_for_a_link_before_the_budget_is_trained() -> None:
    """Contacts of five minutes, every half hour."""
    windows = [
        (i, (i + 1) % 4, 1800.0 * k + 450.0 * i, 1800.0 * k + 450.0 * i + 300.0) for i in range(4) for k in range(15)
    ]
    fleet = scenario(4, horizon_s=DAY_S, windows=windows, dark=rolling_night(4, DAY_S), budget_steps=5000)
    trace = simulate(fleet, LinkAware(min_inner_steps=20))
    validate(trace, fleet)
    assert trace.merged_steps == 5000
    drain_us = trace.end_us - last_step_us(trace)
    for account in trace.accounts:
        assert account.waiting_us <= drain_us + fleet.workload.step_us


def test_steps_are_never_broken_off_but_for_want_of_energy() -> None:
    fleet = scenario(4, budget_steps=2000)
    trace = simulate(fleet, LinkAware(min_inner_steps=20))
    for node in range(4):
        mine = [op for op in ops(trace, Step) if op.node == node]
        assert all(a.end_us == b.start_us for a, b in itertools.pairwise(mine))


def test_a_contribution_leaves_before_a_long_gap_when_a_night_is_near() -> None:
    """Node 2 has a link until 1000 s and again from 9000 s on, and its battery stops it at about 920 s.

    Its 92 steps leave before the gap although it could not train the 200 of a full contribution.
    """
    windows = [(0, 1, 0.0, 20_000.0), (1, 2, 0.0, 1000.0), (1, 2, 9000.0, 20_000.0)]
    fleet = scenario(3, windows=windows, dark=[(2, 500.0, 8500.0)], budget_steps=3000)
    trace = simulate(fleet, LinkAware(min_inner_steps=200))
    validate(trace, fleet)
    paused_us = max(op.end_us for op in ops(trace, Step) if op.node == 2 and op.end_us < 2000 * S)
    first = next(op for op in ops(trace, Snapshot) if op.node == 2)
    assert paused_us <= first.start_us < 1000 * S
    assert first.steps == paused_us // (10 * S)
    assert first.steps < 200
    merge = next(op for op in ops(trace, Merge) if any(c.node == 2 for c in op.contributions))
    assert merge.end_us < 2500 * S


def test_outer_gradients_leave_as_late_as_the_deadline_allows() -> None:
    """What comes to a node goes on at once with what the node itself trained until then, and the last is merged."""
    fleet = scenario(4, budget_steps=2000)
    trace = simulate(fleet, LinkAware(min_inner_steps=20))
    for merge in ops(trace, Merge)[:-1]:
        snapshots = [op for op in ops(trace, Snapshot) if op.value in {c.snapshot for c in merge.contributions}]
        sums = [op for op in ops(trace, Combine) if op.value in merge.inputs]
        hops = [hop for op in (*snapshots, *sums) for hop in sent(trace, op.value)]
        leave_us = {hop.source: hop.start_us for hop in hops} | {merge.site: merge.end_us}
        assert {op.node: op.end_us for op in snapshots} == leave_us
        assert [hop.arrival_us for hop in hops] == [leave_us[hop.dest] for hop in hops]
        assert len(hops) == len(snapshots) - 1 == 3


def test_a_contribution_holds_the_fewest_steps_unless_energy_runs_out() -> None:
    fleet = scenario(4, budget_steps=2000)
    trace = simulate(fleet, LinkAware(min_inner_steps=30))
    for merge in ops(trace, Merge)[:-1]:
        assert all(c.steps >= 30 for c in merge.contributions)


def test_staleness_counts_the_versions_between_the_base_and_the_merge() -> None:
    windows = [(0, 1, 0.0, 20_000.0), (1, 2, 0.0, 100.0), (1, 2, 4000.0, 20_000.0)]
    fleet = scenario(3, windows=windows, budget_steps=3000)
    trace = simulate(fleet, LinkAware(min_inner_steps=20, drift_steps=40.0, max_staleness=100))
    validate(trace, fleet)
    version = dict.fromkeys(range(3), 0)
    base: dict[str, int] = {}
    for op in trace.ops:
        if isinstance(op, Adopt):
            version[op.node] = op.version
        elif isinstance(op, Snapshot):
            base[op.value] = version[op.node]
        elif isinstance(op, Merge):
            assert [c.staleness for c in op.contributions] == [
                op.from_version - base[c.snapshot] for c in op.contributions
            ]
    assert measure(trace).max_staleness is not None


@pytest.mark.parametrize(("max_staleness", "waits"), [(2, True), (100, False)])
def test_a_round_waits_for_an_over_stale_node_that_can_be_reached(max_staleness: int, waits: bool) -> None:
    """Node 2 is cut off from 100 s until 4000 s, so nothing may be made that it would be too stale for."""
    windows = [(0, 1, 0.0, 20_000.0), (1, 2, 0.0, 100.0), (1, 2, 4000.0, 20_000.0)]
    fleet = scenario(3, windows=windows, budget_steps=3000)
    trace = simulate(fleet, LinkAware(min_inner_steps=20, drift_steps=40.0, max_staleness=max_staleness))
    validate(trace, fleet)
    during = [m for m in ops(trace, Merge) if 200 * S < m.end_us < 3900 * S]
    found = measure(trace).max_staleness
    assert found is not None
    if waits:
        assert found <= max_staleness
        assert len(during) == max_staleness
    else:
        assert len(during) == 19  # one for every 20 steps


def test_merges_keep_to_the_pace_at_which_a_weak_link_carries_their_results() -> None:
    """A message takes 320 s over the link in the middle, and nodes 2 and 3 train nothing for two hours of night.

    Merges of the other two alone, every step or two, would take days to get over it.
    """
    windows = [(i, i + 1, 0.0, 20_000.0) for i in range(3)]
    fleet = scenario(4, windows=windows, dark=[(2, 500.0, 8500.0), (3, 500.0, 8500.0)], budget_steps=10**6)
    plan = fleet.contacts
    weak = np.minimum(plan.source, plan.dest) == 1
    fleet = replace(fleet, contacts=replace(plan, rate_bps=np.where(weak, plan.rate_bps / 100, plan.rate_bps)))
    trace = simulate(fleet, LinkAware(min_inner_steps=1, max_staleness=4))
    validate(trace, fleet)
    night = [m for m in ops(trace, Merge) if 2000 * S < m.end_us < 8500 * S]
    assert 6500 / 320 - 4 <= len(night) <= 6500 / 320 + 4
    assert measure(trace).max_staleness <= 4
    assert measure(trace).goodput > 0.97  # what is two messages away when the horizon comes is lost


def test_what_is_left_before_the_horizon_is_merged() -> None:
    """Of any length, as late as can be: two seconds before, in which what is late may be left out."""
    fleet = scenario(4, budget_steps=10**6)
    trace = simulate(fleet, LinkAware(min_inner_steps=300))
    validate(trace, fleet)
    *rounds, last = ops(trace, Merge)
    assert last.end_us == fleet.horizon_us - 2 * S
    assert all(0 < c.steps < 300 for c in last.contributions)
    assert all(c.steps >= 300 for merge in rounds for c in merge.contributions)
    assert len(last.contributions) == 4
    assert measure(trace).lost_steps <= 4 * 2


def test_a_node_that_can_never_be_reached_is_not_waited_for() -> None:
    fleet = scenario(3, windows=[(0, 1, 0.0, 20_000.0)], budget_steps=900)
    trace = simulate(fleet, LinkAware(min_inner_steps=20, max_staleness=1))
    validate(trace, fleet)
    lonely = trace.accounts[2].steps
    assert lonely == 300
    assert trace.merged_steps == 900 - lonely
    assert measure(trace).lost_steps == lonely


def test_a_site_merges_only_once_it_holds_the_newest_version() -> None:
    """A node that is cut off could merge its own progress with itself, and hold up what the others do after it."""
    windows = [(0, 1, 0.0, 20_000.0), (1, 2, 0.0, 100.0), (1, 2, 4000.0, 20_000.0)]
    trace = simulate(scenario(3, windows=windows, budget_steps=3000), LinkAware(min_inner_steps=20))
    made = {m.to_version: m for m in ops(trace, Merge)}
    for merge in made.values():
        if merge.from_version and made[merge.from_version].site != merge.site:
            there = [t for t in trace.transfers if t.value == f"result/0@{merge.from_version}" and t.dest == merge.site]
            assert [t.arrival_us <= merge.end_us for t in there] == [True]
    assert all(m.site != 2 for m in made.values() if m.end_us < 4000 * S)


def test_the_drift_term_bounds_the_length_of_rounds() -> None:
    fleet = scenario(4, budget_steps=1000)
    short, long = (simulate(fleet, LinkAware(min_inner_steps=1, drift_steps=d)) for d in (20.0, 2000.0))
    short_steps, long_steps = measure(short).mean_inner_steps, measure(long).mean_inner_steps
    assert short_steps is not None
    assert long_steps is not None
    assert short_steps <= long_steps


def test_replacing_adoption_waits_and_loses_nothing_that_it_sent() -> None:
    fleet = scenario(4, budget_steps=800)
    trace = simulate(fleet, LinkAware(min_inner_steps=20, adopt="replace"))
    validate(trace, fleet)
    assert {op.mode for op in ops(trace, Adopt)} == {"replace"}
    assert measure(trace).lost_steps == 0
    assert all(account.waiting_us > 0 for account in trace.accounts)


def test_keeping_adoption_names_the_snapshot_since_which_progress_is_kept() -> None:
    fleet = scenario(4, budget_steps=800)
    trace = simulate(fleet, LinkAware(min_inner_steps=20))
    contributed = {(c.node, m.to_version): c.snapshot for m in ops(trace, Merge) for c in m.contributions}
    for op in ops(trace, Adopt):
        assert op.mode == "keep"
        assert op.since_snapshot == contributed.get((op.node, op.version))


@pytest.mark.parametrize("budget_steps", range(95, 135, 3))
def test_the_drain_brings_everything_home_wherever_the_budget_ends(budget_steps: int) -> None:
    """Only one message fits through each contact of node 2: a plan that is given up must free its place."""
    windows = [(0, 1, 0.0, 20_000.0), *((1, 2, 260.0 * k, 260.0 * k + 4.0) for k in range(60))]
    fleet = scenario(3, windows=windows, budget_steps=budget_steps)
    trace = simulate(fleet, LinkAware(min_inner_steps=10))
    validate(trace, fleet)
    assert trace.merged_steps == budget_steps


def test_contributions_for_which_a_contact_has_no_room_are_left_out_of_the_round() -> None:
    """Nodes 1 to 4 reach the home through one contact of 8 s an hour, of which a message takes 3.2 s."""
    relay = [(1, 0, 3600.0 * k + 400.0, 3600.0 * k + 408.0) for k in range(8)]
    windows = [*relay, *((i, 1, 0.0, DAY_S) for i in (2, 3, 4))]
    fleet = scenario(5, horizon_s=DAY_S, windows=windows, budget_steps=4000)
    trace = simulate(fleet, LinkAware(min_inner_steps=10))
    validate(trace, fleet)
    assert trace.merged_steps == 4000


def test_a_ring_of_one_way_round_nights_keeps_every_node_in_the_rounds() -> None:
    fleet = scenario(5, horizon_s=DAY_S, windows=ring(5, DAY_S), dark=rolling_night(5, DAY_S), budget_steps=9000)
    trace = simulate(fleet, LinkAware(min_inner_steps=20))
    brought = dict.fromkeys(range(5), 0)
    for merge in ops(trace, Merge):
        for c in merge.contributions:
            brought[c.node] += c.steps
    assert sum(brought.values()) == 9000
    assert all(brought[i] == trace.accounts[i].steps for i in range(5))


def test_a_node_that_another_fragment_set_going_again_has_its_step_to_end_before_it_contributes() -> None:
    """A round is planned while a node waits; when the version that it waits for comes, it is within a step."""
    work = replace(WORKLOAD, fragments=3)
    windows = [(0, 1, 0.0, 20_000.0), (1, 2, 0.0, 20_000.0)]
    fleet = scenario(3, windows=windows, workload=work, power=None, rate_bps=3e6, budget_steps=300)
    trace = simulate(fleet, LinkAware(min_inner_steps=1, adopt="replace"))
    validate(trace, fleet)
    assert trace.end_us < 20_000 * S
