"""Plans of a sky alone: in one go for fleets that a grid holds, and streamed for others."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from orbital_train.cli import sky_cache
from orbital_train.cli.sky_estimate import estimate_line
from orbital_train.cli.sky_plan import plan_sky
from orbital_train.cli.sky_stream import check_streamable
from orbital_train.cli.tables import recipes_folder
from orbital_train.config import build
from orbital_train.config.load import load_plan
from orbital_train.errors import InputWarning
from orbital_train.orbit.separation import closest_planes
from orbital_train.orbit.shells import Planes, planes_of_spec
from orbital_train.windows.plan import ContactPlan
from tests import small
from tests.unit.cli.command import refused, run
from tests.unit.cli.test_cli_planning import ELEMENT_SET

NEAREST = """name = "layers"
description = "Two shells that see each other"
[time]
start = 2026-06-21T00:00:00Z
horizon_h = 2.0
[fleet]
kind = "layered"
shells = [
    { planes = 6, satellites_per_plane = 8, altitude_km = 900.0, inclination_deg = 60.0, phasing = 1.0 },
    { planes = 2, satellites_per_plane = 12, altitude_km = 700.0, altitude_step_km = 20.0, inclination_deg = "sun_synchronous", local_time_h = 18.0, node_spread_deg = 0.0 },
]
[links]
topology = "nearest"
maximum_rate_deg_s = 0.3
"""  # noqa: E501


def sky(folder: Path, text: str = NEAREST) -> Path:
    return small.write_recipe(folder, text)


def told(recipe: Path, out: Path, **options: int) -> str:
    console = Console(width=100, force_terminal=False, color_system=None)
    with console.capture() as capture:
        plan_sky(load_plan(recipe), out, console, **options)
    return capture.get()


def test_a_streamed_plan_is_the_plan_that_is_made_on_a_grid(tmp_path: Path) -> None:
    grid, stream = tmp_path / "grid", tmp_path / "stream"
    on_grid, streamed = told(sky(tmp_path), grid), told(sky(tmp_path), stream, most_on_grid=71)
    plans = [ContactPlan.read(out / "plan" / "contacts.parquet") for out in (grid, stream)]
    assert len(plans[0]) == len(plans[1]) > 500
    assert plans[0].node_names == plans[1].node_names
    for field in fields(ContactPlan)[2:]:
        # A grid has the derivative of SGP4's positions as velocities, a stream SGP4's own: edges move by that.
        apart = {"end_s": 2e-3, "owlt_s": 1e-7}.get(field.name, 0.0)
        ours, theirs = (getattr(plan, field.name) for plan in plans)
        np.testing.assert_allclose(ours, theirs, rtol=0.0, atol=apart, err_msg=field.name)
    whole, parts = (json.loads((out / "plan" / "summary.json").read_text()) for out in (grid, stream))
    assert whole.pop("notes") == parts.pop("notes") == []
    assert parts == pytest.approx(whole, rel=1e-5)
    # What is told is the same, but for the year's nights, the estimate and what it took.
    assert rows(on_grid) == rows(streamed) == WINDOWS
    assert [(out / "plan" / "orbits.png").exists() for out in (grid, stream)] == [True, False]
    assert streamed.startswith("estimate for 72 satellites over 2.00 h: about ")


def test_a_streamed_plan_comes_from_the_cache_the_second_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORBITAL_TRAIN_CACHE", str(tmp_path / "cache"))
    recipe = sky(tmp_path)
    first = told(recipe, tmp_path / "first", most_on_grid=71)
    (entry,) = (path for path in (tmp_path / "cache" / "plans").iterdir() if path.is_dir())
    with monkeypatch.context() as nobody:
        for name in ("stream_contacts", "stream_eclipses"):
            nobody.setattr(sky_cache, name, None)
        second = told(recipe, tmp_path / "second", most_on_grid=71)
    (entry / "contacts.parquet").write_bytes(b"PAR1")
    third = told(recipe, tmp_path / "third", most_on_grid=71)
    assert rows(first) == rows(second) == rows(third) == WINDOWS
    for name in ("contacts.parquet", "summary.json"):
        first_bytes = (tmp_path / "first" / "plan" / name).read_bytes()
        assert [(tmp_path / out / "plan" / name).read_bytes() for out in ("second", "third")] == [first_bytes] * 2


def rows(text: str) -> str:
    """The tables, without spaces at the ends of lines."""
    tables = text[text.index("nodes") : text.index("\n\n", text.index("shell "))]
    return "".join(f"{line.rstrip()}\n" for line in tables.splitlines())


WINDOWS = """\
nodes              72 satellites in 8 planes of 2 shells
mean altitude      700 to 900 km
horizon            2.00 h, 1.16 orbits of the slowest satellite
contacts           2,288 (one way) of 1,144 links
contact length     median 6.55 min; half of them 3.98 min to 12.7 min, all 60.0 s to 1.99 h
links a satellite  3.25 open on average (2.59 to 3.98)
link duty          97.6 % (88.2 to 99.6 %) of the time
eclipse            23.1 % (0.0 to 42.8 %) in umbra; 23.3 % of sunlight lost
longest eclipse    34.7 min, penumbra included (p1s3)

                                     contacts  links                   longest
