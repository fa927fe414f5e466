"""Eclipses that other programs have published, as PHYSICS.md lists them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest
from sgp4.api import Satrec
from skyfield.api import load
from skyfield.jpllib import SpiceKernel
from skyfield.timelib import Time

from orbital_train.orbit.constants import EARTH_FLATTENING, EARTH_RADIUS_M
from orbital_train.orbit.ephemeris import KeplerEphemeris, Sgp4Ephemeris
from orbital_train.orbit.sun import sun_path
from orbital_train.windows.shadow import Occulter, ShadowWindows, shadow_windows

skyfield_data = importlib.util.find_spec("skyfield_data")
pytestmark = pytest.mark.skipif(skyfield_data is None, reason="needs DE421 (the extra 'ephemeris')")


def sun_in_icrs(clock: Time) -> Callable[[np.ndarray], np.ndarray]:
    """The geometric Sun in the axes in which the published states are given."""
    path = skyfield_data.origin.replace("__init__.py", "data/de421.bsp")

    def positions_m(t_s: np.ndarray) -> np.ndarray:
        kernel = SpiceKernel(path)
        time = Time(clock.ts, clock.whole, clock.tt_fraction + t_s / 86400.0)
        relative = kernel["sun"].at(time).xyz.m - kernel["earth"].at(time).xyz.m
        kernel.close()
        return relative.T

    return positions_m


def state_of_elements(
    a_m: float, e: float, i_deg: float, raan_deg: float, argument_deg: float, anomaly_deg: float, mu: float
) -> tuple[np.ndarray, np.ndarray]:
    """Position and velocity of Keplerian elements, each of shape (1, 3)."""
    i, node, w, nu = np.radians([i_deg, raan_deg, argument_deg, anomaly_deg])
    to_node = np.array([[np.cos(node), -np.sin(node), 0], [np.sin(node), np.cos(node), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(i), -np.sin(i)], [0, np.sin(i), np.cos(i)]])
    p = a_m * (1 - e * e)
    at, rate = np.array([np.cos(w + nu), np.sin(w + nu), 0]), np.array([-np.sin(w + nu), np.cos(w + nu), 0])
    apse = e * np.array([-np.sin(w), np.cos(w), 0])
    r_m = p / (1 + e * np.cos(nu)) * (to_node @ tilt @ at)
    v_mps = np.sqrt(mu / p) * (to_node @ tilt @ (rate + apse))
    return r_m[None], v_mps[None]


OREKIT_MU = 3.9860047e14
OREKIT_R = np.array([[-6142438.668, 3492467.560, -25767.25680]])
OREKIT_V = np.array([[505.8479685, 942.7809215, 7435.922231]])


@pytest.mark.parametrize("step_s", [10.0, 60.0, 120.0])
def test_orekit_eclipse_detector(step_s: float) -> None:
    """Orekit EclipseDetectorTest. Achieved: 0.00001 s at 10 s steps, 0.00007 s at 60 s, 0.0014 s at 120 s."""
    ephemeris = KeplerEphemeris(("s",), OREKIT_R, OREKIT_V, OREKIT_MU)
    sun = sun_in_icrs(load.timescale(builtin=True).tt(1969, 7, 28, 4))
    sphere = Occulter(radius_m=6_400e3, flattening=0.0, sun_radius_m=696_000e3)
    found = shadow_windows(ephemeris, sun, 6000.0, sphere, step_s)
    assert found.umbra.start_s == pytest.approx([2303.1835], abs=0.01)
    assert found.penumbra.end_s == pytest.approx([4388.155852], abs=0.01)


def orekit_polar(flattening: float) -> ShadowWindows:
    mu = OREKIT_MU
    r, v = OREKIT_R[0], OREKIT_V[0]
    a_m = 1 / (2 / np.linalg.norm(r) - v @ v / mu)
    e = float(np.linalg.norm(np.cross(v, np.cross(r, v)) / mu - r / np.linalg.norm(r)))
    r_m, v_mps = state_of_elements(a_m, e, 90.0, 150.3483, 13.7431, -13.9542, mu)
    sun = sun_in_icrs(load.timescale(builtin=True).tt(1969, 7, 28, 4))
    occulter = Occulter(radius_m=EARTH_RADIUS_M, flattening=flattening, sun_radius_m=696_000e3)
    return shadow_windows(KeplerEphemeris(("s",), r_m, v_mps, mu), sun, 6000.0, occulter)


def test_orekit_polar_orbit_behind_a_sphere() -> None:
    """Orekit testPolar, spherical. Achieved: 0.0006 s."""
    umbra = orekit_polar(0.0).umbra
    assert umbra.start_s == pytest.approx([2274.702], abs=0.05)
    assert umbra.end_s == pytest.approx([4317.155], abs=0.05)


def test_orekit_polar_orbit_behind_the_oblate_earth() -> None:
    """Orekit testPolar, WGS84. Achieved: 0.009 s (Orekit looks for the limb point, we stretch the z axis)."""
    umbra = orekit_polar(EARTH_FLATTENING).umbra
    assert umbra.start_s == pytest.approx([2280.427], abs=0.05)
    assert umbra.end_s == pytest.approx([4310.741], abs=0.05)


def test_hapsira_events() -> None:
    """hapsira test_events. Achieved: 0.004 s."""
    mu = 3.986004418e14
    r_m, v_mps = state_of_elements(6828.137e3, 0.0073, 87.0, 20.0, 10.0, 0.0, mu)
    sun = sun_in_icrs(load.timescale(builtin=True).utc(2020, 1, 1))
    sphere = Occulter(radius_m=6_378_136.6, flattening=0.0, sun_radius_m=695_700e3)
    found = shadow_windows(KeplerEphemeris(("s",), r_m, v_mps, mu), sun, 3000.0, sphere)
    assert found.penumbra.start_s[0] == pytest.approx(4 * 60 + 26.060, abs=0.1)
    assert found.umbra.start_s[0] == pytest.approx(4 * 60 + 51.328, abs=0.1)


@pytest.mark.parametrize("flattening", [0.0, EARTH_FLATTENING])
def test_skyfield_is_sunlit(flattening: float) -> None:
    """Skyfield test_is_sunlit: [T, F, F, F, T, T] every 10 minutes, with umbra and penumbra agreeing."""
    iss = Satrec.twoline2rv(
        "1 25544U 98067A   18184.80969102  .00001614  00000-0  31745-4 0  9993",
        "2 25544  51.6414 295.8524 0003435 262.6267 204.2868 15.54005638121106",
    )
    start = datetime(2018, 7, 3, tzinfo=UTC)
    ephemeris = Sgp4Ephemeris(("ISS",), (iss,), start)
    found = shadow_windows(ephemeris, sun_path(start, 3600.0), 3600.0, Occulter(flattening=flattening))
    t_s = np.arange(0.0, 3600.0, 600.0)
    for windows in (found.umbra, found.penumbra):
        inside = ((t_s[:, None] >= windows.start_s) & (t_s[:, None] < windows.end_s)).any(axis=1)
        assert (~inside).tolist() == [True, False, False, False, True, True]
