"""Upper bounds where the optimum is known by hand, and how near a policy comes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from orbital_train.schedule import bounds
from orbital_train.schedule.bounds import (
    Bound,
    binding_terms,
    bound,
    bound_of_pairs,
    ceiling,
    find_limits,
    gap_closed,
    merged_with_others,
)
from orbital_train.schedule.policies.fixed_period import FixedPeriod
from orbital_train.schedule.policies.link_aware import LinkAware
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from tests.unit.schedule.scenarios import POWER, ring, rolling_night, scenario

S = 1_000_000


def of(fleet: Scenario, mean: float | None = None) -> Bound:
    return bound(find_limits(fleet), mean)


def passes(nodes: int, sites: int, each: int, length_s: float = 3.21) -> Scenario:
    """Every node passes over every site ``each`` times, for one message of 3.2 s; 10 s a step, 20,000 s."""
    every_s = 20_000.0 / (each * sites + 1)
    windows = [
        (i, nodes + k % sites, every_s * (k + 1) + 5.0 * i, every_s * (k + 1) + 5.0 * i + length_s)
        for i in range(nodes)
        for k in range(each * sites)
    ]
    return scenario(nodes + sites, windows=windows, training_nodes=tuple(range(nodes)), power=None, budget_steps=10**6)


# -- by hand ---


def test_two_nodes_with_one_link_that_carries_ten_messages() -> None:
    """Node 1 gives its progress at each of ten contacts, node 0 with it: 2 x 10 contributions of H steps.

    Without H, node 1 merges all that it trained until its last contact, and node 0, where it ends, everything.
    """
    windows = [(0, 1, 1000.0 * k, 1000.0 * k + 3.21) for k in range(1, 11)]
    fleet = scenario(2, windows=windows, power=None)
    found = of(fleet, 10.0)
    assert (found.steps, found.even_steps) == (200, 200)
    assert found.contributions.tolist() == [10.0, 10.0]
    assert binding_terms(found) == ("contributions", "contributions")
    assert of(fleet).steps == 2000 + 1000
    assert binding_terms(of(fleet)) == ("energy", "last departure")
    assert of(fleet, 100.0).steps == 2000
    assert of(fleet, 1000.0).steps == 3000
    assert of(fleet, 190.0).even_steps == 1900 + 1000


def test_a_fleet_mean_lets_some_nodes_contribute_more_at_a_time_than_others() -> None:
    """Node 1 has forty messages and node 2 has ten; a mean of 30 over fifty may be 10 and 110."""
    windows = [(0, 1, 400.0 * k, 400.0 * k + 3.21) for k in range(1, 41)]
    windows += [(0, 2, 1600.0 * k + 100, 1600.0 * k + 103.21) for k in range(1, 11)]
    found = of(scenario(3, windows=windows, power=None), 30.0)
    assert found.contributions.tolist() == [50.0, 40.0, 10.0]
    assert found.steps == 30 * 100
    assert found.even_steps == 30 * 50 + 30 * 40 + 30 * 10
    found = of(scenario(3, windows=windows, power=None), 45.0)
    assert found.steps == 45 * 100
    assert found.even_steps == 2000 + 1600 + 450  # node 0 trains 2000 steps in all, node 1 until 16,000 s


def test_sixteen_nodes_over_three_sites_contribute_once_a_pass() -> None:
    fleet = passes(16, 3, each=8)
    found = of(fleet, 10.0)
    assert found.contributions.tolist() == [24.0 * 2 if i == found.place else 24.0 for i in range(16)]
    assert found.steps == 10 * 24 * (15 + 2)  # the place could also merge with what arrives at it
    assert set(binding_terms(found)) == {"contributions"}
    assert set(binding_terms(of(fleet))) == {"energy", "last departure"}


def test_a_cluster_behind_a_weak_link_contributes_no_more_than_that_carries() -> None:
    """Nodes 0 to 2 and 3 to 5 are always linked; five messages pass between 2 and 3."""
    inside = [(a, b, 0.0, 20_000.0) for a, b in ((0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5))]
    weak = [(2, 3, 3000.0 * k, 3000.0 * k + 3.21) for k in range(1, 6)]
    fleet = scenario(6, windows=[*inside, *weak], power=None)
    found = of(fleet, 10.0)
    assert found.place in (0, 1, 2)
    assert found.contributions[3:].tolist() == [5.0, 5.0, 5.0]
    assert found.even_steps == 3 * 2000 - 2 + 3 * 50  # the last step of two nodes cannot leave
    assert binding_terms(found)[3:] == ("contributions",) * 3
    apart = of(scenario(6, windows=inside, power=None), 10.0)
    assert (apart.steps, binding_terms(apart)[3:]) == (5998, ("no link",) * 3)


def test_a_fragment_is_its_share_of_a_contribution() -> None:
    """Ten windows for one message and a quarter each: twelve messages, or fifty of its four quarters."""
    windows = [(0, 1, 1000.0 * k, 1000.0 * k + 4.0) for k in range(1, 11)]
    fleet = scenario(2, windows=windows, power=None)
    quarters = replace(fleet, workload=replace(fleet.workload, fragments=4))
    assert of(fleet, 10.0).contributions.tolist() == [12.0, 12.0]
    assert of(quarters, 10.0).contributions.tolist() == [12.5, 12.5]
    assert (of(fleet, 10.0).steps, of(quarters, 10.0).steps) == (240, 250)


def test_a_node_by_itself_merges_all_that_it_trains_but_with_nobody() -> None:
    fleet = scenario(1, windows=[], power=None)
    assert of(fleet).steps == 2000
    assert binding_terms(of(fleet)) == ("energy",)
    assert of(fleet, 10.0).steps == 0


def test_without_one_model_both_halves_of_a_fleet_merge() -> None:
    """A pair that is always linked, and one that was linked at half time for one message each way."""
    fleet = scenario(4, windows=[(0, 1, 0.0, 20_000.0), (2, 3, 10_000.0, 10_003.21)], power=None)
    limits = find_limits(fleet)
    assert bound(limits).steps == 2000 + 1999
    assert bound_of_pairs(limits) == 2 * 1999 + 2 * 1000


def test_with_less_time_less_is_merged() -> None:
    fleet = scenario(2, windows=[(0, 1, 0.0, 20_000.0)], power=None)
    half = bound(find_limits(fleet, 10_000 * S))
    assert half.steps == 1000 + 999
    assert of(fleet).steps == 2000 + 1999


def test_cuts_of_large_fleets_are_those_around_single_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never below the bound by all cuts."""
    fleets = [passes(5, 2, each=3), scenario(5, windows=ring(5, 900.0), power=None)]
    cut = [[of(fleet, mean).steps for mean in (None, 3.0, 30.0)] for fleet in fleets]
    monkeypatch.setattr(bounds, "MOST_CUT", 1)
    single = [[of(fleet, mean).steps for mean in (None, 3.0, 30.0)] for fleet in fleets]
    assert np.all(np.array(single) >= np.array(cut))
    assert single[1] == cut[1]


