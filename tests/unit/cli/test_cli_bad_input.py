"""What the user gets wrong is told in one line, and nothing is written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from orbital_train.errors import InputError
from orbital_train.windows.plan import ContactPlan
from tests import small
from tests.unit.cli.command import refused, run
from tests.unit.orbit.server import content, failure, serving
from tests.unit.schedule.scenarios import contacts

TLE = """ISS
1 25544U 98067A   26079.50000000  .00000000  00000-0  00000-0 0  9990
2 25544  51.6400 100.0000 0005000  90.0000 270.0000 15.50000000    06
"""


def checked(line: str) -> str:
    """An element set's line with its checksum."""
    total = sum(int(c) if c.isdigit() else c == "-" for c in line[:68])
    return line[:68] + str(total % 10)


def element_set(name: str, day: float, number: int = 25544, anomaly_deg: float = 0.0) -> str:
    first = f"1 {number:05d}U 98067A   26{day:012.8f}  .00000000  00000-0  00000-0 0  9990"
    second = f"2 {number:05d}  51.6400 100.0000 0005000  90.0000 {anomaly_deg:8.4f} 15.50000000    00"
    return f"{name}\n{checked(first)}\n{checked(second)}\n"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return small.write_recipe(tmp_path)


def unchanged(folder: Path, *arguments: str | Path) -> str:
    """The line that tells what is wrong; nothing has been written or changed."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    line = refused(*arguments)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert not (folder / "out").exists() or before
    return line


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
            "fleet.phasing = 0: satellites of planes 0 and 3 come within 0.0 km of each other ",
        ),
        (["model.width=15"], "model.width = 15: must be a multiple of the 2 heads"),
        (
            ["workload.mfu=0.5"],
            "workload = {'mfu': 0.5, 'step_s': 30.0}: give either step_s, or both device_tflops and",
        ),
        (["links.maximum_range_km=100"], "links = 'p0s0': can never talk to any other node of the fleet: it has no "),
        (
            ["links.rate_gbps=0.001"],
            "links = 'p0s0': can never talk to any other node of the fleet: no contact carries a message of 6 GB",
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
    assert line.startswith(f"{recipe}: links.maximum_rate_deg_s = 0.01: neighbours in a plane")


def test_a_crowded_plane_names_a_key_that_it_has(tmp_path: Path, recipe: Path):
    plane = 'fleet={kind="sun_synchronous", satellites=6, altitude_km=500.0, local_time_h=10.5, '
    line = unchanged(tmp_path, "plan", recipe, "--set", plane + "minimum_separation_km=8000.0}")
    assert line.startswith(f"{recipe}: fleet.satellites = 6: neighbours in plane 0 come within 6878.1 km ")


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


# -- contact plans ---


def test_an_export_that_is_not_known(tmp_path: Path, recipe: Path):
    told = "--export = 'csv': must be one of hdtn, ion"
    assert unchanged(tmp_path, "plan", recipe, "--export", "csv") == f"{recipe}: {told}"


def test_broken_contact_plans_are_told_with_their_place(tmp_path: Path, recipe: Path):
    plan = tmp_path / "plan.ion"
    plan.write_text("# ours\na contact +0 +9 1 7 100\na range +0 +9 1 7 1\n", encoding="utf-8")
    line = unchanged(tmp_path, "plan", recipe, "--set", "links.plan=plan.ion", "--out", tmp_path / "out")
    problem = "there is no node 7; accepted are 1 (p0s0) to 6 (p5s0), satellites before sites"
    assert line == f"{recipe}: links.plan = '{plan}, line 2': {problem}"


# -- element sets ---


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


def two_satellites(tmp_path: Path, day: float) -> list[str]:
    sets = element_set("A", day, 11111) + element_set("B", day, 22222, anomaly_deg=30.0)
    (tmp_path / "elements").write_text(sets, encoding="utf-8")
    return ["--set", "time.horizon_h=4.0", "--set", "schedule.budget_steps=60"]


def test_element_sets_far_from_the_simulated_time(tmp_path: Path, recipe: Path):
    fleet = 'fleet={kind="tle", path="elements"}'
    short = two_satellites(tmp_path, 79.0)  # noon of day 79 is 2026-03-20T12
    near = run("plan", recipe, "--set", fleet, *short)
    assert (near.exit_code, near.stderr) == (0, "")
    short = two_satellites(tmp_path, 69.0)
    warned = run("plan", recipe, "--set", fleet, *short)
    assert warned.exit_code == 0
    told = "A is flown 10.2 days from its epoch; expect 32 km of position error\n"
    assert warned.stderr == f"warning: {recipe}: fleet.path = '{tmp_path / 'elements'}': {told}"
    short = two_satellites(tmp_path, 39.0)
    line = unchanged(tmp_path, "plan", recipe, "--set", fleet, *short)
    assert line.endswith("accepted is 30 days, or fleet.allow_old = true")
    allowed = run("plan", recipe, "--set", fleet.replace("}", ", allow_old=true}"), *short)
    assert allowed.exit_code == 0
    assert "A is flown 40.2 days from its epoch; expect 364 km of position error" in allowed.stderr


def test_satellites_that_fall_are_named_or_left_out(tmp_path: Path, recipe: Path):
    falling = element_set("C", 79.5, 33333).replace("00000-0 0", "90000-0 0").replace("15.50000000", "16.45000000")
    name, *lines = falling.splitlines()
    short = two_satellites(tmp_path, 79.5)
    with (tmp_path / "elements").open("a", encoding="utf-8") as file:
        file.write("\n".join([name, *(checked(line) for line in lines)]))
    fleet = 'fleet={kind="tle", path="elements"}'
    line = unchanged(tmp_path, "plan", recipe, "--set", fleet, *short)
    assert line.startswith(f"{recipe}: fleet.path = 'C': SGP4 at 2026-03-20T00:00:00Z (0 s after the start): ")
    assert line.endswith("; use newer elements, a shorter horizon, or fleet.drop_failing = true")
    dropped = run("plan", recipe, "--set", fleet.replace("}", ", drop_failing=true}"), *short)
    told = "1 of 3 satellites fail before the horizon and are left out: C; the first 0 s after the start: "
    assert dropped.stderr.startswith(f"warning: {recipe}: fleet.path = '{tmp_path / 'elements'}': {told}")
    assert dropped.exit_code == 0


def test_element_sets_from_a_server(tmp_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORBITAL_TRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    short = two_satellites(tmp_path, 79.5)
    with serving() as server:
        fleet = f'fleet={{kind="tle", path="{server.url}"}}'
        server.answer = failure(403)
        line = unchanged(tmp_path, "plan", recipe, "--set", fleet, *short)
        assert line == f"{recipe}: fleet.path = '{server.url}': the server answers 403 Forbidden"
        server.answer = content(b"No GP data found")
        line = unchanged(tmp_path, "plan", recipe, "--set", fleet, *short)
        told = "line 1: the name 'No GP data found' is not followed by an element set"
        assert line == f"{recipe}: fleet.path = '{server.url}': {told}"
        server.answer = content((tmp_path / "elements").read_bytes())
        for _ in range(2):
            result = run("plan", recipe, "--set", fleet, *short)
            assert (result.exit_code, result.stderr) == (0, "")
        assert len(server.paths) == 3
        (copy,) = (tmp_path / "cache" / "elements").iterdir()
        os.utime(copy, (0.0, 0.0))
        server.answer = failure(500)
        result = run("plan", recipe, "--set", fleet, *short)
        assert result.exit_code == 0
        assert f"'{server.url}': the server answers 500 Internal Server Error; a copy that is " in result.stderr


def test_a_bad_row_of_sites(tmp_path: Path, recipe: Path):
    (tmp_path / "sites.csv").write_text("name,latitude_deg,longitude_deg\nOslo,sixty,10\n", encoding="utf-8")
    line = unchanged(tmp_path, "plan", recipe, "--set", "ground_site_file=sites.csv")
    told = "line 2: latitude_deg = 'sixty': must be a valid number, unable to parse string as a number"
    assert line == f"{recipe}: ground_site_file = '{tmp_path / 'sites.csv'}': {told}"


# -- generated fleets ---


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


# -- windows and horizons ---


def test_a_window_of_no_length_is_refused():
    with pytest.raises(InputError, match="the window n0 to n1 has no length; end must be after start") as caught:
        contacts(2, [(0, 1, 5.0, 5.0)], 10.0, 1e9, 0.0)
    assert caught.value.value == "[5.0, 5.0) s"


def test_a_short_horizon_is_warned_of_and_noted(tmp_path: Path, recipe: Path):
    out = tmp_path / "out"
    result = run("plan", recipe, "--set", "time.horizon_h=3.0", "--set", "schedule.budget_steps=60", "--out", out)
    assert result.exit_code == 0
    told = "time.horizon_h = 3.0: is under two orbits of 1.68 h: few windows change"
    assert result.stderr == f"warning: {recipe}: {told}\n"
    plan = json.loads((out / "plan" / "summary.json").read_text())
    assert (plan["notes"], plan["ideal"], plan["merged_steps"]) == ([told], False, 60)


def test_a_budget_that_cannot_be_merged_is_warned_of(recipe: Path):
    result = run("plan", recipe, "--set", "time.horizon_h=4.0", "--set", "schedule.budget_steps=100000")
    assert result.exit_code == 0
    assert "schedule.budget_steps = 100000: link_aware merges only " in result.stderr


# -- directories ---


@pytest.fixture
def planned(tmp_path: Path, recipe: Path) -> Path:
    assert run("plan", recipe, "--out", tmp_path / "run").exit_code == 0
    return tmp_path / "run"


@pytest.mark.parametrize("command", ["plan", "train", "compare"])
def test_another_run_is_not_written_over(tmp_path: Path, recipe: Path, planned: Path, command: str):
    line = unchanged(tmp_path, command, recipe, "--out", planned)
    told = "is not empty; choose another directory, or continue its run with --resume"
    assert line == f"{recipe}: --out = '{planned}': {told}"
    line = unchanged(tmp_path, command, recipe, "--out", recipe)
    assert line == f"{recipe}: --out = '{recipe}': {told}"


@pytest.mark.parametrize("command", ["train", "compare"])
def test_nothing_to_resume(tmp_path: Path, recipe: Path, command: str):
    line = unchanged(tmp_path, command, recipe, "--out", tmp_path / "out", "--resume")
    assert line.startswith(f"{recipe}: --out = '{tmp_path / 'out'}': holds no ")
    assert refused(command, recipe, "--resume").startswith(f"{recipe}: --out = None: --resume needs the directory")


def test_a_directory_that_cannot_be_made(tmp_path: Path, recipe: Path):
    line = unchanged(tmp_path, "plan", recipe, "--out", recipe / "out")
    assert line == f"{recipe}: --out = '{recipe / 'out'}': cannot be written: Not a directory"


def test_a_changed_recipe_is_not_resumed(tmp_path: Path, recipe: Path, planned: Path):
    line = unchanged(tmp_path, "train", recipe, "--out", planned, "--resume", "--set", "inner.lr=0.5")
    told = "inner.lr = 0.5: the run was made with 0.004; on resume only cluster.workers, "
    assert line.startswith(f"{recipe}: {told}")
    later = "time.start=2026-03-21T00:00:00Z"
    line = unchanged(tmp_path, "train", recipe, "--out", planned, "--resume", "--set", later)
    assert "the run was made with 2026-03-20T00:00:00+00:00;" in line


def test_a_directory_in_use(tmp_path: Path, recipe: Path, planned: Path):
    hold = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    command = [sys.executable, "-c", hold, planned / ".lock"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        line = unchanged(tmp_path, "train", recipe, "--out", planned, "--resume")
        assert line == f"{recipe}: --out = '{planned}': is in use by another process"
        holder.communicate("\n")


# -- training ---


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            ["data.corpus=none.txt"],
            "data.corpus = '{folder}/none.txt': cannot be read (No such file or directory); give ",
        ),
        (["data.sha256=" + "0" * 64], "data.sha256 = '" + "0" * 64 + "': the text of {folder}/corpus.txt has SHA-256"),
        (["cluster.workers=7"], "cluster.workers = 7: must be from 1 to the number of training nodes, 6"),
        (["inner.batch_size=100000"], "inner.batch_size = 100000: a batch of sequences of 16 + 1 tokens is longer"),
        (["data.validation_fraction=0.0001"], "data.validation_fraction = 0.0001: holds out "),
        (
            ["model.width=16384", "model.layers=100"],
            "model = {'layers': 100, 'heads': 2, 'width': 16384, 'context': 16}: needs about ",
        ),
    ],
    ids=["corpus", "sha256", "workers", "batch", "validation", "memory"],
)
@pytest.mark.parametrize("command", ["train", "compare"])
def test_training_that_will_not_do(tmp_path: Path, recipe: Path, command: str, overrides: list[str], told: str):
    settings = [part for override in overrides for part in ("--set", override)]
    line = unchanged(tmp_path, command, recipe, *settings, "--out", tmp_path / "out")
    assert line.startswith(f"{recipe}: {told.replace('{folder}', str(tmp_path))}")
    assert not (tmp_path / "out").exists()


def test_an_unknown_baseline(tmp_path: Path, recipe: Path):
    line = unchanged(tmp_path, "compare", recipe, "--against", "magic", "--out", tmp_path / "out")
    assert line.startswith(f"{recipe}: --against = 'magic': must be one of fully_connected, ideal_diloco, ")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "no such file"),
        ("{", "is not JSON: "),
        ('[{"arm": 1}]', "must be a list of tables"),
        ("3", "must be a list"),
    ],
)
def test_a_tuning_grid_that_will_not_do(tmp_path: Path, recipe: Path, content: str | None, told: str):
    if content is not None:
        (tmp_path / "grid.json").write_text(content, encoding="utf-8")
    line = unchanged(tmp_path, "compare", recipe, "--set", "compare.tuning=grid.json", "--out", tmp_path / "out")
    assert line.startswith(f"{recipe}: compare.tuning = '{tmp_path / 'grid.json'}': {told}")


def test_reports_of_what_is_no_run(tmp_path: Path, planned: Path):
    assert refused("report", tmp_path).startswith(f"RUN_DIR = '{tmp_path}': is not a run directory; give one that ")
    assert refused("report", planned).startswith(
        f"RUN_DIR = '{planned}': has no summary.json: the run has not finished"
    )


def test_plans_of_links_that_are_read_back(planned: Path):
    plan = ContactPlan.read(planned / "plan" / "contacts.parquet")
    assert plan.node_names == ("p0s0", "p1s0", "p2s0", "p3s0", "p4s0", "p5s0")
    assert np.all(plan.end_s > plan.start_s)


# -- figures beyond all bounds ---


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
