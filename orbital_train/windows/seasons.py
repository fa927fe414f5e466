"""Eclipse seasons: when over a year an orbit has eclipses, and how long they are.

One revolution a day is searched for its umbra. The Sun is the Almanac's (38 arc seconds, 0.17 s of eclipse time at 550
km), so that a year needs no ephemeris file. The umbra of such a revolution is good to a second, the longest of the year
too; the first and last day of a season to a day, since the revolutions between are not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np

from orbital_train.orbit.arrays import BoolArray, FloatArray, IntArray
from orbital_train.orbit.beta import beta_rad, orbit_normals
from orbital_train.orbit.constants import DAY_S
from orbital_train.orbit.ephemeris import Ephemeris
from orbital_train.orbit.grid import StateGrid
from orbital_train.orbit.sun import sun_positions_almanac_m
from orbital_train.windows.search import positive_windows
from orbital_train.windows.shadow import Occulter, angles_rad

YEAR_DAYS = 365
_STEPS = 96  # of a revolution: a minute in low orbit


@dataclass(frozen=True, kw_only=True)
class EclipseYear:
    """The umbra of an orbit over D days, looked at once at the beginning of each, and at the end of the last."""

    start: datetime
    period_s: float
    umbra_s: FloatArray  # (D + 1,) time in umbra in the revolution that begins k days after the start
    beta_rad: FloatArray  # (D + 1,) at its beginning

    @property
    def days(self) -> int:
        """Days with an eclipse."""
        return int(self._eclipsed().sum())

    @property
    def share(self) -> float:
        """Part of the year that is spent in umbra."""
        return float(np.trapezoid(self.umbra_s) / (self.umbra_s.size - 1) / self.period_s)

    @property
    def longest_s(self) -> float:
        """Most umbra in a revolution."""
        return float(self.umbra_s.max())

    @property
    def seasons(self) -> tuple[tuple[date, date], ...]:
        """First and last day of every stretch of days with eclipses."""
        change = np.diff(np.concatenate([[False], self._eclipsed(), [False]]).astype(np.int8))
        first, last = np.flatnonzero(change == 1), np.flatnonzero(change == -1) - 1
        return tuple((self._day(a), self._day(b)) for a, b in zip(first.tolist(), last.tolist(), strict=True))

    def _eclipsed(self) -> BoolArray:
        """Which days have an eclipse at their beginning or at their end, shape (D,)."""
        umbra = self.umbra_s > 0
        return umbra[:-1] | umbra[1:]

    def _day(self, k: int) -> date:
        return (self.start + timedelta(days=k)).date()


def eclipse_year(
    ephemeris: Ephemeris, period_s: float, start: datetime, occulter: Occulter | None = None, days: int = YEAR_DAYS
) -> EclipseYear:
    """Search a year of one satellite's orbit for eclipses.

    Args:
        ephemeris: one satellite in TEME axes, to be propagated over the year (so without drag).
        period_s: its nodal period.
        start: the scenario's start.
        occulter: the Earth; the oblate one if not given.
        days: how many days to search.
    """
    earth = occulter or Occulter()
    day_s = np.arange(days + 1.0) * DAY_S
    phase_s = np.linspace(0.0, period_s, _STEPS + 1)
    t_s = day_s[:, None] + phase_s
    sun_m = sun_positions_almanac_m(start, t_s.ravel()).reshape(*t_s.shape, 3)
    r_m, v_mps = (state.reshape(*t_s.shape, 3) for state in ephemeris.states(t_s.ravel()))
    revolutions = StateGrid(phase_s, r_m, v_mps)  # each day takes the place of a satellite

    def depth_rad(day: IntArray, after_s: FloatArray) -> FloatArray:
        r, sun = revolutions.at(day, after_s)[0], sun_positions_almanac_m(start, day_s[day] + after_s)
        return _umbra_depth_rad(r, sun, earth)

    umbra = positive_windows(depth_rad, _umbra_depth_rad(r_m, sun_m, earth), phase_s)
    # An umbra that is cut by the revolution's ends counts with both its parts.
    umbra_s = np.zeros(day_s.size)
    np.add.at(umbra_s, umbra.track, umbra.end_s - umbra.start_s)
    beta = beta_rad(orbit_normals(r_m[:, 0], v_mps[:, 0]), sun_m[:, 0])
    return EclipseYear(start=start, period_s=period_s, umbra_s=umbra_s, beta_rad=beta)


def _umbra_depth_rad(r_m: FloatArray, sun_m: FloatArray, occulter: Occulter) -> FloatArray:
    earth_rad, sun_rad, apart_rad = angles_rad(r_m, sun_m, occulter)
    return earth_rad - sun_rad - apart_rad
