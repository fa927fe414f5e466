from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from orbital_train.errors import InputError
from orbital_train.orbit.mean_elements import (
    circular_satrec,
    mean_motion_rad_min,
    sun_synchronous_inclination_rad,
)

START = datetime(2026, 3, 20, tzinfo=UTC)


def test_sun_synchronous_orbit_at_650_km() -> None:
    """i = 98.011 degrees, n = 14.725478 revolutions a day."""
    inclination_rad = sun_synchronous_inclination_rad(START, 650e3)
    motion = mean_motion_rad_min(START, 650e3, inclination_rad)
    assert np.degrees(inclination_rad) == pytest.approx(98.011, abs=5e-4)
    assert motion * 1440 / (2 * np.pi) == pytest.approx(14.725478, abs=1e-6)
    satrec = circular_satrec(START, motion, inclination_rad, 0.0, 0.0)
    assert np.degrees(satrec.nodedot) * 1440 == pytest.approx(360 / 365.24219, abs=1e-9)


@pytest.mark.parametrize("altitude_m", [200e3, 550e3, 1200e3, 20_200e3, 35_786e3])
def test_mean_altitude_is_the_one_asked_for(altitude_m: float) -> None:
    motion = mean_motion_rad_min(START, altitude_m, 0.9)
    satrec = circular_satrec(START, motion, 0.9, 1.0, 2.0)
    assert satrec.a * satrec.radiusearthkm * 1e3 - 6_378_137.0 == pytest.approx(altitude_m, abs=0.01)
    assert satrec.error == 0


@pytest.mark.parametrize("altitude_m", [-1.0, 550.0, 60_000e3])
def test_altitudes_that_no_satellite_has_are_refused(altitude_m: float) -> None:
    with pytest.raises(InputError, match="200 to 50000 km") as caught:
        mean_motion_rad_min(START, altitude_m, 0.9)
    assert caught.value.key == "fleet.altitude_m"


def test_no_sun_synchronous_orbit_above_5900_km() -> None:
    with pytest.raises(InputError, match="too high") as caught:
        sun_synchronous_inclination_rad(START, 6_000e3)
    assert caught.value.key == "fleet.altitude_m"
