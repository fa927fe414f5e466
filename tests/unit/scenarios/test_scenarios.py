"""The contact plans and the light of the six scenarios are what they are said to be."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from orbital_train.cli.planning import check_scenario, scenario_of
from orbital_train.config import build
from orbital_train.orbit.constants import LIGHT_SPEED_MPS
from orbital_train.orbit.ephemeris import Sgp4Ephemeris
from orbital_train.orbit.fleet import build_fleet
from orbital_train.orbit.mean_elements import nodal_period_s
from orbital_train.schedule.power import US_PER_H, slope_w, time_to_level_us
from orbital_train.windows.measures import eclipses
from orbital_train.windows.plan import LinkKind
from orbital_train.windows.seasons import eclipse_year
from tests.scenarios import NAMES, scenario
from tests.unit.scenarios.skies import DAY_S, share, sky

NODES = {"ring_12": 12, "star_24": 24, "ground_16": 16, "cluster_81": 81, "starlink_40": 40, "two_clusters": 16}


@pytest.mark.parametrize("name", NAMES)
def test_all_fly_eight_billion_parameters_for_a_day_that_ends_before_the_budget(name: str) -> None:
    recipe = scenario(name)
    work = build.workload(recipe)
    assert (recipe.name, recipe.time.horizon_h, work.parameters, work.message_bits) == (name, 24.0, 8e9, 128e9)
    assert 3.9e6 < work.step_us < 4.0e6
    assert sky(name).satellites == NODES[name]
    assert recipe.schedule.budget_steps == 22_000 * NODES[name]
    assert 1.0 < recipe.schedule.budget_steps / (NODES[name] * (DAY_S * 1e6 // work.step_us)) < 1.02


@pytest.mark.parametrize("name", NAMES)
def test_everybody_can_talk_and_train_and_nothing_is_warned_of(name: str) -> None:
    """Warnings are errors in these tests."""
    assert sky(name).notes == ()
    check_scenario(scenario(name), sky(name), scenario_of(scenario(name), sky(name)))


def test_ring_12_links_neighbours_all_day_and_is_dark_a_third_of_it() -> None:
    plan = sky("ring_12").contacts
    assert {tuple(sorted(pair)) for pair in zip(plan.source.tolist(), plan.dest.tolist(), strict=True)} == {
        *((i, i + 1) for i in range(11)), (0, 11),
    }  # fmt: skip
    assert len(plan) == 24
    assert (plan.start_s.max(), plan.end_s.min(), set(plan.rate_bps)) == (30.0, DAY_S, {100e9})
    dark = eclipses(sky("ring_12").light)
    assert 0.35 < dark.umbra.min() < dark.umbra.max() < 0.37
    assert dark.longest_s == pytest.approx(np.full(12, 34.4 * 60), abs=30.0)


def test_star_24_is_always_linked_in_plane() -> None:
    fleet, plan = sky("star_24").fleet, sky("star_24").contacts
    assert fleet is not None
    inside = fleet.plane[plan.source] == fleet.plane[plan.dest]
    assert inside.sum() == 2 * 24
    assert set(((fleet.slot[plan.source] - fleet.slot[plan.dest])[inside] % 8).tolist()) == {1, 7}
    assert (plan.start_s[inside].max(), plan.end_s[inside].min()) == (60.0, DAY_S)
    assert set(plan.source_terminal[inside]) | set(plan.dest_terminal[inside]) == {0, 1}


def test_star_24_is_linked_across_about_a_third_of_the_time_but_never_at_the_seam() -> None:
    fleet, plan = sky("star_24").fleet, sky("star_24").contacts
    assert fleet is not None
    across = fleet.plane[plan.source] != fleet.plane[plan.dest]
    assert set(np.abs(fleet.plane[plan.source] - fleet.plane[plan.dest])[across].tolist()) == {1}
    assert (fleet.slot[plan.source] == fleet.slot[plan.dest])[across].all()
    assert set(plan.source_terminal[across]) | set(plan.dest_terminal[across]) == {2}
    assert (plan.start_s - plan.acquire_start_s)[across] == pytest.approx(60.0)
    assert (plan.owlt_s * LIGHT_SPEED_MPS).max() <= 5_400_001.0
    linked = share(plan, across, 24)
    by_plane = [linked[fleet.plane == p] for p in range(3)]
    assert by_plane[1] == pytest.approx(np.full(8, 0.41), abs=0.01)
    assert np.concatenate([by_plane[0], by_plane[2]]).mean() == pytest.approx(0.20, abs=0.01)
    assert linked.mean() == pytest.approx(0.27, abs=0.005)
    busy_s = (plan.end_s - plan.acquire_start_s)[across].sum()
    assert busy_s / DAY_S / 24 == pytest.approx(0.30, abs=0.005)
    assert 300.0 < (plan.end_s - plan.start_s)[across].min() < (plan.end_s - plan.start_s)[across].max() < 600.0


def test_star_24_could_link_each_pair_across_for_more_than_its_terminals_allow() -> None:
    """Every pair of equal slots has 45 % of the time, at four passes an orbit; the middle plane must choose."""
    found, fleet = sky("star_24").opportunities, sky("star_24").fleet
    assert found is not None
    assert fleet is not None
    across = fleet.plane[found.a] != fleet.plane[found.b]
    assert (found.end_s - found.start_s)[across].sum() / DAY_S / 16 == pytest.approx(0.45, abs=0.01)


def test_star_24_has_one_plane_without_eclipses() -> None:
    fleet, dark = sky("star_24").fleet, eclipses(sky("star_24").light)
    assert fleet is not None
    assert dark.umbra[fleet.plane == 1].max() == 0.0
    assert dark.longest_s[fleet.plane != 1] == pytest.approx(np.full(16, 33.1 * 60), abs=15.0)


def test_ground_16_has_no_crosslinks_and_passes_of_every_satellite_over_every_site() -> None:
    plan = sky("ground_16").contacts
    assert set(plan.kind.tolist()) == {LinkKind.GROUND, LinkKind.TERRESTRIAL}
    down = (plan.source < 16) & (plan.dest >= 16)
    passes = np.zeros((16, 3), dtype=np.int64)
    np.add.at(passes, (plan.source[down], plan.dest[down] - 16), 1)
    assert (passes.min(axis=0).tolist(), passes.max(axis=0).tolist()) == ([8, 3, 2], [11, 5, 3])
    assert (passes.sum(axis=1).min(), passes.sum(axis=1).max()) == (15, 18)
    assert set(plan.rate_bps[plan.kind == LinkKind.GROUND]) == {1.8e9}


def test_ground_16_passes_carry_one_to_six_gradients_and_leave_gaps_of_hours() -> None:
    plan = sky("ground_16").contacts
    down = (plan.source < 16) & (plan.dest >= 16)
    gradients = ((plan.end_s - plan.start_s) * plan.rate_bps // 128e9)[down]
    assert (gradients.min(), np.median(gradients), gradients.max()) == (1.0, 5.0, 6.0)
    gaps_h = []
    for i in range(16):
        mine = down & (plan.source == i)
        gaps_h.append((np.append(plan.start_s[mine], DAY_S) - np.append(0.0, plan.end_s[mine])).max() / 3600.0)
    assert 2.5 < min(gaps_h) < max(gaps_h) < 4.2


def test_ground_16_joins_its_sites_all_day() -> None:
    plan = sky("ground_16").contacts
    cable = plan.kind == LinkKind.TERRESTRIAL
    assert cable.sum() == 6
    assert (plan.start_s[cable].max(), plan.end_s[cable].min(), set(plan.rate_bps[cable])) == (0.0, DAY_S, {10e9})
    assert 0.04 < plan.owlt_s[cable].min() < plan.owlt_s[cable].max() < 0.08


def test_cluster_81_links_direct_neighbours_all_day() -> None:
    plan = sky("cluster_81").contacts
    assert len(plan) == 280
    assert (plan.start_s.max(), plan.end_s.min(), set(plan.rate_bps)) == (30.0, DAY_S, {800e9})
    apart_m = plan.owlt_s * LIGHT_SPEED_MPS
    assert 195.0 < apart_m.min() < apart_m.max() < 205.0  # the largest of the day: they come as close as 100 m
    links = np.bincount(plan.source, minlength=81)
    assert (links.min(), links.max()) == (1, 4)


def test_cluster_81_flies_on_the_day_of_its_longest_eclipses() -> None:
    recipe, dark = scenario("cluster_81"), eclipses(sky("cluster_81").light)
    assert dark.longest_s == pytest.approx(np.full(81, 1_172.0), abs=1.0)
    assert dark.shaded == pytest.approx(np.full(81, 0.190), abs=0.001)
    april = datetime(2026, 4, 1, tzinfo=UTC)
    fleet = build_fleet(build.fleet_spec(recipe), april)
    centre = Sgp4Ephemeris(fleet.names[40:41], fleet.satrecs[40:41], april)
    season = eclipse_year(centre, nodal_period_s(fleet.satrecs[40]), april, days=180)
    ((first, last),) = season.seasons  # good to a day
    assert (first, last in (date(2026, 8, 2), date(2026, 8, 3))) == (date(2026, 5, 9), True)
    assert (april + timedelta(days=int(season.umbra_s.argmax()))).date() == recipe.time.start.date()


def test_cluster_81_trains_through_sixty_percent_of_the_longest_eclipse() -> None:
    power = build.power_spec(scenario("cluster_81"))
    longest_s = float(eclipses(sky("cluster_81").light).longest_s.max())
    training_w = slope_w(power, 0.0, power.idle_w + power.train_w)
    lasts_s = time_to_level_us(power.battery_wh, power.floor_wh, training_w) / 1e6
    assert lasts_s / longest_s == pytest.approx(0.60, abs=0.002)
    # What is left carries the idle load to the end, and the light of one orbit fills it up again.
    idle_wh = -slope_w(power, 0.0, power.idle_w) * (longest_s - lasts_s) / 3600.0
    assert idle_wh < 0.06 * power.floor_wh
    sunlit_s = sky("cluster_81").period_s - longest_s
    charge_w = slope_w(power, power.array_w(sky("cluster_81").light.sun_distance_au), power.idle_w + power.train_w)
    assert time_to_level_us(power.floor_wh - idle_wh, power.battery_wh, charge_w) / US_PER_H * 3600.0 < sunlit_s / 4


def test_two_clusters_are_joined_by_one_weak_link() -> None:
    plan = sky("two_clusters").contacts
    assert plan.node_names == tuple(f"s{k:02d}" for k in (*range(8), *range(18, 26)))
    assert len(plan) == 30
    assert (plan.start_s.max(), plan.end_s.min()) == (30.0, DAY_S)
    weak = (plan.source < 8) != (plan.dest < 8)
    assert {*zip(plan.source[weak].tolist(), plan.dest[weak].tolist(), strict=True)} == {(7, 8), (8, 7)}
    assert plan.rate_bps[weak] == pytest.approx(np.full(2, 0.61e9), rel=0.01)
    assert plan.rate_bps[~weak] == pytest.approx(np.full(28, 70.9e9), rel=0.01)
    assert plan.owlt_s[weak] * LIGHT_SPEED_MPS == pytest.approx(np.full(2, 4_768e3), rel=0.001)


def test_two_clusters_enter_the_shadow_one_after_the_other() -> None:
    light = sky("two_clusters").light
    first_s = [float(light.edge_s[k][np.flatnonzero(light.fraction[k] < 1.0)[0]]) for k in (0, 8)]
    assert first_s[0] - first_s[1] == pytest.approx(0.18 * sky("two_clusters").period_s, abs=10.0)
