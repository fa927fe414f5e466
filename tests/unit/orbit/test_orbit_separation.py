from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from orbital_train.orbit.ephemeris import KeplerEphemeris, Sgp4Ephemeris
from orbital_train.orbit.fleet import build_fleet
from orbital_train.orbit.separation import closest_neighbours, closest_planes, plane_distance_m
from orbital_train.orbit.shells import (
    CircularSpec,
    LayeredSpec,
    ShellSpec,
    SunSynchronousSpec,
    WalkerSpec,
    planes_of_spec,
)
from tests.unit.orbit.approach import closest_approach

START = datetime(2026, 3, 20, tzinfo=UTC)
MU = 3.986004418e14
RADIUS_M = 6928.137e3
DAY_S = 86_400.0


def closed_m(spec: CircularSpec) -> float:
    found = closest_planes(planes_of_spec(spec, START), np.inf)
    assert found is not None
    return found.distance_m


def searched_m(spec: CircularSpec, horizon_s: float = DAY_S) -> float:
    fleet = build_fleet(spec, START)
    found = closest_approach(Sgp4Ephemeris(fleet.names, fleet.satrecs, START), 1.05 * closed_m(spec) + 1e3, horizon_s)
    assert found is not None
    return found.distance_m


def shell(**change: object) -> ShellSpec:
    return ShellSpec(**{"altitude_m": 600e3, **change})  # type: ignore[arg-type]


def circular(node_deg: float, tilt_deg: float, argument_deg: float) -> tuple[list[float], list[float]]:
    node, i, u = np.radians([node_deg, tilt_deg, argument_deg])
    x = np.array([np.cos(node), np.sin(node), 0.0])
    y = np.array([-np.sin(node) * np.cos(i), np.cos(node) * np.cos(i), np.sin(i)])
    speed = np.sqrt(MU / RADIUS_M)
    return list(RADIUS_M * (np.cos(u) * x + np.sin(u) * y)), list(speed * (np.cos(u) * y - np.sin(u) * x))


def test_the_oracle_finds_a_near_miss_between_grid_points_to_a_metre() -> None:
    """Polar planes a quarter turn apart meet over the pole; one is 3 km late: they pass at 3 km / √2."""
    late_deg = np.degrees(3000.0 / RADIUS_M)
    states = [circular(0.0, 90.0, 1.0), circular(90.0, 90.0, 1.0 - late_deg), circular(0.0, 90.0, 100.0)]
    ephemeris = KeplerEphemeris(("a", "b", "c"), np.array([s[0] for s in states]), np.array([s[1] for s in states]), MU)
    found = closest_approach(ephemeris, 10e3, DAY_S)
    assert found is not None
    assert (found.a, found.b) == (0, 1)
    assert found.distance_m == pytest.approx(3000.0 / np.sqrt(2), abs=1.0)
    quarter_s = np.pi / 2 * RADIUS_M / np.sqrt(MU / RADIUS_M)
    assert found.t_s % (2 * quarter_s) == pytest.approx(quarter_s * 89 / 90, abs=1.0)  # over either pole
    assert closest_approach(ephemeris, 2e3, DAY_S) is None


@pytest.mark.parametrize(
    ("pattern", "satellites", "planes", "phasing", "altitude_km", "inclination_deg"),
    [
        ("delta", 24, 4, 0, 550, 53.0),  # 14 km, all of it by short-period terms
        ("delta", 396, 18, 1, 550, 53.0),
        ("delta", 42, 6, 5, 1159, 90.1),  # 0.04 km
        ("delta", 28, 4, 3, 1074, 165.1),
        ("star", 66, 6, 5, 780, 86.4),  # Iridium's shape
        ("star", 40, 4, 2, 962, 135.5),
        ("delta", 77, 7, 1, 683, 13.2),
        ("delta", 12, 1, 0, 550, 53.0),  # neighbours in the plane
        ("delta", 2, 2, 1, 700, 0.0),  # two planes that are one
    ],
)
def test_closed_form_agrees_with_search(
    pattern: str, satellites: int, planes: int, phasing: int, altitude_km: float, inclination_deg: float
) -> None:
    spec = WalkerSpec(
        pattern=pattern,  # type: ignore[arg-type]
        satellites=satellites,
        planes=planes,
        phasing=phasing,
        altitude_m=altitude_km * 1e3,
        inclination_deg=inclination_deg,
    )
    assert closed_m(spec) == pytest.approx(searched_m(spec), rel=0.003, abs=20.0)


@pytest.mark.parametrize(
    "shells",
    [
        # Sun-synchronous planes at one node, and mean altitudes 5 km apart.
        (shell(planes=3, satellites_per_plane=100, altitude_step_m=5e3, inclination_deg=None, node_spread_deg=0.0),),
        # Two shells of one mean altitude, but SGP4's mean radii differ by 11 km at these inclinations.
        (
            shell(planes=5, satellites_per_plane=60, inclination_deg=30.0),
            shell(planes=5, satellites_per_plane=60, inclination_deg=None, local_time_h=6.0),
        ),
    ],
    ids=["layers", "shells"],
)
def test_planes_that_drift_come_as_close_as_their_orbits(shells: tuple[ShellSpec, ...]) -> None:
    """Every phase comes, so that the search over a day finds what the closed form says."""
    spec = LayeredSpec(shells=shells)
    assert closed_m(spec) == pytest.approx(searched_m(spec), rel=0.003, abs=20.0)


def test_a_plane_that_would_meet_later_counts_now() -> None:
    """Two satellites in layers 2 km apart start on opposite sides of the Earth, and meet after weeks."""
    pair = shell(
        planes=2, satellites_per_plane=1, altitude_step_m=2e3, inclination_deg=53.0, phasing=1.0, node_spread_deg=0.0
    )
    assert closed_m(LayeredSpec(shells=(pair,))) == pytest.approx(2e3, abs=10.0)


def test_planes_of_other_numbers_of_satellites() -> None:
    """3 and 4 satellites at one node: phases differ by multiples of 30 degrees, and 10 more here."""
    three, four = (shell(planes=1, satellites_per_plane=n, inclination_deg=53.0) for n in (3, 4))
    planes = planes_of_spec(LayeredSpec(shells=(three, four)), START)
    planes.argument_rad[1] += np.radians(10.0)
    distance_m = plane_distance_m(planes, np.array([0]), np.array([1]))
    assert distance_m == pytest.approx([2 * 6978.137e3 * np.sin(np.radians(5.0))], rel=0.003)


def test_nothing_below_the_limit() -> None:
    planes = planes_of_spec(SunSynchronousSpec(satellites=12, altitude_m=650e3, local_time_h=6.0), START)
    assert closest_planes(planes, 3000e3) is None
    found = closest_planes(planes, 4000e3)
    assert found is not None
    assert (found.a, found.b) == (0, 0)


def test_closest_neighbours_are_those_of_all_times() -> None:
    r0_m = np.array([[7000e3, 0.0, 0.0], [7000e3, 300.0, 0.0], [7000e3, -500.0, 0.0]])
    v0_mps = np.array([[0.0, 7500.0, 0.0], [0.0, 7500.0, 1.0], [0.0, 7500.0, 0.0]])
    apart_m, when_s = closest_neighbours(KeplerEphemeris(("a", "b", "c"), r0_m, v0_mps, MU), np.arange(0.0, 50.0, 10.0))
    assert (apart_m, when_s) == (pytest.approx(300.0, abs=0.1), 0.0)
