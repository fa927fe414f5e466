"""Pictures of the Earth: land and sea, day and night, as a globe from far away and as a map.

``land.png`` is a mask of half a degree, made from Natural Earth's 1:110m countries (public domain).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib.image
import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from orbital_train.report.camera import Camera
from orbital_train.windows.plan import FloatArray

_SEA, _LAND = np.array([0.80, 0.885, 0.95]), np.array([0.93, 0.925, 0.865])
_NIGHT = np.array([0.155, 0.205, 0.33])
_NIGHT_SHARE = 0.72  # of the night's colour in full night, so that land can still be made out
_TWILIGHT = 0.16  # sine of the Sun's elevation over which day turns into night, either way
_HALF_DEG = 2  # pixels of the mask a degree


def globe(camera: Camera, sun: FloatArray, sidereal_rad: float, pixels: int = 720) -> FloatArray:
    """The Earth seen by a camera, as an image (pixels, pixels, 4) that fills the unit circle; lowest row first."""
    x, y = np.meshgrid(*[(np.arange(pixels) + 0.5) / pixels * 2 - 1] * 2)
    radius = np.hypot(x, y)
    z = np.sqrt(np.clip(1.0 - radius**2, 0.0, 1.0))
    up = x[..., None] * camera.right + y[..., None] * camera.up + z[..., None] * camera.towards
    longitude_deg = np.degrees(np.arctan2(up[..., 1], up[..., 0]) - sidereal_rad)
    colour = _surface(longitude_deg, np.degrees(np.arcsin(np.clip(up[..., 2], -1, 1))), up @ sun)
    limb = 0.86 + 0.14 * z[..., None]  # a little darker towards the rim: it looks round
    alpha = np.clip((1.0 - radius) * pixels / 2 + 0.5, 0.0, 1.0)
    return np.concatenate([colour * limb, alpha[..., None]], axis=-1)


def world_map(sun: FloatArray, sidereal_rad: float) -> FloatArray:
    """The Earth as an equirectangular image (360, 720, 3) from 180° W to 180° E; lowest row first."""
    longitude_deg, latitude_deg = np.meshgrid(np.arange(-179.75, 180, 0.5), np.arange(-89.75, 90, 0.5))
    lon_rad, lat_rad = np.radians(longitude_deg) + sidereal_rad, np.radians(latitude_deg)
    sine = np.cos(lat_rad) * (np.cos(lon_rad) * sun[0] + np.sin(lon_rad) * sun[1]) + np.sin(lat_rad) * sun[2]
    return _surface(longitude_deg, latitude_deg, sine)


def _surface(longitude_deg: FloatArray, latitude_deg: FloatArray, sun_sine: FloatArray) -> FloatArray:
    """Colours (..., 3) of places where the Sun's elevation has this sine."""
    land = _land()
    row = (90.0 - latitude_deg) * _HALF_DEG - 0.5
    column = (longitude_deg + 180.0) * _HALF_DEG - 0.5
    share = map_coordinates(land, [np.clip(row, 0, land.shape[0] - 1), column], order=1, mode="grid-wrap")
    share = np.clip(2.5 * share - 0.75, 0.0, 1.0)[..., None]
    ground = _SEA + (_LAND - _SEA) * share
    day = np.clip(0.5 + 0.5 * sun_sine / _TWILIGHT, 0.0, 1.0)[..., None]
    night = (1.0 - day * day * (3.0 - 2.0 * day)) * _NIGHT_SHARE
    return np.asarray(ground * (1.0 - night) + _NIGHT * night)


@cache
def _land() -> FloatArray:
    """1 on land, 0 at sea, from 90° N and 180° W on; softened so that coasts are no staircases."""
    image = matplotlib.image.imread(Path(__file__).parent / "land.png").astype(np.float64)
    return np.asarray(gaussian_filter(image, 0.7, mode=("nearest", "wrap")))
