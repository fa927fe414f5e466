from dataclasses import replace

import numpy as np
import pytest

from orbital_train.report.activity import (
    activities,
    complement,
    coverage,
    fleet_shares,
    joined,
    kinds,
    orbit_period_s,
    sunlit_spans,
)
from orbital_train.report.runs import Comparison
from orbital_train.schedule.faults import NO_FAULTS, FaultPlan, Outage
from orbital_train.schedule.policies.link_aware import LinkAware
from orbital_train.schedule.simulate import simulate
from tests.unit.report import synthetic
from tests.unit.schedule.scenarios import rolling_night, scenario


def test_spans_closer_than_the_gap_are_joined():
    spans = np.array([[0.0, 10.0], [10.0, 20.0], [25.0, 30.0], [90.0, 95.0]])
    assert joined(spans, 10.0).tolist() == [[0.0, 30.0], [90.0, 95.0]]
    assert joined(spans[:0], 10.0).shape == (0, 2)


def test_the_complement_is_what_is_left():
    assert complement(np.array([[0.0, 10.0], [30.0, 40.0]]), 50.0).tolist() == [[10.0, 30.0], [40.0, 50.0]]
    assert complement(np.empty((0, 2)), 50.0).tolist() == [[0.0, 50.0]]


def test_coverage_is_exact_within_bins():
    spans = [np.array([[0.0, 15.0]]), np.array([[5.0, 20.0]])]
    assert coverage(spans, np.array([0.0, 10.0, 20.0, 30.0])).tolist() == [1.5, 1.5, 0.0]


def test_every_moment_has_one_activity(comparison: Comparison):
    for arm in comparison.arms:
        trace = arm.runs[0].trace
        for activity in activities(trace, NO_FAULTS).values():
            parts = (activity.training, activity.waiting, activity.no_energy)
            length_s = sum(float(np.diff(spans, axis=1).sum()) for spans in parts)
            assert length_s == pytest.approx(trace.end_us / 1e6, abs=1e-6)


def test_breaks_without_energy_add_up_to_the_account(comparison: Comparison):
    trace = next(arm for arm in comparison.arms if arm.name == "fixed_period_blocking").runs[0].trace
    for node, activity in activities(trace, NO_FAULTS).items():
        no_energy_s = float(np.diff(activity.no_energy, axis=1).sum())
        assert no_energy_s == pytest.approx(trace.accounts[node].no_energy_us / 1e6, abs=600)
        assert len(activity.no_energy) > 0
        assert len(activity.waiting) > 0


def test_a_node_on_mains_power_only_waits(comparison: Comparison):
    trace = next(arm for arm in comparison.arms if arm.name == "fully_connected").runs[0].trace
    activity = activities(trace, NO_FAULTS)[0]
    assert activity.training.tolist() == [[0.0, trace.end_us / 1e6]]
    assert len(activity.no_energy) == len(activity.waiting) == 0


def test_shares_of_the_fleet_add_up(comparison: Comparison):
    shares = fleet_shares(comparison.arms[0].runs[0].trace)
    assert sum(shares.values()) == pytest.approx(1.0)
    accounts = comparison.arms[0].runs[0].trace.accounts[:4]
    total = sum(a.training_us + a.waiting_us + a.no_energy_us for a in accounts)
    assert shares["training"] == sum(a.training_us for a in accounts) / total


def test_shares_of_the_fleet_do_not_follow_from_what_is_inferred(comparison: Comparison):
    trace = next(arm for arm in comparison.arms if arm.name == "fixed_period_blocking").runs[0].trace
    blind = replace(trace, accounts=tuple(replace(a, battery_us=(), battery_wh=()) for a in trace.accounts))
    assert all(len(activity.no_energy) == 0 for activity in activities(blind, NO_FAULTS).values())
    shares = fleet_shares(blind)
    accounts = [trace.accounts[node] for node in trace.fleet_nodes]
    total = sum(a.training_us + a.waiting_us + a.no_energy_us for a in accounts)
    assert shares["no_energy"] == sum(a.no_energy_us for a in accounts) / total > 0
    assert shares["waiting"] == sum(a.waiting_us for a in accounts) / total > 0
    assert shares == fleet_shares(trace)


def test_the_orbit_is_found_from_eclipses():
    sun = synthetic.light(3, 60_000.0)
    assert orbit_period_s(sun, (0, 1, 2)) == pytest.approx(synthetic.ORBIT_S)
    assert orbit_period_s(synthetic.light(1, 5_000.0), (0,)) is None


def test_sunlit_spans_include_the_penumbra():
    spans = sunlit_spans(synthetic.light(1, 5_000.0), 0)
    assert spans.tolist() == [[0.0, 1720.0], [3820.0, 5000.0]]


def test_failures_and_restorations_are_seen_where_they_were():
    """Three nodes in turn: one goes on from its own store, one is sent the model, one never comes back."""
    s = 1_000_000
    faults = FaultPlan(
        outages=(
            Outage(node=0, start_us=400 * s, end_us=700 * s, loses_state=False, cause="reset"),
            Outage(node=1, start_us=1000 * s, end_us=1300 * s, loses_state=True, cause="reset"),
            Outage(node=2, start_us=2000 * s, end_us=None, loses_state=True, cause="loss"),
        )
    )
    fleet = replace(scenario(4, dark=rolling_night(4, 20_000.0), budget_steps=1500), faults=faults)
    trace = simulate(fleet, LinkAware(min_inner_steps=20))
    end_s, seen = trace.end_us / 1e6, activities(trace, faults)
    assert kinds(trace) == tuple(vars(seen[0]))
    assert [seen[node].down.tolist() for node in range(4)] == [
        [[400.0, 700.0]],
        [[1000.0, 1300.0]],
        [[2000.0, end_s]],
        [],
    ]
    assert [len(seen[node].restoring) for node in range(4)] == [0, 1, 0, 0]
    assert seen[1].restoring[0, 0] == 1300.0
    for node, activity in seen.items():
        lengths_s = {kind: float(np.diff(spans, axis=1).sum()) for kind, spans in vars(activity).items()}
        assert sum(lengths_s.values()) == pytest.approx(end_s, abs=1e-3)
        assert lengths_s["down"] == pytest.approx(trace.accounts[node].down_us / 1e6, abs=1e-3)
        assert lengths_s["restoring"] == pytest.approx(trace.accounts[node].restoring_us / 1e6, abs=1e-3)
    shares = fleet_shares(trace)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["down"] == sum(a.down_us for a in trace.accounts) / (4 * trace.end_us)
