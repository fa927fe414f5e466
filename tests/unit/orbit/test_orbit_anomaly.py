"""Where satellites get more radiation."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from orbital_train.orbit.anomaly import below_deg, in_anomaly, radiation_factor
from orbital_train.orbit.constants import EARTH_RADIUS_M
from orbital_train.orbit.ephemeris import GroundSite, SiteEphemeris

START = datetime(2026, 3, 20, tzinfo=UTC)
T_S = np.array([0.0, 10_000.0, 50_000.0])


def over(latitude_deg: float, longitude_deg: float, altitude_m: float = 0.0) -> np.ndarray:
    """Positions (1, T, 3) that stay over a place, this high above the equator's radius."""
    site = GroundSite(name="x", latitude_deg=latitude_deg, longitude_deg=longitude_deg)
    r_m = SiteEphemeris((site,), START).states(T_S)[0]
    return r_m * (EARTH_RADIUS_M + altitude_m) / np.linalg.norm(r_m, axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("latitude_deg", "longitude_deg"), [(-23.5, -46.6), (0.0, 179.0), (78.0, 15.0), (-33.9, 151.2)]
)
def test_what_is_below_a_satellite(latitude_deg: float, longitude_deg: float) -> None:
    found_deg = below_deg(over(latitude_deg, longitude_deg), START, T_S)
    assert np.allclose(found_deg[0], latitude_deg, atol=0.2)  # geocentric
    assert np.allclose(found_deg[1], longitude_deg, atol=1e-6)


@pytest.mark.parametrize(
    ("latitude_deg", "longitude_deg", "inside"),
    [(-23.5, -46.6, 1), (-30.0, 30.0, 1), (10.0, -46.6, 0), (-60.0, -46.6, 0), (-23.5, 60.0, 0), (-23.5, -100.0, 0)],
)
def test_the_box_of_the_anomaly(latitude_deg: float, longitude_deg: float, inside: int) -> None:
    assert in_anomaly(np.array([latitude_deg]), np.array([longitude_deg])).tolist() == [inside]
    r_m = over(latitude_deg, longitude_deg, 650e3)
    assert np.allclose(radiation_factor(r_m, START, T_S, 20.0, None), 20.0 if inside else 1.0)


def test_the_rate_doubles_with_altitude_and_is_that_of_650_km() -> None:
    altitudes_m, factors = (450e3, 650e3, 750e3), (0.25, 1.0, 2.0)
    for altitude_m, factor in zip(altitudes_m, factors, strict=True):
        assert np.allclose(radiation_factor(over(50.0, 0.0, altitude_m), START, T_S, 7.0, 100e3), factor)
