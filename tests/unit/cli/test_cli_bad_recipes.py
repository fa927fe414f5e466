"""What is wrong with a recipe itself is told in one line, and nothing is written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.command import refused, unchanged


@pytest.mark.parametrize("command", ["plan", "train", "compare"])
@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["links.rate=3"], "links.rate = 3: unknown key; did you mean rate_gbps?"),
        (["links.terminals=two"], "links.terminals = 'two': must be a valid integer"),
        (["time.horizon_h=0"], "time.horizon_h = 0: must be greater than 0"),
        (["fleet.planes=4", "fleet.phasing=0"], "fleet.satellites = 6: 4 planes need a multiple of 4 satellites, "),
        (["fleet.phasing=6"], "fleet.phasing = 6: accepted is 0 to planes - 1 = 5"),
        (
            ["fleet.phasing=0", "fleet.inclination_deg=90.0"],
            "fleet.phasing = 0: satellites of planes 0 and 1 come within 0.0 km of each other ",
        ),
        (["model.width=15"], "model.width = 15: must be a multiple of the 2 heads"),
        (
            ["workload.mfu=0.5"],
            "workload = {'mfu': 0.5, 'step_s': 30.0}: give either step_s, or both device_tflops and",
        ),
        (["links.maximum_range_km=100"], "links = 'p0s0': can never talk to any other node of the fleet: it has no "),
        (
            ["links.rate_gbps=0.001"],
            "links = 'p0s0': can never talk to any other node of the fleet: a message is 6 GB, and its best link, "
            "to p5s0, carries 2.6 GB within the horizon; one of 2.6 GB would fit, 6.93 bits a parameter",
        ),
        (
            ["power.array_m2=0.1"],
            "power.array_m2 = 0.1: gives 41.17 W at best and idle_w is 150 W: batteries can never charge; accepted is ",
        ),
        (
            ["power.array_m2=1.0", "workload.step_s=3000.0"],
            "power = 'the whole fleet': never has the energy for one inner step: the array gives 412 W",
        ),
        (["schedule.policy=fixed_period", "schedule.home=Oslo"], "schedule.home = 'Oslo': must be one of p0s0, p1s0,"),
        (
            ['ground_sites=[{name="p1s0", latitude_deg=0, longitude_deg=0}]'],
            "ground_sites = 'p1s0': is the name of anot",
        ),
        (
            ['ground_sites=[{name="A", latitude_deg=0, longitude_deg=0}, {name="A", latitude_deg=1, longitude_deg=0}]'],
            "ground_sites = 'A': is the name of another site or satellite; each needs its own",
        ),
        (
            ["time.start=2070-01-01T00:00:00Z"],
            "time.start = '2070-01-01T00:00:00+00:00': must be from 1957 to 2050: ",
        ),
        (["links.topology=ring"], "links.topology"),
    ],
    ids=lambda value: value[0].partition("=")[0] if isinstance(value, list) else "",
)
def test_a_recipe_that_will_not_do(tmp_path: Path, recipe: Path, command: str, overrides: list[str], told: str):
    if told == "links.topology":  # rings of two, on opposite sides of the Earth
        overrides = [*overrides, "fleet.planes=3", "fleet.phasing=1"]
    settings = [part for override in overrides for part in ("--set", override)]
    line = unchanged(tmp_path, command, recipe, *settings, "--out", tmp_path / "out")
    assert line.startswith(f"{recipe}: {told}")


def test_the_recipe_itself(tmp_path: Path):
    missing = tmp_path / "none.toml"
    told = f"{missing}: RECIPE = '{missing}': no such file; `orbital-train recipes` lists those that ship"
    assert refused("train", missing) == told


def test_the_program_itself_tells_one_line(tmp_path: Path, recipe: Path):
    command = [
        sys.executable,
        "-m",
        "orbital_train",
        "plan",
        recipe,
        "--set",
        "links.rate=3",
        "--out",
        tmp_path / "out",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = f"orbital-train: {recipe}: links.rate = 3: unknown key; did you mean rate_gbps?\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", told)
    assert not (tmp_path / "out").exists()


def test_an_export_that_is_not_known(tmp_path: Path, recipe: Path):
    told = "--export = 'csv': must be one of hdtn, ion"
    assert unchanged(tmp_path, "plan", recipe, "--export", "csv") == f"{recipe}: {told}"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        (
            "links.photons.photons_per_bit=1e-300",
            "links.photons.photons_per_bit = 1e-300: must be greater than or equal to 0.01",
        ),
        ("links.terminals=300000000", "links.terminals = 300000000: must be less than or equal to 64"),
        ("time.horizon_h=1e9", "time.horizon_h = 1000000000.0: must be less than or equal to 87660"),
        (
            "time.start=0001-01-01T00:00:00Z",
            "time.start = '0001-01-01T00:00:00+00:00': must be from 1957 to 2050: where the Sun is known",
        ),
        ("power.battery_wh=1e-6", "power.battery_wh = 1e-06: must be greater than or equal to 1"),
        (
            "links.topology=ground_relay",
            "links.topology = 'ground_relay': needs ground sites to relay through, as [[ground_sites]]",
        ),
    ],
)
def test_figures_beyond_all_bounds(tmp_path: Path, recipe: Path, override: str, told: str):
    assert unchanged(tmp_path, "plan", recipe, "--set", override) == f"{recipe}: {told}"
