"""Means of large draws are held to three standard errors, for fixed seeds."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from orbital_train.schedule.fault_draw import YEAR_S, FaultSpec, draw_faults
from orbital_train.schedule.faults import NO_FAULTS, FaultPlan, LinkOutage, Outage, SlowDown
from orbital_train.schedule.spells import Spells, clouds
from orbital_train.windows.plan import ContactPlan
from tests.unit.schedule.scenarios import contacts, ring

NODES = 1000
DAY_S = 86_400.0
OFTEN = Spells(mean_good_s=6 * 3600.0, mean_bad_s=600.0, fixed=True)  # the stress test: every 6 h, 10 min down


def sky(nodes: int = NODES, horizon_s: float = DAY_S, *, acquisition_s: float = 0.0) -> ContactPlan:
    """A ring that is always linked."""
    plan = contacts(nodes, ring(nodes, horizon_s), horizon_s, 1e6, 0.0)
    return replace(plan, acquire_start_s=plan.acquire_start_s - acquisition_s)


def passes(pairs: int, of_each: int) -> ContactPlan:
    """Links of 100 s with 30 s of acquisition, many times, of many pairs."""
    windows = [(2 * p, 2 * p + 1, 200.0 * k + 30.0, 200.0 * k + 130.0) for p in range(pairs) for k in range(of_each)]
    plan = contacts(2 * pairs, windows, 200.0 * of_each, 1e6, 0.0)
    return replace(plan, acquire_start_s=plan.start_s - 30.0)


def renewals(spells: Spells, horizon_s: float) -> tuple[float, float]:
    """Mean and variance of the number of bad spells of fixed length that begin in a long time."""
    cycle_s = spells.mean_good_s + spells.mean_bad_s
    variance = (spells.mean_good_s / cycle_s) ** 2
    return horizon_s / cycle_s + (variance + 1) / 2 - spells.mean_good_s / cycle_s, horizon_s / cycle_s * variance


def assert_mean(values: list[float] | list[int] | list[bool], mean: float, deviation: float) -> None:
    assert abs(float(np.mean(values)) - mean) < 3 * deviation / math.sqrt(len(values))


def of_node(plan: FaultPlan, node: int) -> list[Outage | SlowDown]:
    return [fault for fault in (*plan.outages, *plan.slow_downs) if fault.node == node]


def test_nothing_fails_unless_told() -> None:
    assert draw_faults(FaultSpec(), sky(), NODES) == NO_FAULTS
    assert draw_faults(FaultSpec(outages=OFTEN), sky(), 0) == NO_FAULTS


def test_outages_come_at_their_rate_and_lose_their_share_of_states() -> None:
    plan = draw_faults(FaultSpec(outages=OFTEN, state_loss_fraction=0.3), sky(), NODES)
    mean, variance = renewals(OFTEN, DAY_S)
    counts = np.bincount([o.node for o in plan.outages], minlength=NODES)
    assert_mean(counts.tolist(), mean, math.sqrt(variance))
    assert_mean([o.loses_state for o in plan.outages], 0.3, math.sqrt(0.3 * 0.7))
    for outage in plan.outages:
        assert outage.cause == "reset"
        assert outage.end_us is not None
        assert 600_000_000 <= outage.end_us - outage.start_us <= 600_000_001


def test_lengths_that_are_not_fixed_have_their_mean() -> None:
    plan = draw_faults(FaultSpec(outages=replace(OFTEN, fixed=False)), sky(), NODES)
    lengths_s = [(o.end_us - o.start_us) / 1e6 for o in plan.outages if o.end_us is not None]
    assert_mean(lengths_s, 600.0, 600.0)
    assert np.std(lengths_s) == pytest.approx(600.0, rel=0.1)


def test_nodes_are_lost_for_ever_at_their_rate() -> None:
    plan = draw_faults(FaultSpec(mean_life_s=2 * DAY_S), sky(), NODES)
    share = 1 - math.exp(-0.5)
    lost = {o.node for o in plan.outages}
    assert_mean([node in lost for node in range(NODES)], share, math.sqrt(share * (1 - share)))
    assert {(o.end_us, o.loses_state, o.cause) for o in plan.outages} == {(None, True, "loss")}
    assert len(lost) == len(plan.outages)
    # An exponential distribution, cut at half its mean.
    at = [o.start_us / DAY_S / 1e6 for o in plan.outages]
    assert_mean(at, 2 - math.exp(-0.5) / share, math.sqrt(1 / 12))


def test_late_nodes_join_evenly_over_the_time() -> None:
    plan = draw_faults(FaultSpec(late_fraction=0.5, late_within_s=3600.0), sky(), NODES)
    late = {o.node for o in plan.outages}
    assert_mean([node in late for node in range(NODES)], 0.5, 0.5)
    assert {(o.start_us, o.loses_state, o.cause) for o in plan.outages} == {(0, True, "late")}
    joined_s = [o.end_us / 1e6 for o in plan.outages if o.end_us is not None]
    assert_mean(joined_s, 1800.0, 3600.0 / math.sqrt(12))
    assert max(joined_s) <= 3600.0


def test_slow_downs_come_at_their_rate() -> None:
    plan = draw_faults(FaultSpec(slow_downs=OFTEN, slow_down_factor=1.7), sky(), NODES)
    mean, variance = renewals(OFTEN, DAY_S)
    assert_mean(np.bincount([s.node for s in plan.slow_downs], minlength=NODES).tolist(), mean, math.sqrt(variance))
    assert {s.factor for s in plan.slow_downs} == {1.7}
    assert (plan.outages, plan.link_outages) == ((), ())


def test_link_outages_come_at_their_rate_and_last_until_the_link_is_acquired_again() -> None:
    plan = draw_faults(FaultSpec(link_outages=OFTEN), sky(acquisition_s=30.0), NODES)
    mean, variance = renewals(OFTEN, DAY_S)
    counts = defaultdict(int, dict.fromkeys(((k, (k + 1) % NODES) for k in range(NODES)), 0))
    for o in plan.link_outages:
        assert o.b is not None
        counts[(o.a, o.b) if o.b == o.a + 1 else (o.b, o.a)] += 1
        assert 630_000_000 <= o.end_us - o.start_us <= 630_000_001
    assert len(counts) == NODES
    assert_mean(list(counts.values()), mean, math.sqrt(variance))
    assert {o.cause for o in plan.link_outages} == {"link"}


def test_links_fail_only_while_there_is_a_contact() -> None:
    windows = [(0, 1, 1000.0, 2000.0), (0, 1, 50_000.0, 51_000.0)]
    rare = contacts(2, windows, DAY_S * 100, 1e6, 0.0)
    plan = draw_faults(FaultSpec(link_outages=replace(OFTEN, mean_good_s=300.0)), rare, 2)
    assert plan.link_outages
    for outage in plan.link_outages:
        assert any(outage.start_us < end_s * 1e6 and outage.end_us > start_s * 1e6 for _, _, start_s, end_s in windows)


def test_acquisitions_are_missed_by_their_share_again_and_again() -> None:
    """The number of tries is distributed geometrically; after the fourth miss nothing is left of a link of 100 s."""
    plan = draw_faults(FaultSpec(missed_acquisition_fraction=0.4), passes(50, 40), 100)
    lost_s = {(o.a, o.start_us): (o.end_us - o.start_us) / 1e6 for o in plan.link_outages}
    for node, start_us in lost_s:
        assert node % 2 == 0
        assert start_us % 200_000_000 == 30_000_000
    assert {(o.b, o.cause) for o in plan.link_outages} <= {(2 * p + 1, "acquisition") for p in range(50)}
    lost = [lost_s.get((2 * p, (200 * k + 30) * 1_000_000), 0.0) for p in range(50) for k in range(40)]
    lengths_s = [0.0, 30.0, 60.0, 90.0, 100.0]
    for misses, length_s in enumerate(lengths_s):
        share = 0.4**misses * (0.6 if misses < 4 else 1.0)
        assert_mean([s == length_s for s in lost], share, math.sqrt(share * (1 - share)))
    assert set(lost) == set(lengths_s)


def test_clouds_cover_their_sites_for_their_share_of_time_and_cost_an_acquisition() -> None:
    """The share within a tenth over 3,000 days: some 4,000 cycles, whose error is about 2 %."""
    spec = FaultSpec(clouds={"n2": clouds(0.3, 5 * 3600.0), "elsewhere": clouds(0.5, 1.0)})
    plan = draw_faults(spec, sky(3, 3000 * DAY_S, acquisition_s=30.0), 2)
    spells = draw_faults(spec, sky(3, 3000 * DAY_S), 2)
    assert [o.start_us for o in plan.link_outages] == [o.start_us for o in spells.link_outages]
    paid_us = [ours.end_us - o.end_us for ours, o in zip(plan.link_outages, spells.link_outages, strict=True)]
    assert set(paid_us) <= {29_999_999, 30_000_000, 30_000_001}
    assert {(o.a, o.b, o.cause) for o in plan.link_outages} == {(2, None, "cloud")}
    lengths_s = [(o.end_us - o.start_us) / 1e6 - 30.0 for o in plan.link_outages]
    assert sum(lengths_s) / (3000 * DAY_S) == pytest.approx(0.3, rel=0.1)
    assert_mean(lengths_s, 5 * 3600.0, 5 * 3600.0)


ALL = FaultSpec(
    seed=5,
    outages=OFTEN,
    state_loss_fraction=0.5,
    mean_life_s=5 * DAY_S,
    late_fraction=0.3,
    late_within_s=3600.0,
    link_outages=OFTEN,
    missed_acquisition_fraction=0.2,
    slow_downs=OFTEN,
    slow_down_factor=2.0,
    clouds={"n3": clouds(0.4, 3600.0)},
)


def test_another_node_changes_no_draw_of_the_others() -> None:
    spec = replace(ALL, clouds={})
    small, large = (draw_faults(spec, sky(n), n) for n in (20, 30))
    for node in range(20):
        assert of_node(small, node) == of_node(large, node)
    chain = [[o for o in plan.link_outages if o.b == o.a + 1 and o.b < 20] for plan in (small, large)]
    assert chain[0] == chain[1] != []


def test_names_and_not_places_make_the_draws() -> None:
    plan = sky(4)
    turned = replace(plan, node_names=("n3", "n2", "n1", "n0"))
    for node in range(4):
        ours, theirs = of_node(draw_faults(ALL, plan, 4), node), of_node(draw_faults(ALL, turned, 4), 3 - node)
        assert [replace(fault, node=9) for fault in ours] == [replace(fault, node=9) for fault in theirs]


def test_another_kind_of_fault_changes_no_draw_of_the_others() -> None:
    plan = draw_faults(ALL, sky(acquisition_s=30.0), NODES)

    def links(cause: str, of: FaultPlan) -> list[LinkOutage]:
        return [o for o in of.link_outages if o.cause == cause]

    for kind, cause in (("link_outages", "link"), ("missed_acquisition_fraction", "acquisition"), ("clouds", "cloud")):
        alone = draw_faults(FaultSpec(seed=5, **{kind: getattr(ALL, kind)}), sky(acquisition_s=30.0), NODES)
        assert links(cause, alone) == links(cause, plan) != []
    slow = draw_faults(replace(FaultSpec(seed=5), slow_downs=OFTEN, slow_down_factor=2.0), sky(), NODES)
    assert slow.slow_downs == plan.slow_downs
    resets = draw_faults(FaultSpec(seed=5, outages=OFTEN), sky(), NODES)
    others = draw_faults(replace(ALL, state_loss_fraction=0.0, mean_life_s=math.inf, late_fraction=0.0), sky(), NODES)
    assert others.outages == resets.outages


def test_a_longer_horizon_changes_no_draw() -> None:
    short, long = (draw_faults(ALL, sky(50, days * DAY_S), 50) for days in (1, 2))
    started = DAY_S * 1e6
    assert [o for o in long.outages if o.start_us < started] == list(short.outages)
    assert [s for s in long.slow_downs if s.start_us < started] == list(short.slow_downs)


def test_seeds_nodes_and_kinds_are_independent() -> None:
    """First times of 1,000 nodes: those of another seed, of the next node and of another kind do not go with them."""
    firsts = []
    for seed, kind in ((1, "outages"), (2, "outages"), (1, "slow_downs")):
        spec = FaultSpec(seed=seed, **{kind: replace(OFTEN, mean_good_s=3600.0)})
        plan = draw_faults(spec, sky(horizon_s=DAY_S / 2), NODES)
        first = {f.node: f.start_us for f in reversed((*plan.outages, *plan.slow_downs))}
        firsts.append([first[node] for node in range(NODES)])
    firsts.append(np.roll(firsts[0], 1).tolist())
    for other in firsts[1:]:
        assert abs(np.corrcoef(firsts[0], other)[0, 1]) < 3 / math.sqrt(NODES)
    assert draw_faults(ALL, sky(50), 50) == draw_faults(ALL, sky(50), 50)


@pytest.mark.parametrize(
    ("spec", "stress"),
    [
        (FaultSpec(), False),
        (FaultSpec(outages=OFTEN), True),
        (FaultSpec(outages=replace(OFTEN, mean_good_s=YEAR_S * 3)), False),
        (FaultSpec(outages=replace(OFTEN, mean_good_s=YEAR_S / 11)), True),
        (FaultSpec(mean_life_s=YEAR_S * 20), False),
        (FaultSpec(mean_life_s=YEAR_S), True),
        (FaultSpec(clouds={"n2": clouds(0.9, 3600.0)}, late_fraction=0.5, slow_downs=OFTEN), False),
    ],
)
def test_what_no_orbit_does_is_a_stress_test(spec: FaultSpec, stress: bool) -> None:
    assert spec.stress == stress


def test_rates_of_a_year() -> None:
    assert FaultSpec(outages=OFTEN).outages_per_year == pytest.approx(1461.0)
    assert FaultSpec(mean_life_s=YEAR_S * 4).losses_per_year == 0.25
    assert (FaultSpec().outages_per_year, FaultSpec().losses_per_year) == (0.0, 0.0)
