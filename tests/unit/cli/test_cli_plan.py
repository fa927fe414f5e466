from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from orbital_train.cli.plan import measured
from orbital_train.cli.plan_tables import Planned, nodes_table, sky_table
from orbital_train.cli.planning import fly, survey
from orbital_train.cli.reach_tables import reach_rows, reach_table
from orbital_train.cli.sky import sky_at
from orbital_train.orbit.constants import EARTH_RADIUS_M
from orbital_train.schedule.reach import Reach
from orbital_train.windows.measures import typical_moment_s
from tests import small
from tests.unit.cli.command import run

SITE = 'ground_sites=[{name="Canberra", latitude_deg=-35.4, longitude_deg=148.98}]'


def plain(table: Table | None, width: int = 80) -> list[str]:
    """The table as it stands in a pipe."""
    console = Console(width=width, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Planned:
    recipe = small.recipe(tmp_path_factory.mktemp("planned"), SITE)
    return measured(recipe, fly(recipe))


def test_the_sky_is_told_in_a_line_a_figure(planned: Planned):
    assert plain(sky_table(planned)) == SKY.splitlines()


def test_every_node_has_a_row(planned: Planned):
    assert plain(nodes_table(planned)) == NODES.splitlines()


def test_every_pair_of_a_small_fleet_is_told(planned: Planned):
    assert plain(reach_table(planned.reaches[0], planned.names)) == PAIRS.splitlines()


SKY = """\
nodes             6 satellites in 6 planes, 1 ground site
horizon           12.0 h, 7.14 orbits
contacts          512 (one way) of 256 links between 20 of 21 pairs
opportunities     300 before terminals are matched, 256 links after
link duty         97.7 % (97.3 to 97.9 %) of the time; 1.73 open on average
eclipse           29.4 % (27.0 to 33.9 %) in umbra; 29.6 % of sunlight lost
longest eclipse   35.2 min, penumbra included (p0s0)
compute duty      63.1 % (57.1 to 66.1 %) of an always-powered satellite's steps
message, 6.00 GB  42 of 42 pairs; median 3.15 min, longest 1.86 h
signal, 1.00 kB   42 of 42 pairs; median 49.1 s, longest 1.69 h
slowest pair      p4s0 to Canberra
delays            median from the start; longest of any start time in one orbit
"""
NODES = """\
                  longest                                          reached
node      umbra   eclipse  contacts  linked  steps    duty  waits   within
p0s0       34 %  35.2 min        73    98 %     89  57.1 %  6.4 %   1.66 h
p1s0       27 %  28.9 min        88    97 %    106  66.1 %  6.4 %   1.66 h
p2s0       27 %  28.7 min        89    98 %    105  66.1 %  6.4 %   1.64 h
p3s0       34 %  35.2 min        76    98 %     89  57.1 %  6.4 %   1.71 h
p4s0       27 %  28.8 min        88    97 %    105  66.1 %  6.4 %   1.71 h
p5s0       27 %  28.5 min        87    98 %    106  66.1 %  6.4 %   1.72 h
Canberra                         11     8 %                         1.86 h
"""
PAIRS = """\
longest delay of 6.00 GB, from row to column (h)
from      p0s0  p1s0  p2s0  p3s0  p4s0  p5s0  Canberra
p0s0         ·  0.19  0.21  0.22  0.23  0.22       1.7
p1s0      0.22     ·  0.19  0.21  0.22  0.23       1.6
p2s0      0.23  0.22     ·  0.19  0.21  0.22       1.6
p3s0      0.22  0.23  0.22     ·  0.19  0.21       1.8
p4s0      0.21  0.22  0.23  0.22     ·  0.19       1.9
p5s0      0.19  0.21  0.22  0.23  0.22     ·       1.8
Canberra   1.7   1.7   1.6   1.7   1.7   1.7         ·
"""


def fleet_of(planned: Planned, satellites: int, planes: int) -> Planned:
    """The same figures for a larger fleet: its first satellite has the lowest, its last the highest."""
    fleet, trace = planned.fleet, planned.flight.trace
    names = tuple(f"p{i % planes}s{i // planes}" for i in range(satellites))
    rising = np.linspace(0.1, 0.5, satellites)
    reach = replace(planned.reaches[0], worst_s=np.tile(rising * 600, (2, 1)))
    contacts = replace(planned.flight.survey.contacts, node_names=names)
    return replace(
        planned,
        fleet=replace(fleet, names=names, satrecs=fleet.satrecs[:1] * satellites, plane=np.arange(satellites) % planes),
        flight=replace(
            planned.flight,
            survey=replace(planned.flight.survey, contacts=contacts),
            trace=replace(trace, accounts=trace.accounts[:1] * satellites),
        ),
        eclipses=replace(planned.eclipses, umbra=rising, shaded=rising, longest_s=rising * 6000),
        linked=replace(planned.linked, contacts=np.arange(satellites), duty=rising, open_links=rising),
        reaches=(reach, reach),
    )


def test_a_cluster_is_told_as_what_it_is(planned: Planned):
    six = replace(planned, fleet=replace(planned.fleet, pattern="cluster"))
    assert plain(sky_table(six))[0] == "nodes             a cluster of 6 satellites, 1 ground site"
    many = fleet_of(planned, 81, 11)
    many = replace(many, fleet=replace(many.fleet, pattern="cluster"))
    assert [line.split("  ")[0] for line in plain(nodes_table(many))[:3]] == ["row", "(satellites)", "0 (8)"]


def test_a_larger_fleet_is_told_by_plane(planned: Planned):
    rows = plain(nodes_table(fleet_of(planned, 60, 3)))[2:]
    assert [row.split("  ")[0] for row in rows] == ["0 (20)", "1 (20)", "2 (20)"]
    means = [np.linspace(0.1, 0.5, 60)[plane::3].mean() for plane in range(3)]
    assert [row.split()[2] for row in rows] == [f"{mean:.0%}".removesuffix("%") for mean in means]
    assert rows[2].endswith("5.00 min")  # the worst of the plane
    assert all(len(row) <= 80 for row in rows)


def test_a_fleet_of_many_planes_is_told_by_quantiles(planned: Planned):
    of, head, *rows = plain(nodes_table(fleet_of(planned, 1584, 72)))
    assert (of.split()[:2], head.split()[:2]) == (["of", "1,584"], ["satellites", "umbra"])
    assert [row[:13].strip() for row in rows] == ["lowest", "lower quarter", "median", "upper quarter", "highest"]
    assert [row[13:].split()[0] for row in rows] == ["10", "20", "30", "40", "50"]
    assert all(len(row) <= 80 for row in rows)


def test_pairs_that_never_meet_are_named_and_those_that_are_late_counted():
    inf = np.inf
    reach = Reach(
        bits=8_000_000_000, sources=(0, 1, 2), starts=None,
        first_s=np.array([[0.0, 60.0, inf], [90.0, 0.0, inf], [inf, inf, 0.0]]),
        worst_s=np.array([[0.0, inf, inf], [120.0, 0.0, inf], [inf, inf, 0.0]]),
    )  # fmt: skip
    rows = dict(reach_rows((reach,), ("a", "b", "c")))
    assert rows["message, 1.00 GB"] == "2 of 6 pairs; median 75.0 s, longest beyond the horizon"
    assert rows["slowest pair"] == "a to b"
    assert rows["cannot reach"] == "a to c, b to c, c to a, c to b"
    assert plain(reach_table(reach, ("a", "b", "c"))) == [
        "longest delay of 1.00 GB,",
        "from row to column (min)",
        "from      a      b      c",
        "a         ·   late  never",
        "b       2.0      ·  never",
        "c     never  never      ·",
    ]


def test_a_sample_of_a_large_fleet_is_named():
    sources = (0, 50, 149)
    reach = Reach(bits=8, sources=sources, starts=4, first_s=np.ones((3, 150)), worst_s=np.full((3, 150), 2.0))
    names = tuple(f"s{i:03d}" for i in range(150))
    told = "median from the start; longest of 4 start times in one orbit; from 3 nodes, evenly chosen: s000, s050, s149"
    assert dict(reach_rows((reach,), names))["delays"] == told
    assert reach_table(reach, names) is None


def test_an_ideal_world_and_a_lonely_satellite_follow_no_messages(tmp_path: Path):
    recipe = small.recipe(tmp_path, "schedule.policy=fully_connected")
    ideal = measured(recipe, fly(recipe))
    assert ideal.reaches == ()
    labels = [line.split("  ")[0] for line in plain(sky_table(ideal))]
    assert labels == ["nodes", "horizon", "contacts", "link duty", "eclipse", "compute duty"]


def test_the_sky_at_a_moment(tmp_path: Path):
    recipe = small.recipe(tmp_path, SITE)
    planned = measured(recipe, fly(recipe))
    t_s = typical_moment_s(planned.flight.survey.contacts)
    sky = sky_at(recipe, planned.fleet, t_s)
    assert sky.moment.startswith("2026-03-20 0")
    altitude_m = np.linalg.norm(sky.satellites_m, axis=-1) - EARTH_RADIUS_M
    assert altitude_m == pytest.approx(800e3, abs=15e3)
    assert (sky.orbits_m.shape, sky.tails_deg.shape) == ((6, 181, 3), (6, 16, 2))
    np.testing.assert_allclose(sky.orbits_m[:, 0], sky.satellites_m)
    np.testing.assert_allclose(sky.orbits_m[:, -1], sky.satellites_m, atol=1.0)
    x, y, z = (sky.sites_m[0] / np.linalg.norm(sky.sites_m[0])).tolist()
    longitude_deg = (np.degrees(np.arctan2(y, x) - sky.sidereal_rad)) % 360
    assert (longitude_deg, np.degrees(np.arcsin(z))) == pytest.approx((148.98, -35.22), abs=0.02)  # geocentric latitude
    assert sky.sun[2] == pytest.approx(0.0, abs=0.01)  # the day of the equinox


def test_the_stages_of_planning_are_noted_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORBITAL_TRAIN_PLAN_CACHE", "off")
    noted: list[str] = []
    recipe = small.recipe(tmp_path)
    sky = survey(recipe, noted.append)
    assert noted == [
        "building the fleet",
        "propagating the fleet",
        "finding links",
        "matching terminals",
        "finding light and shadow",
    ]
    assert len(sky.opportunities) > 0
    noted.clear()
    fly(recipe, sky, noted.append)
    assert noted == ["checking energy and links", "simulating the schedule", "checking the schedule"]


def test_plan_prints_writes_and_draws(tmp_path: Path):
    result = run("plan", small.write_recipe(tmp_path))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "steps merged / trained / budget  600 / 600 / 600" in result.stdout
    assert result.stdout.splitlines()[-1] == "plan, pictures and trace: runs/small-plan"
    written = sorted(path.name for path in Path("runs/small-plan/plan").iterdir())
    assert [name for name in written if name.endswith(".png")] == ["orbits.png", "timeline.png"]
    assert {"contacts.parquet", "illumination.parquet", "opportunities.parquet", "summary.json"} < set(written)


def test_a_plan_of_one_satellite(tmp_path: Path):
    fleet = 'fleet={kind="sun_synchronous", satellites=1, altitude_km=500.0, local_time_h=10.5}'
    recipe = small.write_recipe(tmp_path)
    result = run("plan", recipe, "--set", fleet, "--set", "schedule.budget_steps=100", "--out", "one")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "1 satellite in 1 plane" in result.stdout
    assert Path("one/plan/orbits.png").stat().st_size > 10_000
