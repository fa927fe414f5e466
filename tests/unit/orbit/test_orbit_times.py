from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from orbital_train.orbit.times import julian_day, sidereal_angle_rad


def test_julian_day_of_j2000() -> None:
    assert sum(julian_day(datetime(2000, 1, 1, 12, tzinfo=UTC))) == 2451545.0


def test_julian_day_counts_utc_whatever_the_zone_of_the_instant() -> None:
    east = datetime(2026, 3, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert julian_day(east) == julian_day(datetime(2026, 3, 1, tzinfo=UTC))


def test_sidereal_angle_of_vallado_example_3_5() -> None:
    """1992-08-20 12:14 UT1: 152.578787886 degrees."""
    angle_rad, rate_rad_s = sidereal_angle_rad(datetime(1992, 8, 20, 12, 14, tzinfo=UTC), np.zeros(1))
    assert np.degrees(angle_rad[0]) == pytest.approx(152.578787886, abs=1e-6)
    assert rate_rad_s[0] == pytest.approx(7.292115e-5, rel=1e-6)


def test_sidereal_angle_moves_with_the_seconds_since_the_start() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    later, _ = sidereal_angle_rad(start, np.array([7200.0]))
    direct, _ = sidereal_angle_rad(start + timedelta(hours=2), np.zeros(1))
    assert later[0] == pytest.approx(direct[0], abs=1e-9)
