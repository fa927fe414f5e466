from __future__ import annotations

import json
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from orbital_train.errors import InputError, InputWarning
from orbital_train.orbit.ephemeris import Sgp4Ephemeris
from orbital_train.orbit.fleet import ElementFileSpec, Fleet, build_fleet, check_age
from orbital_train.orbit.shells import SunSynchronousSpec, WalkerSpec
from orbital_train.orbit.times import sidereal_angle_rad
from tests.unit.orbit.element_texts import LINE_1, LINE_2, RECORD

START = datetime(2026, 3, 20, tzinfo=UTC)
SNAPSHOT = Path(__file__).resolve().parents[4] / "shared" / "data" / "starlink_omm_2024-05.json.gz"


def walker(**change: object) -> WalkerSpec:
    usual = {
        "pattern": "delta",
        "satellites": 24,
        "planes": 4,
        "phasing": 1,
        "altitude_m": 550e3,
        "inclination_deg": 53.0,
    }
    return WalkerSpec(**{**usual, **change})  # type: ignore[arg-type]


def ephemeris(fleet: Fleet, start: datetime = START) -> Sgp4Ephemeris:
    return Sgp4Ephemeris(fleet.names, fleet.satrecs, start)


def degrees(fleet: Fleet, field: str) -> list[float]:
    return [round(float(np.degrees(getattr(s, field))), 9) for s in fleet.satrecs]


def test_walker_delta_places() -> None:
    fleet = build_fleet(walker(satellites=6, planes=3, phasing=1, raan_deg=10.0), START)
    assert fleet.names == ("p0s0", "p0s1", "p1s0", "p1s1", "p2s0", "p2s1")
    assert fleet.plane.tolist() == [0, 0, 1, 1, 2, 2]
    assert fleet.slot.tolist() == [0, 1, 0, 1, 0, 1]
    assert degrees(fleet, "nodeo") == [10, 10, 130, 130, 250, 250]
    assert degrees(fleet, "mo") == [0, 180, 60, 240, 120, 300]
    assert {s.bstar for s in fleet.satrecs} == {0.0}
    assert (fleet.pattern, fleet.phasing) == ("delta", 1)


def test_walker_star_spreads_nodes_over_half_a_turn() -> None:
    fleet = build_fleet(walker(pattern="star", satellites=6, planes=3), START)
    assert degrees(fleet, "nodeo")[::2] == [0, 60, 120]


def test_walker_satellites_are_where_geometry_says() -> None:
    """At the start slot 0 of plane 0 is at its ascending node, 550 km up, within the short-period terms."""
    r, v = ephemeris(build_fleet(walker(), START)).states(np.zeros(1))
    assert np.linalg.norm(r, axis=-1) == pytest.approx(np.full((24, 1), 6928.137e3), abs=12e3)
    assert np.degrees(np.arctan2(r[0, 0, 1], r[0, 0, 0])) == pytest.approx(0.0, abs=0.1)
    assert v[0, 0, 2] > 0


