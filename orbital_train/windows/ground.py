"""Passes of satellites over ground sites.

Satellites are above a site's mask for about a hundredth of the time, so the directions of all pairs are compared first,
and elevations are computed only where a satellite may be above the mask within half a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from orbital_train.orbit.constants import EARTH_FLATTENING, EARTH_RADIUS_M
from orbital_train.orbit.ephemeris import GroundSite
from orbital_train.orbit.geodesy import up
from orbital_train.orbit.grid import StateGrid
from orbital_train.windows.plan import FloatArray, IntArray
from orbital_train.windows.scan import scan_runs
from orbital_train.windows.search import Windows, refined_windows

_BLOCK = 1 << 16  # samples compared at once: they stay in the processor's cache
_LOWEST_SITE_M = EARTH_RADIUS_M * (1.0 - EARTH_FLATTENING) - 500.0
_NORMAL_TO_CENTRE_DEG = 0.2  # the ellipsoid's normal is never further from the direction to the Earth's centre
_EARTH_RATE_RAD_S = 7.3e-5
_FASTER = 1.1  # between two samples a satellite may turn so much faster than at either


def ground_windows(grid: StateGrid, sites: tuple[GroundSite, ...], satellites: int, mask_deg: FloatArray) -> Windows:
    """When satellites are above the mask; the elevation is against the ellipsoid's normal.

    Args:
        grid: states of the satellites, then of the sites, in TEME axes.
        sites: the G sites.
        satellites: how many satellites there are.
        mask_deg: lowest elevation at each site, shape (G,).

    Returns:
        Windows whose track is satellite · G + site.
    """
    elevation = _elevation_function(sites, mask_deg)

    def value(track: IntArray, t_s: FloatArray) -> FloatArray:
        satellite, site = np.divmod(track, len(sites))
        return elevation(grid.positions_m(satellite, t_s), grid.positions_m(satellites + site, t_s), site)

    track, k = _near(grid, satellites, mask_deg)
    satellite, site = np.divmod(track, max(1, len(sites)))
    values = elevation(grid.r_m[satellite, k], grid.r_m[satellites + site, k], site)
    return refined_windows(value, scan_runs(values, track, k, grid.t_s.size - 1), grid.t_s)


def _elevation_function(sites: tuple[GroundSite, ...], mask_deg: FloatArray) -> Callable[..., FloatArray]:
    """Positive above the mask; takes positions (K, 3) of satellites and of sites, and the sites' numbers (K,)."""
    normal = up(np.array([s.latitude_deg for s in sites]), np.array([s.longitude_deg for s in sites]))
    sin_mask = np.sin(np.radians(mask_deg))
    sin_latitude, cos_latitude = normal[:, 2], np.hypot(normal[:, 0], normal[:, 1])

    def above(satellite_m: FloatArray, site_m: FloatArray, site: IntArray) -> FloatArray:
        # The normal turns with the Earth exactly as the site does, so its direction in the equator is the site's.
        across_m = np.hypot(site_m[:, 0], site_m[:, 1])
        d_m = satellite_m - site_m
        level_m = np.einsum("ki,ki->k", d_m[:, :2], site_m[:, :2]) / np.maximum(across_m, 1e-3)
        height_m = cos_latitude[site] * level_m + sin_latitude[site] * d_m[:, 2]
        range_m = np.sqrt(np.einsum("ki,ki->k", d_m, d_m))
        return np.asarray((height_m - sin_mask[site] * range_m) / EARTH_RADIUS_M)

    return above


def _near(grid: StateGrid, satellites: int, mask_deg: FloatArray) -> tuple[IntArray, IntArray]:
    """Track and point of all samples within half a step of which a pass may be, and of one more on either side."""
    tracks, points = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for track, k in _near_blocks(grid, satellites, mask_deg):
        tracks.append(track)
        points.append(k)
    track, k = np.concatenate(tracks), np.concatenate(points)
    order = np.argsort(track * grid.t_s.size + k)
    return track[order], k[order]


def _near_blocks(grid: StateGrid, satellites: int, mask_deg: FloatArray) -> Iterator[tuple[IntArray, IntArray]]:
    site_m = grid.r_m[satellites:]
    to_site = np.moveaxis(site_m / np.linalg.norm(site_m, axis=-1, keepdims=True), -1, 0)
    rows = max(1, _BLOCK // grid.t_s.size)
    for first in range(0, satellites, rows):
        block = slice(first, min(first + rows, satellites))
        r_m, v_mps = (np.ascontiguousarray(np.moveaxis(x[block], -1, 0)) for x in (grid.r_m, grid.v_mps))
        range_m = np.sqrt((r_m * r_m).sum(axis=0))
        speed_mps = np.sqrt((v_mps * v_mps).sum(axis=0))
        half_step_s = 0.5 * (grid.t_s[1] - grid.t_s[0])
        margin_rad = half_step_s * (_FASTER * (speed_mps / range_m).max(axis=1) + _EARTH_RATE_RAD_S)
        farthest_m = range_m.max(axis=1)
        for site in range(mask_deg.size):
            widest_rad = np.minimum(_widest_rad(farthest_m, mask_deg[site]) + margin_rad, np.pi)
            # Components along the site's direction, against that share of the satellite's own distance.
            least_m = range_m * np.cos(widest_rad)[:, None]
            near = np.einsum("int,it->nt", r_m, to_site[:, site]) >= least_m
            around = near.copy()
            around[:, 1:] |= near[:, :-1]
            around[:, :-1] |= near[:, 1:]
            row, k = np.nonzero(around)
            yield (first + row) * mask_deg.size + site, k


def _widest_rad(range_m: FloatArray, mask_deg: float) -> FloatArray:
    """Largest angle at the Earth's centre from a site to a satellite at these distances above the mask."""
    mask_rad = np.radians(mask_deg - _NORMAL_TO_CENTRE_DEG)
    return np.asarray(np.arccos(np.minimum(_LOWEST_SITE_M * np.cos(mask_rad) / range_m, 1.0)) - mask_rad)
