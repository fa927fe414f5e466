"""From the scenario's start and seconds since then to the clocks of astronomy."""

from __future__ import annotations

from datetime import UTC, datetime

from sgp4.api import jday
from skyfield.sgp4lib import theta_GMST1982

from orbital_train.orbit.arrays import FloatArray
from orbital_train.orbit.constants import DAY_S


def julian_day(start: datetime) -> tuple[float, float]:
    """UTC Julian date of an instant as (midnight, fraction of a day), split so that it stays exact to nanoseconds."""
    utc = start.astimezone(UTC)
    second = utc.second + utc.microsecond / 1e6
    midnight, fraction = jday(utc.year, utc.month, utc.day, utc.hour, utc.minute, second)
    return float(midnight), float(fraction)


def sidereal_angle_rad(start: datetime, t_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Greenwich mean sidereal time (IAU 1982) and its rate: the turn from TEME axes to Earth-fixed axes about z.

    UTC stands in for UT1 (they differ by at most 0.9 s, 0.4 km on the equator) and polar motion (10 m) is left out.

    Args:
        start: the scenario's start.
        t_s: seconds since then, shape (T,).

    Returns:
        Angle in radians and rate in radians per second, each of shape (T,). AIAA 2006-6753, appendix C.
    """
    midnight, fraction = julian_day(start)
    angle_rad, rate_rad_per_day = theta_GMST1982(midnight, fraction + t_s / DAY_S)
    return angle_rad, rate_rad_per_day / DAY_S
