"""Mean elements of satellites that exist only on paper: station-kept (no drag), epoch at the start."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from scipy.optimize import brentq
from sgp4.api import WGS72, Satrec

from orbital_train.errors import InputError
from orbital_train.orbit.arrays import FloatArray
from orbital_train.orbit.constants import DAY_S, EARTH_RADIUS_M, TROPICAL_YEAR_DAYS
from orbital_train.orbit.times import julian_day

# Below, drag takes a satellite down within a day or so; above, the geostationary ring is well included.
ALTITUDES_M = (200e3, 50_000e3)
TURN = 2.0 * np.pi
_SGP4_EPOCH_DAY = 2_433_281.5  # Julian date of 1949-12-31, from which sgp4init counts


def mean_satrecs(
    start: datetime,
    *,
    mean_motion_rad_min: FloatArray,
    inclination_rad: FloatArray,
    raan_rad: FloatArray,
    mean_anomaly_rad: FloatArray,
    eccentricity: FloatArray | float = 0.0,
    perigee_rad: FloatArray | float = 0.0,
) -> tuple[Satrec, ...]:
    """Satellites without drag for SGP4, in TEME axes; a million take 3 s.

    Args:
        start: the epoch.
        mean_motion_rad_min: Kozai mean motion, from :func:`mean_motion_rad_min`; this and the others have shape (N,).
        inclination_rad: inclination.
        raan_rad: right ascension of the ascending node.
        mean_anomaly_rad: mean anomaly at the epoch.
        eccentricity: SGP4 raises 0 to 1e-6, which is 7 m.
        perigee_rad: argument of perigee; at 0 the mean anomaly is the mean argument of latitude.
    """
    epoch_days = _epoch_days(start)
    columns = np.broadcast_arrays(
        eccentricity, perigee_rad, inclination_rad, mean_anomaly_rad % TURN, mean_motion_rad_min, raan_rad % TURN
    )
    return tuple([_satrec(epoch_days, *elements) for elements in zip(*(c.tolist() for c in columns), strict=True)])


def circular_satrec(
    start: datetime, mean_motion_rad_min: float, inclination_rad: float, raan_rad: float, argument_rad: float
) -> Satrec:
    """One satellite in a circular orbit, ``argument_rad`` (mean argument of latitude) past its node; see above."""
    angles = (0.0, inclination_rad, argument_rad % TURN, mean_motion_rad_min, raan_rad % TURN)
    return _satrec(_epoch_days(start), 0.0, *angles)


def _satrec(epoch_days: float, *elements: float) -> Satrec:
    satrec = Satrec()
    satrec.sgp4init(WGS72, "i", 0, epoch_days, 0.0, 0.0, 0.0, *elements)
    return satrec


def _epoch_days(start: datetime) -> float:
    midnight, fraction = julian_day(start)
    return midnight - _SGP4_EPOCH_DAY + fraction


def mean_motion_rad_min(start: datetime, altitude_m: float, inclination_rad: float) -> float:
    """The Kozai mean motion whose mean semi-major axis in SGP4 is at this altitude above 6,378.137 km.

    Kepler's third law alone leaves the mean altitude about 3 km low; SGP4 itself is asked instead.

    Raises:
        InputError: the altitude is not one that a satellite flies at (key ``fleet.altitude_m``).
    """
    if not ALTITUDES_M[0] <= altitude_m <= ALTITUDES_M[1]:
        low_km, high_km = (a / 1e3 for a in ALTITUDES_M)
        raise InputError("fleet.altitude_m", altitude_m, f"accepted is {low_km:.0f} to {high_km:.0f} km")
    wanted_m = EARTH_RADIUS_M + altitude_m
    satrec = Satrec()
    motion_rad_min = 0.06
    for _ in range(20):
        satrec = circular_satrec(start, motion_rad_min, inclination_rad, 0.0, 0.0)
        reached_m = satrec.a * satrec.radiusearthkm * 1e3
        motion_rad_min *= (reached_m / wanted_m) ** 1.5
        if abs(reached_m - wanted_m) < 1e-3:
            break
    return motion_rad_min


def nodal_period_s(satrec: Satrec) -> float:
    """Time from ascending node to ascending node, by SGP4's secular rates of the argument of latitude [s]."""
    return 120.0 * np.pi / float(satrec.mdot + satrec.argpdot)


def sun_synchronous_inclination_rad(start: datetime, altitude_m: float) -> float:
    """The inclination at which SGP4 turns the node once in a tropical year, so that local time stays.

    Raises:
        InputError: no inclination does at this altitude (key ``fleet.altitude_m``).
    """
    wanted_rad_min = 2.0 * np.pi / (TROPICAL_YEAR_DAYS * DAY_S / 60.0)

    def excess_rad_min(inclination_rad: float) -> float:
        motion = mean_motion_rad_min(start, altitude_m, inclination_rad)
        return float(circular_satrec(start, motion, inclination_rad, 0.0, 0.0).nodedot) - wanted_rad_min

    polar_rad, steepest_rad = np.pi / 2, np.radians(175.0)
    if excess_rad_min(steepest_rad) < 0:
        raise InputError(
            "fleet.altitude_m", altitude_m, "too high for a Sun-synchronous orbit; accepted is below 5,900 km"
        )
    return float(brentq(excess_rad_min, polar_rad, steepest_rad, xtol=1e-12))
