"""Looking at the Earth from far away: a camera, what it sees where, and what the Earth hides from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orbital_train.orbit.constants import EARTH_RADIUS_M
from orbital_train.windows.plan import FloatArray

_ELEVATIONS_DEG = (24.0, 40.0, 12.0)
_FROM_SUN_DEG = (60.0, -60.0, 35.0, -35.0, 85.0, -85.0)
_OPEN = 0.5  # sine of the tilt from which an orbit looks open enough


@dataclass(frozen=True, kw_only=True)
class Camera:
    """An orthographic view; unit vectors of shape (3,) in the axes of what is looked at."""

    right: FloatArray
    up: FloatArray
    towards: FloatArray  # from the Earth to the camera

    def project(self, r_m: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Place in the picture (..., 2) and depth towards the camera (...), in Earth radii."""
        r = r_m / EARTH_RADIUS_M
        return np.stack([r @ self.right, r @ self.up], axis=-1), r @ self.towards

    def hidden(self, r_m: FloatArray) -> NDArray[np.bool_]:
        """Whether the Earth stands before, or around, each place (...)."""
        at, depth = self.project(r_m)
        across = (at * at).sum(-1)
        return np.asarray((across < 1.0) & (depth < np.sqrt(np.clip(1.0 - across, 0.0, None))))


def looking_at(sun: FloatArray, normals: FloatArray) -> Camera:
    """A camera from which both day and night are seen, north is up, and orbits do not look like lines.

    Args:
        sun: unit vector towards the Sun, (3,).
        normals: unit normals of the orbital planes, (P, 3).
    """
    azimuth_rad = np.arctan2(sun[1], sun[0])
    best = max(
        (_towards(azimuth_rad + np.radians(turn), np.radians(e)) for e in _ELEVATIONS_DEG for turn in _FROM_SUN_DEG),
        key=lambda c: round(float(np.minimum(np.abs(normals @ c), _OPEN).mean()), 2),  # of equal ones the first
    )
    right = np.cross([0.0, 0.0, 1.0], best)
    right /= np.linalg.norm(right)
    return Camera(right=right, up=np.cross(best, right), towards=best)


def _towards(azimuth_rad: float, elevation_rad: float) -> FloatArray:
    across = np.cos(elevation_rad)
    return np.array([across * np.cos(azimuth_rad), across * np.sin(azimuth_rad), np.sin(elevation_rad)])
