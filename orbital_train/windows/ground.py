"""Passes of satellites over ground sites."""

from __future__ import annotations

import numpy as np

from orbital_train.orbit.constants import EARTH_RADIUS_M
from orbital_train.orbit.ephemeris import GroundSite
from orbital_train.orbit.geodesy import up
from orbital_train.orbit.grid import StateGrid
from orbital_train.windows.plan import FloatArray, IntArray
from orbital_train.windows.search import Windows, positive_windows


def ground_windows(
    grid: StateGrid, sites: tuple[GroundSite, ...], first_site: int, mask_deg: float, pairs: IntArray
) -> Windows:
    """When satellites are above the mask; the elevation is against the ellipsoid's normal."""
    normal = up(np.array([s.latitude_deg for s in sites]), np.array([s.longitude_deg for s in sites]))
    sin_mask = np.sin(np.radians(mask_deg))
    sin_latitude, cos_latitude = normal[:, 2], np.hypot(normal[:, 0], normal[:, 1])

    def value(track: IntArray, t_s: FloatArray) -> FloatArray:
        satellite, site = pairs[track, 0], pairs[track, 1]
        return above(grid.at(satellite, t_s)[0], grid.at(site, t_s)[0], site - first_site)

    def above(satellite_m: FloatArray, site_m: FloatArray, site: IntArray) -> FloatArray:
        # The normal turns with the Earth exactly as the site does, so its direction in the equator is the site's.
        across_m = np.hypot(site_m[..., 0], site_m[..., 1])
        d_m = satellite_m - site_m
        level_m = (d_m[..., :2] * site_m[..., :2]).sum(-1) / np.maximum(across_m, 1e-3)
        height_m = cos_latitude[site] * level_m + sin_latitude[site] * d_m[..., 2]
        return np.asarray((height_m - sin_mask * np.sqrt((d_m * d_m).sum(-1))) / EARTH_RADIUS_M)

    samples = np.empty((len(pairs), grid.t_s.size))
    for track, (satellite, site) in enumerate(pairs):
        samples[track] = above(grid.r_m[satellite], grid.r_m[site], site - first_site)
    return positive_windows(value, samples, grid.t_s)
