"""Eclipse seasons: against every revolution of the year, at the edges, and for orbits that have none."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pytest

from orbital_train.orbit.constants import DAY_S, EARTH_RADIUS_M
from orbital_train.orbit.ephemeris import Sgp4Ephemeris
from orbital_train.orbit.fleet import SunSynchronousSpec, WalkerSpec, build_fleet
from orbital_train.orbit.mean_elements import nodal_period_s
from orbital_train.orbit.sun import sun_path
from orbital_train.windows.seasons import EclipseYear, eclipse_year
from orbital_train.windows.shadow import Occulter, shadow_windows

START = datetime(2026, 4, 1, tzinfo=UTC)


def dawn_dusk(altitude_m: float = 650e3) -> tuple[Sgp4Ephemeris, float]:
    fleet = build_fleet(SunSynchronousSpec(satellites=1, altitude_m=altitude_m, local_time_h=18.0), START)
    return Sgp4Ephemeris(fleet.names, fleet.satrecs, START), nodal_period_s(fleet.satrecs[0])


def test_a_season_agrees_with_the_search_of_every_revolution() -> None:
    """Sixty days across the beginning of a season: same days, time in umbra to 1 %, longest umbra to two seconds."""
    orbit, period_s = dawn_dusk()
    days = 60
    found = eclipse_year(orbit, period_s, START, days=days)
    every = shadow_windows(orbit, sun_path(START, days * DAY_S), days * DAY_S, Occulter()).umbra
    first_day, last_day = int(every.start_s[0] // DAY_S), days - 1
    ((first, last),) = found.seasons
    assert abs((first - START.date()).days - first_day) <= 1
    assert (last - START.date()).days == last_day
    assert found.days == (last - first).days + 1
    assert found.share == pytest.approx((every.end_s - every.start_s).sum() / (days * DAY_S), rel=0.01)
    # The season still grows: the last revolution looked at begins as the sixty days end.
    assert found.longest_s == pytest.approx((every.end_s - every.start_s).max(), abs=2.0)


def test_dawn_dusk_at_650_km_as_sgp4_flies_it() -> None:
    """SGP4 flies 7 km lower in the north than in the south, so these are not quite a circle's 87 days and 3.66 %."""
    orbit, period_s = dawn_dusk()
    year = eclipse_year(orbit, period_s, START)
    assert year.seasons == ((date(2026, 5, 10), date(2026, 8, 2)),)
    assert (year.days, round(100 * year.share, 2), round(year.longest_s / 60, 1)) == (85, 3.56, 18.8)
    assert np.degrees(np.abs(year.beta_rad)).min() == pytest.approx(58.5, abs=0.1)


def test_an_orbit_above_the_shadow_has_no_season() -> None:
    year = eclipse_year(*dawn_dusk(1400e3), START)
    assert (year.days, year.share, year.longest_s, year.seasons) == (0, 0.0, 0.0, ())


def test_an_equatorial_orbit_has_eclipses_all_year() -> None:
    spec = WalkerSpec(pattern="delta", satellites=1, planes=1, phasing=0, altitude_m=550e3, inclination_deg=0.0)
    fleet = build_fleet(spec, START)
    orbit = Sgp4Ephemeris(fleet.names, fleet.satrecs, START)
    year = eclipse_year(orbit, nodal_period_s(fleet.satrecs[0]), START, Occulter(flattening=0.0))
    assert year.seasons == ((date(2026, 4, 1), date(2027, 3, 31)),)
    assert year.longest_s / 60 == pytest.approx(35.47, abs=0.1)
    assert np.degrees(year.beta_rad).max() == pytest.approx(23.44, abs=0.02)


def test_a_geostationary_satellite_has_two_seasons_around_the_equinoxes() -> None:
    """The textbook's figures: about 45 days around each equinox, up to 70 minutes with penumbra (67 to 68 of umbra)."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    spec = WalkerSpec(
        pattern="delta", satellites=1, planes=1, phasing=0, altitude_m=42_164e3 - EARTH_RADIUS_M, inclination_deg=0.0
    )
    fleet = build_fleet(spec, start)
    orbit = Sgp4Ephemeris(fleet.names, fleet.satrecs, start)
    year = eclipse_year(orbit, nodal_period_s(fleet.satrecs[0]), start)
    assert [(a.month, b.month) for a, b in year.seasons] == [(2, 4), (8, 10)]
    assert all(42 <= (b - a).days + 1 <= 47 for a, b in year.seasons)
    assert 66.5 <= year.longest_s / 60 <= 68.5


def test_a_day_counts_if_either_of_its_ends_has_an_eclipse() -> None:
    umbra_s = np.array([5.0, 0.0, 0.0, 7.0, 0.0, 0.0])
    year = EclipseYear(start=START, period_s=10.0, umbra_s=umbra_s, beta_rad=np.zeros(6))
    assert year.seasons == ((date(2026, 4, 1), date(2026, 4, 1)), (date(2026, 4, 3), date(2026, 4, 4)))
    assert year.days == 3
    assert year.share == pytest.approx((2.5 + 7.0) / 5 / 10.0)
