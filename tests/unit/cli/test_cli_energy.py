"""Power systems that will not do, in whole lines, and what ``plan`` says about power and light."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orbital_train.cli.planning import fly, survey
from orbital_train.cli.seasons import season_lines
from orbital_train.cli.sizing import sizing_lines
from orbital_train.errors import InputWarning
from orbital_train.schedule.power import SOLAR_CONSTANT_W_PER_M2
from tests import small
from tests.unit.cli.command import refused, run

NEEDS = "continuous training needs 3.28 m2 and 1,736 Wh"
RADIATOR = "power.radiator={area_m2=%s}"


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            ["power.array_m2=0.1"],
            "power.array_m2 = 0.1: gives 41.17 W at best and idle_w is 150 W: batteries can never charge;"
            f" accepted is above 0.365 m2; {NEEDS}",
        ),
        (
            ["power.array_m2=1.0", "workload.step_s=3000.0"],
            "power = 'the whole fleet': never has the energy for one inner step: the array gives 412 W in full sun;"
            f" idle_w + train_w is 850 W; {NEEDS}",
        ),
        (
            ["power.resume_fraction=0.7"],
            "power.resume_fraction = 0.7: must be at least 1 - power.depth_of_discharge + 0.01 = 0.71",
        ),
        (
            ["power.train_cap_w=210.0"],
            "power.train_cap_w = 210.0: must be above the static part of training, train_w x train_static_fraction ="
            " 210 W",
        ),
        (["power.train_cap_w=0"], "power.train_cap_w = 0: must be greater than 0"),
        (["power.train_static_fraction=1.0"], "power.train_static_fraction = 1.0: must be less than 1"),
        (
            [RADIATOR % 0.1],
            "power.radiator.area_m2 = 0.1: rejects 71.19 W of heat and idle_w alone makes 150 W; accepted is above"
            " 0.506 m2",
        ),
        (
            [RADIATOR % 0.3],
            "power.radiator.area_m2 = 0.3: rejects 213.6 W of heat and idle_w with the static part of training makes"
            " 360 W; accepted is above 0.506 m2",
        ),
        (["power.radiator={area_m2=1.0, faces=3}"], "power.radiator.faces = 3: must be less than or equal to 2"),
        (
            ["power.radiator={area=1.0}"],
            "power.radiator.area = 1.0: unknown key; did you mean area_m2?",
        ),
        (["power.array_mount=body"], "power.array_mount = 'body': must be 'tracking', 'zenith' or 'orbit_normal'"),
    ],
    ids=lambda value: value[0].partition("=")[0] if isinstance(value, list) else "",
)
def test_a_power_system_that_will_not_do(tmp_path: Path, overrides: list[str], told: str) -> None:
    recipe = small.write_recipe(tmp_path)
    settings = [part for override in overrides for part in ("--set", override)]
    assert refused("plan", recipe, *settings) == f"{recipe}: {told}"


def test_an_array_that_does_not_carry_the_idle_load_is_told(tmp_path: Path) -> None:
    with pytest.warns(InputWarning) as caught:
        fly(small.recipe(tmp_path, "power.array_m2=0.5", "power.battery_wh=5000.0", "schedule.budget_steps=60"))
    told = "power.array_m2 = 0.5: batteries run empty on idle_w alone; to carry that takes 0.579 m2"
    assert told in [str(warning.message) for warning in caught]


def test_what_continuous_training_needs_is_said_and_does(tmp_path: Path) -> None:
    flight = fly(small.recipe(tmp_path))
    assert sizing_lines(flight) == [f"{NEEDS}; the recipe has 3 m2 and 150 Wh"]
    enough = fly(small.recipe(tmp_path, "power.array_m2=3.31", "power.battery_wh=1750.0", "power.transmit_w=0.0"))
    assert all(account.no_energy_us == 0 for account in enough.trace.accounts)
    assert any(account.no_energy_us > 0 for account in flight.trace.accounts)


def test_throttled_training_takes_longer_and_draws_less(tmp_path: Path) -> None:
    flight = fly(small.recipe(tmp_path, "power.train_cap_w=400.0", "schedule.budget_steps=60"))
    factor = (490.0 / 190.0) ** (1 / 3)
    assert flight.scenario.power is not None
    assert flight.scenario.power.train_w == 400.0
    assert flight.trace.step_us == pytest.approx(30e6 * factor, abs=1)
    assert sizing_lines(flight)[1] == "training is throttled to 400 W; a step takes 1.37 times as long"


def test_in_constant_sunlight_there_is_nothing_to_say(tmp_path: Path) -> None:
    recipe = small.recipe(tmp_path, "schedule.policy=fully_connected")
    assert (sizing_lines(fly(recipe)), season_lines(recipe)) == ([], [])


@pytest.mark.filterwarnings("ignore:power.array_m2 = 12.0")  # one plane's normal is at right angles to the Sun
@pytest.mark.parametrize("mount", ["zenith", "orbit_normal"])
def test_an_array_harvests_what_falls_on_it(tmp_path: Path, mount: str) -> None:
    recipe = small.recipe(tmp_path, f"power.array_mount={mount}", "power.array_m2=12.0")
    sky = survey(recipe)
    flight = fly(recipe, sky)
    end_s = flight.trace.end_us / 1e6
    for i, account in enumerate(flight.trace.accounts[: sky.satellites]):
        edge_s = np.minimum(sky.array_light.edge_s[i], end_s)
        light_s = float(sky.array_light.fraction[i] @ np.diff(edge_s))
        full_w = 12.0 * 0.3 * SOLAR_CONSTANT_W_PER_M2 / sky.light.sun_distance_au**2
        assert account.harvested_wh == pytest.approx(full_w * light_s / 3600, rel=1e-6)
        assert light_s < 0.95 * float(sky.light.fraction[i] @ np.diff(np.minimum(sky.light.edge_s[i], end_s)))


def test_a_year_of_eclipses_in_words(tmp_path: Path) -> None:
    assert season_lines(small.recipe(tmp_path)) == [
        "p0s0 over a year: eclipses on 330 days, 27.4% of the time in umbra, longest 34.9 min;"
        " beta is 0.3 deg at the start"
    ]
    dawn_dusk = 'fleet={kind="sun_synchronous", satellites=1, altitude_km=%s, local_time_h=18.0}'
    recipe = small.recipe(tmp_path, dawn_dusk % 650.0)
    assert season_lines(recipe) == [
        "s00 over a year: eclipses on 85 days (10 May 2026 to 2 Aug 2026), 3.6% of the time in umbra, longest 18.8 min;"
        " beta is 82.0 deg at the start"
    ]
    assert season_lines(small.recipe(tmp_path, dawn_dusk % 1400.0))[0].startswith("s00 over a year: no eclipses; beta")
    file = small.recipe(tmp_path, 'fleet={kind="tle", path="a.tle"}')
    assert season_lines(file) == []


def test_plan_prints_both(tmp_path: Path) -> None:
    result = run("plan", small.write_recipe(tmp_path))
    lines = result.stdout.splitlines()
    assert f"{NEEDS}; the recipe has 3 m2 and 150 Wh" in lines
    assert any(line.startswith("p0s0 over a year: eclipses on 330 days, ") for line in lines)