shell       inclination  satellites      each   each  linked   umbra   eclipse
900 km           60 deg          48      40.7   2.95  96.6 %  25.7 %  34.7 min
700 km  sun-synchronous          24      13.9   3.86  99.6 %  17.7 %  18.7 min
"""


def test_a_plan_of_a_sky_says_that_there_is_no_schedule(tmp_path: Path) -> None:
    result = run("plan", sky(tmp_path, small.SKY_RECIPE), "--export", "ion")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("nodes              6 satellites in 6 planes  ")
    assert "p0s0 over a year: eclipses" in result.stdout
    last = result.stdout.splitlines()[-2:]
    schedule = "no schedule was simulated: the recipe has no [schedule]"
    assert re.fullmatch(rf"planned in [\d.]+ \w+ and \d\.\d\d GiB; {re.escape(schedule)}", last[0])
    assert last[1] == "windows: runs/small-plan"
    written = {path.name for path in Path("runs/small-plan/plan").iterdir()}
    assert {"contacts.parquet", "illumination.parquet", "orbits.png", "contacts.ion", "summary.json"} < written
    assert load_plan(Path("runs/small-plan/recipe.toml")) == load_plan(tmp_path / "small.toml")


def test_a_whole_recipe_has_the_windows_of_its_sky(tmp_path: Path) -> None:
    for name, text in (("whole", small.RECIPE), ("sky", small.SKY_RECIPE)):
        assert run("plan", sky(tmp_path, text), "--out", name).exit_code == 0
    for name in ("contacts.parquet", "illumination.parquet", "opportunities.parquet"):
        assert (Path("whole/plan") / name).read_bytes() == (Path("sky/plan") / name).read_bytes()


def test_what_is_odd_about_a_fleet_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "elements").write_text("\n".join(ELEMENT_SET), encoding="utf-8")
    head = small.SKY_RECIPE.replace("2026-03-20", "2026-03-27").partition("[fleet]")[0]
    recipe = sky(tmp_path, f'{head}[fleet]\nkind = "tle"\npath = "elements"\n[links]\ntopology = "nearest"\n')
    for way in ({}, {"most_on_grid": 0}):
        out = tmp_path / f"out{len(way)}"
        with pytest.warns(InputWarning) as caught:
            told(recipe, out, **way)
        (note,) = [str(w.message) for w in caught]
        assert "ISS is flown 7.0 days from its epoch" in note
        assert json.loads((out / "plan" / "summary.json").read_text())["notes"] == [note]


@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_sky_alone_is_not_trained(tmp_path: Path, command: str) -> None:
    recipe = sky(tmp_path)
    assert refused(command, recipe) == (
        f"{recipe}: schedule = None: is required and missing; "
        "a recipe without it and the other tables of training is for `orbital-train plan` alone"
    )


LARGE = """name = "large"
description = "Too many for a grid"
[time]
start = 2026-03-20T00:00:00Z
horizon_h = 1.0
[fleet]
kind = "sun_synchronous"
satellites = 5001
altitude_km = 700.0
local_time_h = 18.0
"""
ONLY = "is for at most 5,000 satellites, and these are 5,001"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ([], f"links.topology = 'all_visible': {ONLY}; accepted is 'nearest'"),
        (["links.topology=ring"], f"links.topology = 'ring': {ONLY}; accepted is 'nearest'"),
        (["links.rate_table=[[1000.0, 10.0]]"], f"links.rate_table = '1 rows': {ONLY}; give links.rate_gbps alone"),
        (["links.photons={}"], f"links.photons = 'a table': {ONLY}; give links.rate_gbps alone"),
        (
            ['ground_sites=[{name="Oslo", latitude_deg=59.9, longitude_deg=10.8}]'],
            f"ground_sites = 'Oslo': {ONLY}; leave it out",
        ),
        (["links.plan=plan.ion"], f"links.plan = '{{folder}}/plan.ion': {ONLY}; leave it out"),
        (
            ["links.fields_of_regard=[{azimuth_deg=0.0, half_angle_deg=90.0}]"],
            "links.fields_of_regard = '1 fields': accepted is one for each terminal, and links.terminals is 4",
        ),
        (["links.neighbours=0"], "links.neighbours = 0: must be greater than or equal to 1"),
    ],
)
def test_what_large_fleets_cannot_have_is_named(tmp_path: Path, options: list[str], line: str) -> None:
    recipe = sky(tmp_path, LARGE)
    nearest = ["--set", "links.topology=nearest"] if options and "topology" not in options[0] else []
    given = [part for option in options for part in ("--set", option)]
    assert refused("plan", recipe, *nearest, *given) == f"{recipe}: " + line.format(folder=tmp_path)
    assert not Path("runs").exists()


def test_large_fleets_are_not_written_for_others(tmp_path: Path) -> None:
    recipe = sky(tmp_path, LARGE)
    line = refused("plan", recipe, "--set", "links.topology=nearest", "--export", "hdtn", "--export", "ion")
    assert line == f"{recipe}: --export = 'hdtn, ion': {ONLY}; leave it out"


@pytest.mark.parametrize(
    ("name", "satellites", "altitudes_km"),
    [("spacex_million", 1_000_000, (500, 1_975)), ("blue_origin_sunrise", 51_600, (500, 1_783))],
)
def test_shipped_skies_can_be_planned(name: str, satellites: int, altitudes_km: tuple[int, int]) -> None:
    """As far as it takes no time: their planes are what was filed and keep apart, and all they ask for is there."""
    recipe = load_plan(recipes_folder() / f"{name}.toml")
    planes = planes_of_spec(build.fleet_spec(recipe), recipe.time.start)
    assert planes.satellites.sum() == satellites
    axis_km = planes.axis_m / 1e3 - 6378.137
    assert (axis_km.min(), axis_km.max()) == pytest.approx(altitudes_km, abs=1.0)
    some = planes.satellites.size // 15
    near = Planes(**{key: column[-some:] for key, column in vars(planes).items()})
    assert closest_planes(near, recipe.fleet.minimum_separation_km * 1e3) is None
    check_streamable(recipe, satellites, ())


def test_what_a_large_plan_takes_is_estimated() -> None:
    """Beside what was measured: 302 s, 4.23 GiB and 190 MB; 13 s, 0.53 GiB and 5 MB."""
    million = "estimate for 1,000,000 satellites over 1.60 h: about 4.85 min, 4.2 GiB of memory, 197 MB on disk"
    assert estimate_line(1_000_000, 5_760.0) == million
    sunrise = "estimate for 51,600 satellites over 1.60 h: about 15.0 s, 0.5 GiB of memory, 10.2 MB on disk"
    assert estimate_line(51_600, 5_760.0) == sunrise
