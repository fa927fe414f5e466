from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from orbital_train.orbit.ephemeris import KeplerEphemeris, Sgp4Ephemeris
from orbital_train.orbit.fleet import WalkerSpec, build_fleet
from orbital_train.orbit.separation import closest_approach, walker_separation_m

START = datetime(2026, 3, 20, tzinfo=UTC)
MU = 3.986004418e14
RADIUS_M = 6928.137e3


def circular(node_deg: float, tilt_deg: float, argument_deg: float) -> tuple[list[float], list[float]]:
    node, i, u = np.radians([node_deg, tilt_deg, argument_deg])
    x = np.array([np.cos(node), np.sin(node), 0.0])
    y = np.array([-np.sin(node) * np.cos(i), np.cos(node) * np.cos(i), np.sin(i)])
    speed = np.sqrt(MU / RADIUS_M)
    return list(RADIUS_M * (np.cos(u) * x + np.sin(u) * y)), list(speed * (np.cos(u) * y - np.sin(u) * x))


def test_a_near_miss_between_grid_points_is_found_to_a_metre() -> None:
    """Polar planes a quarter turn apart meet over the pole; one is 3 km late: they pass at 3 km / √2."""
    late_deg = np.degrees(3000.0 / RADIUS_M)
    states = [circular(0.0, 90.0, 1.0), circular(90.0, 90.0, 1.0 - late_deg), circular(0.0, 90.0, 100.0)]
    ephemeris = KeplerEphemeris(("a", "b", "c"), np.array([s[0] for s in states]), np.array([s[1] for s in states]), MU)
    found = closest_approach(ephemeris, 10e3, 86400.0)
    assert found is not None
    assert (found.a, found.b) == (0, 1)
    assert found.distance_m == pytest.approx(3000.0 / np.sqrt(2), abs=1.0)
    quarter_s = np.pi / 2 * RADIUS_M / np.sqrt(MU / RADIUS_M)
    # Over either pole.
    assert found.t_s % (2 * quarter_s) == pytest.approx(quarter_s * 89 / 90, abs=1.0)
    assert closest_approach(ephemeris, 2e3, 86400.0) is None
    assert closest_approach(ephemeris, 10e3, 1000.0) is None


@pytest.mark.parametrize(
    ("pattern", "satellites", "planes", "inclination_deg"),
    [("delta", 24, 4, 53.0), ("delta", 30, 5, 70.0), ("star", 66, 6, 86.4), ("delta", 12, 1, 53.0)],
)
def test_closed_form_agrees_with_search(pattern: str, satellites: int, planes: int, inclination_deg: float) -> None:
    """Within 20 km (achieved 14 km), the part of J2 that the closed form leaves out."""
    for phasing in range(planes):
        spec = WalkerSpec(
            pattern=pattern,  # type: ignore[arg-type]
            satellites=satellites,
            planes=planes,
            phasing=phasing,
            altitude_m=550e3,
            inclination_deg=inclination_deg,
        )
        fleet = build_fleet(spec, START)
        found = closest_approach(Sgp4Ephemeris(fleet.names, fleet.satrecs, START), 4000e3, 86400.0)
        expected_m = walker_separation_m(
            satellites=satellites,
            planes=planes,
            phasing=np.array([phasing]),
            spread_rad=2 * np.pi if pattern == "delta" else np.pi,
            altitude_m=550e3,
            inclination_rad=float(np.radians(inclination_deg)),
        )
        assert found is not None
        assert found.distance_m == pytest.approx(expected_m[0], abs=20e3)
