"""The beta angle: how far the Sun stands above the plane of an orbit, and what follows for its eclipses."""

from __future__ import annotations

import numpy as np

from orbital_train.orbit.arrays import FloatArray
from orbital_train.orbit.constants import EARTH_RADIUS_M


def orbit_normals(r_m: FloatArray, v_mps: FloatArray) -> FloatArray:
    """Unit vectors along the angular momentum of states of shape (..., 3), in the axes of the states."""
    momentum = np.cross(r_m, v_mps)
    return np.asarray(momentum / np.linalg.norm(momentum, axis=-1, keepdims=True))


def plane_normals(inclination_rad: FloatArray, raan_rad: FloatArray) -> FloatArray:
    """The same from inclination and ascending node, each of shape (...), to (..., 3)."""
    across = np.sin(inclination_rad)
    return np.stack([across * np.sin(raan_rad), -across * np.cos(raan_rad), np.cos(inclination_rad)], axis=-1)


def beta_rad(normal: FloatArray, sun_m: FloatArray) -> FloatArray:
    """Angle between the Sun and the orbit's plane, positive on the side of the normal; Vallado 2013, section 5.3.

    Args:
        normal: unit normals of the orbits, shape (..., 3).
        sun_m: positions of the Sun in the same axes, of a shape that broadcasts to it.

    Returns:
        Angles from -pi/2 to pi/2, shape (...).
    """
    height = (normal * sun_m).sum(-1) / np.linalg.norm(sun_m, axis=-1)
    return np.asarray(np.arcsin(np.clip(height, -1.0, 1.0)))


def eclipse_free_beta_rad(altitude_m: float) -> float:
    """The beta angle from which a circular orbit has no eclipse, for a spherical Earth with a cylindrical shadow."""
    return float(np.arcsin(EARTH_RADIUS_M / (EARTH_RADIUS_M + altitude_m)))


def eclipse_fraction(altitude_m: float, beta_rad: FloatArray) -> FloatArray:
    """Part of a circular orbit in the cylindrical shadow of a spherical Earth (Wertz 2011, equation 10-8 and after).

    For quick estimates: at 550 km a cone's umbra is 0.4 % shorter at beta 0, and the more so the nearer to no eclipse.
    """
    radius_m = EARTH_RADIUS_M + altitude_m
    visible = np.sqrt(radius_m**2 - EARTH_RADIUS_M**2) / (radius_m * np.cos(beta_rad))
    return np.asarray(np.arccos(np.minimum(visible, 1.0)) / np.pi)
