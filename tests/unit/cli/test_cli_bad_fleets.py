"""Fleets, element sets and ground sites that will not do are told in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import small
from tests.unit.cli.command import run, unchanged
from tests.unit.orbit.server import content, failure, serving


def checked(line: str) -> str:
    """An element set's line with its checksum."""
    total = sum(int(c) if c.isdigit() else c == "-" for c in line[:68])
    return line[:68] + str(total % 10)


def element_set(name: str, day: float, number: int = 25544, anomaly_deg: float = 0.0) -> str:
    first = f"1 {number:05d}U 98067A   26{day:012.8f}  .00000000  00000-0  00000-0 0  9990"
    second = f"2 {number:05d}  51.6400 100.0000 0005000  90.0000 {anomaly_deg:8.4f} 15.50000000    00"
    return f"{name}\n{checked(first)}\n{checked(second)}\n"


@pytest.mark.parametrize(
    ("kind", "content", "told"),
    [
        ("tle", "", "line 1: the file holds no element set"),
        (
            "tle",
            "ISS\n\n" + checked("1 25544U 98067A   26079.50000000  .00000000  00000-0  00000-0 0  9990"),
            "line 4: ",
        ),
        ("tle", element_set("ISS", 79.5).replace("51.6400", "51.6401"), "line 3: "),
        (
            "tle",
            element_set("A", 79.5) + element_set("A", 79.5),
            "names occur more than once: 'A'; choose with fleet.names or edit the file",
        ),
        ("omm", "", "line 1: expected OMM as JSON, CSV or XML, found 'nothing'"),
        ("omm", "[]", "line 1: expected a JSON list with at least one OMM record"),
        ("omm", '[\n{"OBJECT_NAME": "A",\n}]', "line 3: not JSON: "),
        ("omm", '[{"OBJECT_NAME": "A"}]', "record 1: the field EPOCH is missing"),
    ],
)
def test_broken_element_sets_are_told_with_their_place(
    tmp_path: Path, recipe: Path, kind: str, content: str, told: str
):
    elements = tmp_path / "elements"
    elements.write_text(content, encoding="utf-8")
    line = unchanged(tmp_path, "plan", recipe, "--set", f'fleet={{kind="{kind}", path="elements"}}')
    assert line.startswith(f"{recipe}: fleet.path = '{elements}': {told}")


def test_element_sets_that_are_not_there(tmp_path: Path, recipe: Path):
    line = unchanged(tmp_path, "plan", recipe, "--set", 'fleet={kind="tle", path="none"}')
    assert line.startswith(f"{recipe}: fleet.path = '{tmp_path / 'none'}': cannot be read: No such file")


def test_an_address_that_nobody_can_read(tmp_path: Path, recipe: Path):
    line = unchanged(tmp_path, "plan", recipe, "--set", 'fleet={kind="omm", path="ftp://example.org/gp.json"}')
    problem = "is no address that can be read; accepted is a file, or http:// or https:// for element sets"
    assert line == f"{recipe}: fleet.path = 'ftp://example.org/gp.json': {problem}"


@pytest.fixture
def sky(tmp_path: Path) -> Path:
    """The fleet and its sky alone: refusals of element sets need no more."""
    return small.write_recipe(tmp_path, small.SKY_RECIPE)


def two_satellites(tmp_path: Path, day: float) -> list[str]:
    sets = element_set("A", day, 11111) + element_set("B", day, 22222, anomaly_deg=30.0)
    (tmp_path / "elements").write_text(sets, encoding="utf-8")
    return ["--set", "time.horizon_h=4.0"]


def test_element_sets_far_from_the_simulated_time(tmp_path: Path, sky: Path):
    fleet = 'fleet={kind="tle", path="elements"}'
    short = two_satellites(tmp_path, 79.0)  # noon of day 79 is 2026-03-20T12
    near = run("plan", sky, "--set", fleet, *short)
    assert (near.exit_code, near.stderr) == (0, "")
    short = two_satellites(tmp_path, 69.0)
    warned = run("plan", sky, "--set", fleet, *short)
    assert warned.exit_code == 0
    told = "A is flown 10.2 days from its epoch; expect 32 km of position error\n"
    assert warned.stderr == f"warning: {sky}: fleet.path = '{tmp_path / 'elements'}': {told}"
    short = two_satellites(tmp_path, 39.0)
    line = unchanged(tmp_path, "plan", sky, "--set", fleet, *short)
    assert line.endswith("accepted is 30 days, or fleet.allow_old = true")
    allowed = run("plan", sky, "--set", fleet.replace("}", ", allow_old=true}"), *short)
    assert allowed.exit_code == 0
    assert "A is flown 40.2 days from its epoch; expect 364 km of position error" in allowed.stderr


