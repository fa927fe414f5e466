"""What the user gets wrong about links is told in one line, in the recipe's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import small
from tests.unit.cli.command import refused, run, unchanged

CLOUDY_RADIO = 'ground_sites=[{name="Oslo", latitude_deg=59.9, longitude_deg=10.7, medium="radio", cloud_fraction=0.5}]'
EXPLICIT = "links.topology=explicit"


def up(elevation_deg: int) -> str:
    return f"{{azimuth_deg=0, elevation_deg={elevation_deg}, half_angle_deg=40}}"


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            ["links.photons={transmit_w=1e-6}"],
            "links.photons = '1e-06 W': gives 0.0243 Mbit/s at links.maximum_range_km = 5400; a link needs at least "
            "1 Mbit/s, which this budget gives up to 842 km",
        ),
        (
            ["links.rate_table=[[1000, 10.0]]"],
            "links.rate_table = [[1000.0, 10.0]]: ends at 1000 km, and links reach to links.maximum_range_km = 5400",
        ),
        (
            ["links.fields_of_regard=[{azimuth_deg=0, half_angle_deg=40}]"],
            "links.fields_of_regard = '1 fields': accepted is one for each terminal, and links.terminals is 2",
        ),
        (
            [f"links.fields_of_regard=[{up(90)}, {up(80)}]"],
            "links.fields_of_regard = '2 fields': hold no link between satellites; without them the first is at 30 s, "
            "when p1s0 sees p2s0 at azimuth 200 and elevation -10 deg, and p2s0 sees p1s0 at azimuth 332 and elevation "
            "-10 deg: some terminal of each must point there",
        ),
        (
            ["links.topology=nearest", f"links.fields_of_regard=[{up(90)}, {up(90)}]"],
            "links.fields_of_regard = '2 fields': hold no link between satellites; without them the first is at 30 s, "
            "when p1s0 sees p2s0 at azimuth 200 and elevation -10 deg, and p2s0 sees p1s0 at azimuth 332 and elevation "
            "-10 deg: some terminal of each must point there",
        ),
        ([EXPLICIT], "links.pairs = []: topology 'explicit' needs at least one pair of satellite names"),
        (
            [EXPLICIT, 'links.pairs=[["p0s0", "p9s0"]]'],
            "links.pairs = ['p0s0', 'p9s0']: 'p9s0' is no satellite; did you mean 'p5s0'?",
        ),
        (
            [CLOUDY_RADIO],
            "ground_sites.0.cloud_fraction = 0.5: clouds stop only optical sites; leave it out",
        ),
        (
            ["links.topology=ring", "fleet.planes=1", "fleet.phasing=0"],
            "links.topology = 'ring': 6 satellites in a plane see their neighbours only from an altitude of 1079 km "
            "(p0s0 and p0s1)",
        ),
    ],
)
def test_what_links_cannot_be(tmp_path: Path, overrides: list[str], told: str) -> None:
    recipe = small.write_recipe(tmp_path)
    settings = [part for override in overrides for part in ("--set", override)]
    assert refused("plan", recipe, *settings, "--out", tmp_path / "out") == f"{recipe}: {told}"
    assert not (tmp_path / "out").exists()


def test_limits_of_links_are_told_with_the_recipes_keys_and_units(tmp_path: Path, recipe: Path):
    ring = ["--set", "links.topology=ring", "--set", "fleet.planes=1", "--set", "fleet.phasing=0"]
    ring += ["--set", "fleet.altitude_km=2000.0"]
    line = unchanged(tmp_path, "plan", recipe, *ring, "--set", "links.maximum_range_km=4000")
    assert line.startswith(
        f"{recipe}: links.maximum_range_km = 4000.0: neighbours in a plane (p0s0 and p0s1) are never"
    )
    line = unchanged(
        tmp_path,
        "plan",
        recipe,
        *ring,
        "--set",
        "links.maximum_range_km=9000",
        "--set",
        "links.maximum_rate_deg_s=0.01",
    )
    told = "the line of sight of neighbours in a plane (p0s0 and p0s1) never turns slower than 0.0472; allow that"
    assert line == f"{recipe}: links.maximum_rate_deg_s = 0.01: {told}"


def test_broken_contact_plans_are_told_with_their_place(tmp_path: Path, recipe: Path):
    plan = tmp_path / "plan.ion"
    plan.write_text("# ours\na contact +0 +9 1 7 100\na range +0 +9 1 7 1\n", encoding="utf-8")
    line = unchanged(tmp_path, "plan", recipe, "--set", "links.plan=plan.ion", "--out", tmp_path / "out")
    problem = "there is no node 7; accepted are 1 (p0s0) to 6 (p5s0), satellites before sites"
    assert line == f"{recipe}: links.plan = '{plan}, line 2': {problem}"


def test_a_terminal_that_can_hold_no_link_is_warned_of(recipe: Path) -> None:
    fields = "links.fields_of_regard=[" + up(90) + ", {azimuth_deg=0, elevation_deg=-80, half_angle_deg=120}]"
    result = run("plan", recipe, "--set", fields, "--set", "schedule.budget_steps=60")
    assert result.exit_code == 0
    assert result.stderr == (
        f"warning: {recipe}: links.fields_of_regard.0 = '40 deg about azimuth 0, elevation 90': this terminal can hold "
        "no link within the horizon: nobody whom it sees can point back\n"
    )
