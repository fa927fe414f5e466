"""The WGS84 ellipsoid: where a place on the ground is, and which way is up there."""

from __future__ import annotations

import numpy as np

from orbital_train.orbit.arrays import FloatArray
from orbital_train.orbit.constants import EARTH_FLATTENING, EARTH_RADIUS_M


def up(latitude_deg: FloatArray, longitude_deg: FloatArray) -> FloatArray:
    """Unit normals of the ellipsoid in Earth-fixed axes, shape (..., 3)."""
    lat_rad, lon_rad = np.radians(latitude_deg), np.radians(longitude_deg)
    across = np.cos(lat_rad)
    return np.stack([across * np.cos(lon_rad), across * np.sin(lon_rad), np.sin(lat_rad)], axis=-1)


def earth_fixed_m(latitude_deg: FloatArray, longitude_deg: FloatArray, altitude_m: FloatArray) -> FloatArray:
    """Earth-fixed position of geodetic coordinates, shape (..., 3). Vallado 2013, equation 3-14."""
    normal = up(latitude_deg, longitude_deg)
    squeeze = (1.0 - EARTH_FLATTENING) ** 2
    prime_m = EARTH_RADIUS_M / np.sqrt(1.0 - (1.0 - squeeze) * normal[..., 2] ** 2)
    stretch_m = np.stack([prime_m + altitude_m, prime_m + altitude_m, squeeze * prime_m + altitude_m], axis=-1)
    return normal * stretch_m