@pytest.mark.parametrize(
    ("change", "key", "problem"),
    [
        ({"satellites": 25}, "fleet.satellites", "multiple of 4 satellites, for example 24"),
        ({"satellites": 0}, "fleet.satellites", "for example 4"),
        ({"planes": 0}, "fleet.planes", "at least 1"),
        ({"phasing": 4}, "fleet.phasing", "0 to planes - 1 = 3"),
        ({"phasing": -1}, "fleet.phasing", "0 to planes - 1 = 3"),
        ({"inclination_deg": 181.0}, "fleet.inclination_deg", "0 to 180"),
        ({"altitude_m": 550.0}, "fleet.altitude_m", "200 to 50000 km"),
    ],
)
def test_bad_walkers_are_refused(change: dict[str, object], key: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        build_fleet(walker(**change), START)
    assert caught.value.key == key
    assert problem in caught.value.problem


@pytest.mark.parametrize("local_time_h", [6.0, 10.5, 18.0])
def test_sun_synchronous_local_time_stays_over_a_year(local_time_h: float) -> None:
    """Local mean time of the node, from the orbit normal and UTC, at the start and a year on. Achieved: 0.5 s."""
    start = START + timedelta(hours=7, minutes=12)
    fleet = build_fleet(SunSynchronousSpec(satellites=1, altitude_m=650e3, local_time_h=local_time_h), start)
    for days in (0.0, 365.0):
        # The secular node, so that the few arc minutes of short-period terms do not blur the test.
        node_rad = fleet.satrecs[0].nodeo + fleet.satrecs[0].nodedot * days * 1440.0
        sidereal_rad = sidereal_angle_rad(start, np.array([days * 86400.0]))[0][0]
        found_h = (7.2 + np.degrees(node_rad - sidereal_rad) / 15.0) % 24.0
        assert found_h == pytest.approx(local_time_h, abs=2 / 3600)


def test_sun_synchronous_names_and_spacing() -> None:
    fleet = build_fleet(SunSynchronousSpec(satellites=12, altitude_m=650e3, local_time_h=6.0), START)
    assert fleet.names[:2] == ("s00", "s01")
    assert fleet.names[-1] == "s11"
    assert degrees(fleet, "mo") == [30.0 * k for k in range(12)]
    assert fleet.pattern == "single"
    assert fleet.plane.tolist() == [0] * 12
    many = build_fleet(SunSynchronousSpec(satellites=101, altitude_m=650e3, local_time_h=6.0), START)
    assert many.names[7] == "s007"


@pytest.mark.parametrize(
    ("satellites", "local_time_h", "key"), [(0, 6.0, "fleet.satellites"), (1, 24.0, "fleet.local_time_h")]
)
def test_bad_sun_synchronous_specs_are_refused(satellites: int, local_time_h: float, key: str) -> None:
    with pytest.raises(InputError) as caught:
        build_fleet(SunSynchronousSpec(satellites=satellites, altitude_m=650e3, local_time_h=local_time_h), START)
    assert caught.value.key == key


def omm_file(tmp_path: Path, names: list[str]) -> Path:
    path = tmp_path / "fleet.json"
    records = [{**RECORD, "OBJECT_NAME": name, "MEAN_ANOMALY": 10.0 * k} for k, name in enumerate(names)]
    path.write_text(json.dumps(records), encoding="utf-8")
    return path


def test_element_file_selection(tmp_path: Path) -> None:
    path = omm_file(tmp_path, ["A-1", "B-1", "A-2", "A-3"])
    everything = build_fleet(ElementFileSpec(path=path, format="omm"), START)
    assert everything.names == ("A-1", "B-1", "A-2", "A-3")
    some = build_fleet(ElementFileSpec(path=path, format="omm", names=("A-*", "C-*", "B-1")[::2], limit=2), START)
    assert some.names == ("A-1", "B-1")
    assert (some.pattern, some.path) == ("file", str(path))
    # One plane, in flight order.
    assert everything.plane.tolist() == [0, 0, 0, 0]
    assert everything.slot[0] < everything.slot[2] or everything.slot[0] == 3


def test_tle_file(tmp_path: Path) -> None:
    path = tmp_path / "iss.tle"
    path.write_text(f"ISS\n{LINE_1}\n{LINE_2}\n", encoding="utf-8")
    fleet = build_fleet(ElementFileSpec(path=path, format="tle"), START)
    assert fleet.names == ("ISS",)
    assert len(fleet) == 1


def test_generated_satellites_can_be_chosen() -> None:
    some = build_fleet(walker(only_planes=(1, 3), limit=4, spread=True), START)
    assert some.names == ("p1s0", "p1s3", "p3s0", "p3s3")
    assert (some.pattern, some.plane.tolist(), some.slot.tolist()) == ("subset", [0, 0, 1, 1], [0, 1, 0, 1])
    whole = build_fleet(walker(), START)
    assert [s.nodeo for s in some.satrecs] == [whole.satrecs[i].nodeo for i in (6, 9, 18, 21)]
    assert build_fleet(walker(names=("p2s[01]",)), START).names == ("p2s0", "p2s1")
    assert build_fleet(walker(names=("*",)), START).pattern == "delta"


def test_planes_of_a_file_can_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "fleet.json"
    nodes = {"A": 100.0, "B": 10.0, "C": 100.1, "D": 200.0}
    records = [{**RECORD, "OBJECT_NAME": name, "RA_OF_ASC_NODE": node} for name, node in nodes.items()]
    path.write_text(json.dumps(records), encoding="utf-8")
    epoch = datetime(2024, 5, 20, 13, 33, tzinfo=UTC)
    whole = build_fleet(ElementFileSpec(path=path, format="omm"), epoch)
    assert whole.plane.tolist() == [1, 0, 1, 2]
    some = build_fleet(ElementFileSpec(path=path, format="omm", only_planes=(1, 2)), epoch)
    assert (some.names, some.plane.tolist()) == (("A", "C", "D"), [0, 0, 1])


def test_names_that_occur_twice_are_refused(tmp_path: Path) -> None:
    path = omm_file(tmp_path, ["A-1", "A-1", "A-2"])
    with pytest.raises(InputError) as caught:
        build_fleet(ElementFileSpec(path=path, format="omm"), START)
    problem = "names occur more than once: 'A-1'; choose with fleet.names or edit the file"
    assert str(caught.value) == f"fleet.path = {str(path)!r}: {problem}"
    assert build_fleet(ElementFileSpec(path=path, format="omm", names=("A-2",)), START).names == ("A-2",)
    path = omm_file(tmp_path, ["A", "B", "C", "D", "D", "E", "C", "B", "A", "A"])
    with pytest.raises(InputError, match="more than once: 'A', 'B', 'C' and 1 more; choose"):
        build_fleet(ElementFileSpec(path=path, format="omm"), START)


def test_age_of_elements(tmp_path: Path) -> None:
    """The record's epoch is 20 May 2024, 13:33 UTC."""
    path = omm_file(tmp_path, ["A-1"])
    fleet = build_fleet(ElementFileSpec(path=path, format="omm"), START)
    day_s = 86400.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_age(fleet, datetime(2024, 5, 20, tzinfo=UTC), 2 * day_s, allow_old=False)
    # Five days at the end of the horizon, though half a day at its start: 1 + 5 + 0.2 · 25 km.
    with pytest.warns(InputWarning, match=r"A-1 is flown 5\.0 days from its epoch; expect 11 km"):
        check_age(fleet, datetime(2024, 5, 20, 13, 33, 20, tzinfo=UTC), 5 * day_s, allow_old=False)
    with pytest.raises(InputError, match="allow_old = true") as caught:
        check_age(fleet, datetime(2024, 4, 1, tzinfo=UTC), day_s, allow_old=False)
    assert (caught.value.key, caught.value.value) == ("fleet.path", str(path))
    with pytest.warns(InputWarning, match="49.6 days from its epoch; expect 542 km"):
        check_age(fleet, datetime(2024, 4, 1, 0, 0, 0, tzinfo=UTC), day_s, allow_old=True)


def test_generated_fleets_have_no_age() -> None:
    check_age(build_fleet(walker(), START), START + timedelta(days=1000), 1e8, allow_old=False)


@pytest.mark.skipif(not SNAPSHOT.exists(), reason="the Starlink snapshot is not here")
def test_real_snapshot() -> None:
    """5,977 records; one is bad after a day."""
    start = datetime(2024, 5, 21, tzinfo=UTC)
    fleet = build_fleet(ElementFileSpec(path=SNAPSHOT, format="omm"), start)
    assert len(fleet) == 5977
    assert np.bincount(fleet.plane).max() < 80
    r, _ = ephemeris(fleet, start).states(np.array([0.0, 3600.0]))
    altitude_km = np.linalg.norm(r, axis=-1) / 1e3 - 6378.137
    assert altitude_km.min() > 100
    assert altitude_km.max() < 650
    with pytest.raises(InputError) as caught:
        ephemeris(fleet, start).states(np.arange(0.0, 2 * 86400.0, 3600.0))
    assert caught.value.value == "STARLINK-1851"


ECCENTRIC = "mean eccentricity is outside the range 0.0 to 1.0"


def unstartable(tmp_path: Path, **spec: object) -> ElementFileSpec:
    """A file in which SGP4 can start from STARLINK-1007 only."""
    named = {"A": {"ECCENTRICITY": 1.2}, "B": {"MEAN_MOTION": -1.0}}
    records = [RECORD, *({**RECORD, "OBJECT_NAME": name, **bad} for name, bad in named.items())]
    path = tmp_path / "sky.json"
    path.write_text(json.dumps(records), encoding="utf-8")
    return ElementFileSpec(path=str(path), format="omm", **spec)  # type: ignore[arg-type]


def test_elements_that_sgp4_cannot_start_from_are_named(tmp_path: Path) -> None:
    spec = unstartable(tmp_path)
    with pytest.raises(InputError) as caught:
        build_fleet(spec, START)
    told = (
        f"SGP4 cannot use the elements of 'A' and 1 more: {ECCENTRIC}; fleet.drop_failing = true leaves such satellites"
    )
    assert str(caught.value) == f"fleet.path = {spec.path!r}: {told} out"
    with pytest.raises(InputError, match=r"of 'B': mean motion -0\.0043"):
        build_fleet(unstartable(tmp_path, names=("B",), drop_failing=True), START)


def test_elements_that_sgp4_cannot_start_from_are_left_out(tmp_path: Path) -> None:
    with pytest.warns(InputWarning, match=f"left out: SGP4 cannot use the elements of 'A' and 1 more: {ECCENTRIC}"):
        fleet = build_fleet(unstartable(tmp_path, drop_failing=True), START)
    assert fleet.names == (RECORD["OBJECT_NAME"],)


def test_elements_that_are_not_chosen_do_not_matter(tmp_path: Path) -> None:
    assert build_fleet(unstartable(tmp_path, names=("STAR*",)), START).names == (RECORD["OBJECT_NAME"],)
