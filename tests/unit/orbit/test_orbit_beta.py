"""Beta angle and the cylinder's eclipses."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from orbital_train.orbit.beta import beta_rad, eclipse_fraction, eclipse_free_beta_rad, orbit_normals, plane_normals
from orbital_train.orbit.constants import ASTRONOMICAL_UNIT_M, EARTH_RADIUS_M
from orbital_train.orbit.ephemeris import Sgp4Ephemeris
from orbital_train.orbit.fleet import SunSynchronousSpec, build_fleet
from orbital_train.orbit.sun import sun_positions_almanac_m

SUN_M = np.array([ASTRONOMICAL_UNIT_M, 0.0, 0.0])


def test_beta_is_the_suns_height_over_the_plane() -> None:
    normals = np.array(
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [-np.sin(0.3), 0.0, np.cos(0.3)], [np.sin(0.3), 0.0, np.cos(0.3)]]
    )
    assert beta_rad(normals, SUN_M) == pytest.approx([0.0, np.pi / 2, -0.3, 0.3])


def test_normals_from_elements_and_from_states_agree() -> None:
    """Short-period terms of SGP4 tilt the plane by less than 0.03 degrees."""
    start = datetime(2026, 6, 21, tzinfo=UTC)
    fleet = build_fleet(SunSynchronousSpec(satellites=3, altitude_m=650e3, local_time_h=18.0), start)
    r_m, v_mps = Sgp4Ephemeris(fleet.names, fleet.satrecs, start).states(np.zeros(1))
    of_elements = plane_normals(np.array([s.inclo for s in fleet.satrecs]), np.array([s.nodeo for s in fleet.satrecs]))
    assert orbit_normals(r_m, v_mps)[:, 0] == pytest.approx(of_elements, abs=np.radians(0.03))
    sun_m = sun_positions_almanac_m(start, np.zeros(1))
    # At 18:00 the node lies a quarter turn east of the Sun: |beta| = 90 - (tilt to the axis + declination) in June.
    assert np.degrees(beta_rad(of_elements, sun_m)) == pytest.approx([90 - (98.011 - 90 + 23.44)] * 3, abs=0.05)


def test_the_cylinders_limit_of_beta_is_where_its_eclipses_end() -> None:
    limit_rad = eclipse_free_beta_rad(550e3)
    assert np.degrees(limit_rad) == pytest.approx(67.016, abs=1e-3)
    assert eclipse_fraction(550e3, np.array([limit_rad + 1e-9, np.pi / 2])) == pytest.approx([0.0, 0.0])
    assert 0 < eclipse_fraction(550e3, np.float64(limit_rad - 1e-6)) < 1e-3


def test_the_cylinders_eclipse_agrees_with_counting_points_of_the_orbit() -> None:
    angle = (np.arange(200_000) + 0.5) * 2 * np.pi / 200_000
    for beta in np.radians([0.0, 30.0, -60.0]):
        around = np.stack([np.cos(angle) * np.cos(beta), np.sin(angle), np.cos(angle) * np.sin(beta)], axis=-1)
        r_m = (EARTH_RADIUS_M + 650e3) * around
        dark = (r_m[:, 0] < 0) & (np.hypot(r_m[:, 1], r_m[:, 2]) < EARTH_RADIUS_M)
        assert eclipse_fraction(650e3, beta) == pytest.approx(dark.mean(), abs=2e-5)