def test_satellites_that_fall_are_named_or_left_out(tmp_path: Path, sky: Path):
    falling = element_set("C", 79.5, 33333).replace("00000-0 0", "90000-0 0").replace("15.50000000", "16.45000000")
    name, *lines = falling.splitlines()
    short = two_satellites(tmp_path, 79.5)
    with (tmp_path / "elements").open("a", encoding="utf-8") as file:
        file.write("\n".join([name, *(checked(line) for line in lines)]))
    fleet = 'fleet={kind="tle", path="elements"}'
    line = unchanged(tmp_path, "plan", sky, "--set", fleet, *short)
    assert line.startswith(f"{sky}: fleet.path = 'C': SGP4 at 2026-03-20T00:00:00Z (0 s after the start): ")
    assert line.endswith("; use newer elements, a shorter horizon, or fleet.drop_failing = true")
    dropped = run("plan", sky, "--set", fleet.replace("}", ", drop_failing=true}"), *short)
    told = "1 of 3 satellites fail before the horizon and are left out: C; the first 0 s after the start: "
    assert dropped.stderr.startswith(f"warning: {sky}: fleet.path = '{tmp_path / 'elements'}': {told}")
    assert dropped.exit_code == 0


def test_element_sets_from_a_server(tmp_path: Path, sky: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORBITAL_TRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    short = two_satellites(tmp_path, 79.5)
    with serving() as server:
        fleet = f'fleet={{kind="tle", path="{server.url}"}}'
        server.answer = failure(403)
        line = unchanged(tmp_path, "plan", sky, "--set", fleet, *short)
        assert line == f"{sky}: fleet.path = '{server.url}': the server answers 403 Forbidden"
        server.answer = content(b"No GP data found")
        line = unchanged(tmp_path, "plan", sky, "--set", fleet, *short)
        told = "line 1: the name 'No GP data found' is not followed by an element set"
        assert line == f"{sky}: fleet.path = '{server.url}': {told}"
        server.answer = content((tmp_path / "elements").read_bytes())
        for _ in range(2):
            result = run("plan", sky, "--set", fleet, *short)
            assert (result.exit_code, result.stderr) == (0, "")
        assert len(server.paths) == 3
        (copy,) = (tmp_path / "cache" / "elements").iterdir()
        os.utime(copy, (0.0, 0.0))
        server.answer = failure(500)
        result = run("plan", sky, "--set", fleet, *short)
        assert result.exit_code == 0
        assert f"'{server.url}': the server answers 500 Internal Server Error; a copy that is " in result.stderr


def test_a_bad_row_of_sites(tmp_path: Path, recipe: Path):
    (tmp_path / "sites.csv").write_text("name,latitude_deg,longitude_deg\nOslo,sixty,10\n", encoding="utf-8")
    line = unchanged(tmp_path, "plan", recipe, "--set", "ground_site_file=sites.csv")
    told = "line 2: latitude_deg = 'sixty': must be a valid number, unable to parse string as a number"
    assert line == f"{recipe}: ground_site_file = '{tmp_path / 'sites.csv'}': {told}"


@pytest.mark.parametrize(
    ("fleet", "told"),
    [
        (
            'kind="layered", shells=[{planes=30, satellites_per_plane=9, altitude_km=1000, altitude_step_km=200, '
            'inclination_deg="sun_synchronous"}]',
            "fleet.shells.0.altitude_km = 6000.0: too high for a Sun-synchronous orbit; accepted is below 5,900 km",
        ),
        (
            'kind="layered", shells=[{planes=3, satellites_per_plane=9, altitude_km=1000, altitude_step_km=0.5, '
            "inclination_deg=30}]",
            "fleet.shells = 'planes 0 and 1': satellites of planes 0 and 1 come within 0.5 km of each other "
            "(accepted is 1 km); use another phasing, other altitudes or fewer satellites",
        ),
        (
            'kind="cluster", altitude_km=650.0, local_time_h=18.0, spacing_m=20.0',
            "fleet.spacing_m = 20.0: two satellites come within 20 m of each other ",
        ),
        (
            'kind="cluster", altitude_km=650.0, local_time_h=18.0, only_planes=[11]',
            "fleet.only_planes = [11]: no satellite is in plane 11; they are numbered 0 to 10",
        ),
        (
            'kind="walker_delta", satellites=6, planes=6, phasing=5, altitude_km=800, inclination_deg=53, names=["x"]',
            "fleet.names = 'x': no satellite has a name like this; they look like 'p0s0'",
        ),
    ],
)
def test_fleets_that_will_not_do(tmp_path: Path, recipe: Path, fleet: str, told: str):
    line = unchanged(tmp_path, "plan", recipe, "--set", f"fleet={{{fleet}}}")
    assert line.startswith(f"{recipe}: {told}")


def test_a_crowded_plane_names_a_key_that_it_has(tmp_path: Path, recipe: Path):
    plane = 'fleet={kind="sun_synchronous", satellites=6, altitude_km=500.0, local_time_h=10.5, '
    line = unchanged(tmp_path, "plan", recipe, "--set", plane + "minimum_separation_km=8000.0}")
    assert line.startswith(f"{recipe}: fleet.satellites = 6: neighbours in plane 0 come within 6878.1 km ")