# -- how near a policy comes ---


def test_a_ring_that_is_always_linked_merges_nearly_the_bound() -> None:
    fleet = scenario(6, horizon_s=30_000.0, dark=rolling_night(6, 30_000.0), budget_steps=8000)
    found = simulate(fleet, LinkAware(min_inner_steps=20))
    limit = bound(find_limits(fleet, found.end_us)).steps
    assert found.merged_steps == 8000
    assert 8000 <= limit <= 8000 / 0.98


def test_nodes_over_ground_sites_merge_nearly_the_bound_where_contributions_may_be_long() -> None:
    fleet = passes(8, 3, each=16, length_s=10.0)
    found = simulate(fleet, LinkAware(min_inner_steps=20, lookahead_s=5000.0))
    limits = find_limits(fleet)
    assert 0.85 * bound(limits).steps <= found.merged_steps <= bound(limits).steps


def test_waiting_for_all_is_far_below_the_bound_where_nights_roll() -> None:
    fleet = scenario(6, horizon_s=30_000.0, dark=rolling_night(6, 30_000.0), power=replace(POWER, battery_wh=120.0))
    fleet = replace(fleet, budget_steps=8000)
    fixed, aware = (simulate(fleet, p) for p in (FixedPeriod(inner_steps=20, site=0), LinkAware(min_inner_steps=20)))
    rates = [t.merged_steps / t.end_us for t in (fixed, aware)]
    limit = bound(find_limits(fleet, aware.end_us), 20.0).steps / aware.end_us
    assert ceiling(limit, rates[0]) > 1.3
    closed = gap_closed(limit, *rates)
    assert closed is not None
    assert 0.8 < closed <= 1.0


# -- figures ---


def test_ceiling_and_gap() -> None:
    assert (ceiling(12.0, 8.0), ceiling(12.0, 0.0)) == (1.5, math.inf)
    assert (gap_closed(12.0, 8.0, 11.0), gap_closed(12.0, 8.0, 7.0)) == (0.75, -0.25)
    assert gap_closed(8.0, 8.0, 8.0) is None


def test_merges_of_a_nodes_own_at_its_own_place_are_with_nobody() -> None:
    skipping = FixedPeriod(inner_steps=10, site=0, form="skipping", timeout_s=50.0)
    apart = simulate(scenario(2, windows=[], power=None), skipping)
    assert apart.merged_steps > 0
    assert merged_with_others(apart) == (0, None)
    late = simulate(scenario(2, windows=[(0, 1, 1000.0, 20_000.0)], power=None), skipping)
    steps, mean = merged_with_others(late)
    assert 0 < steps < late.merged_steps
    assert mean is not None
    assert mean >= 10.0
