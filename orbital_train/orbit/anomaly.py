"""Where there is more radiation: in the South Atlantic Anomaly, and higher up.

The anomaly is a box of geographic latitude and longitude, which is how operators switch instruments off; the flux in it
is anything but even. Altitude counts by a doubling height, which is as good as one number can be in low orbit.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np

from orbital_train.orbit.arrays import FloatArray
from orbital_train.orbit.constants import EARTH_RADIUS_M
from orbital_train.orbit.times import sidereal_angle_rad

ANOMALY_LATITUDE_DEG = (-50.0, 0.0)
ANOMALY_LONGITUDE_DEG = (-90.0, 40.0)
REFERENCE_ALTITUDE_M = 650e3  # of the figures in docs/physics/faults.md (Suncatcher, arXiv 2511.19468)


def below_deg(r_m: FloatArray, start: datetime, t_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Geocentric latitude and longitude, each of shape (N, T), of positions in TEME axes, (N, T, 3), at times (T,)."""
    latitude_rad = np.arctan2(r_m[..., 2], np.hypot(r_m[..., 0], r_m[..., 1]))
    longitude_deg = np.degrees(np.arctan2(r_m[..., 1], r_m[..., 0]) - sidereal_angle_rad(start, t_s)[0])
    return np.degrees(latitude_rad), (longitude_deg + 180.0) % 360.0 - 180.0


def in_anomaly(latitude_deg: FloatArray, longitude_deg: FloatArray) -> FloatArray:
    """1 in the box of the South Atlantic Anomaly, 0 outside; all of one shape."""
    south, north = ANOMALY_LATITUDE_DEG
    west, east = ANOMALY_LONGITUDE_DEG
    inside = (latitude_deg >= south) & (latitude_deg <= north) & (longitude_deg >= west) & (longitude_deg <= east)
    return inside.astype(np.float64)


def radiation_factor(
    r_m: FloatArray, start: datetime, t_s: FloatArray, anomaly_factor: float, doubling_m: float | None
) -> FloatArray:
    """How many times as often bits are flipped as they are at 650 km outside the anomaly, shape (N, T).

    Args:
        r_m: positions in TEME axes, shape (N, T, 3).
        start: the scenario's start.
        t_s: seconds since then, shape (T,).
        anomaly_factor: how many times as often in the anomaly as outside of it.
        doubling_m: height over which the rate doubles; None: it does not. Altitudes are above the equator's radius.
    """
    factor = 1.0 + (anomaly_factor - 1.0) * in_anomaly(*below_deg(r_m, start, t_s))
    if doubling_m is not None:
        altitude_m = np.linalg.norm(r_m, axis=-1) - EARTH_RADIUS_M
        factor *= 2.0 ** ((altitude_m - REFERENCE_ALTITUDE_M) / doubling_m)
    return np.asarray(factor)
