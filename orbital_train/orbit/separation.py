"""How close satellites come to each other: searched on an ephemeris, and in closed form for Walker constellations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from orbital_train.orbit.arrays import FloatArray, IntArray
from orbital_train.orbit.constants import EARTH_RADIUS_M
from orbital_train.orbit.ephemeris import Ephemeris
from orbital_train.orbit.grid import StateGrid, sample

_STEP_S = 30.0
_MU = 3.986004418e14  # WGS84 gravitational parameter [m3/s2]
# Two satellites' accelerations differ by less than twice surface gravity, so straight lines miss by less than this.
_STRAIGHT_LINE_ERROR_M = 0.5 * 2 * 9.81 * (_STEP_S / 2) ** 2


@dataclass(frozen=True, kw_only=True)
class Approach:
    """A close approach of two nodes."""

    a: int
    b: int
    t_s: float
    distance_m: float


def closest_approach(ephemeris: Ephemeris, below_m: float, horizon_s: float) -> Approach | None:
    """The closest approach of any two nodes within one orbit of the start, if it is closer than ``below_m``.

    Generated constellations repeat their relative geometry every orbit, so one orbit (or the horizon) is enough.
    """
    period_s = _longest_period_s(ephemeris)
    grid = sample(ephemeris, min(horizon_s, 1.05 * period_s), _STEP_S)
    half_s = (grid.t_s[1] - grid.t_s[0]) / 2
    reach_m = below_m + 2.0 * np.linalg.norm(grid.v_mps, axis=-1).max() * half_s
    best: Approach | None = None
    for k, t_s in enumerate(grid.t_s):
        pairs = cKDTree(grid.r_m[:, k]).query_pairs(reach_m, output_type="ndarray").astype(np.int64)
        a, b = pairs[:, 0], pairs[:, 1]
        offset_s = _meeting_s(grid, a, b, np.full(a.shape, t_s), half_s)
        d_m = grid.r_m[a, k] - grid.r_m[b, k] + offset_s[:, None] * (grid.v_mps[a, k] - grid.v_mps[b, k])
        near = np.linalg.norm(d_m, axis=-1) < below_m + _STRAIGHT_LINE_ERROR_M
        found = _refined(grid, a[near], b[near], t_s + offset_s[near])
        if found and found.distance_m < min(below_m, best.distance_m if best else np.inf):
            best = found
    return best


def walker_separation_m(
    *, satellites: int, planes: int, phasing: IntArray, spread_rad: float, altitude_m: float, inclination_rad: float
) -> FloatArray:
    """Smallest distance between any two satellites of a Walker constellation, for each phasing, shape of ``phasing``.

    Circular orbits of equal radius and inclination, without perturbations. Planes ``g`` apart are at node difference
    Ω = spread · g / planes, and their satellites at phase differences u; the smallest distance of such a pair is
    2 r √((1 + cos² i + sin² i cos Ω) / 2) · |sin(u / 2 + atan(cos i tan(Ω / 2)))| (Speckman et al., AIAA 90-2899).
    """
    per_plane = satellites // planes
    radius_m = EARTH_RADIUS_M + altitude_m
    in_plane_m = 2 * radius_m * np.sin(np.pi / per_plane) if per_plane > 1 else np.inf
    gap = np.arange(1, planes)
    node_rad = spread_rad * gap / planes
    cos_i, sin_i = np.cos(inclination_rad), np.sin(inclination_rad)
    width = np.sqrt((1.0 + cos_i**2 + sin_i**2 * np.cos(node_rad)) / 2.0)
    half_rad = np.pi * phasing[..., None] * gap / satellites + np.arctan(cos_i * np.tan(node_rad / 2.0))
    # The phase difference is known up to a whole slot: take the slot that is closest to a meeting.
    slot_rad = np.pi / per_plane
    miss_rad = np.abs(half_rad - slot_rad * np.round(half_rad / slot_rad))
    across_m = (2 * radius_m * width * np.sin(miss_rad)).min(axis=-1, initial=np.inf)
    return np.asarray(np.minimum(in_plane_m, across_m))


def _longest_period_s(ephemeris: Ephemeris) -> float:
    r_m, v_mps = ephemeris.states(np.zeros(1))
    speed_squared = (v_mps**2).sum(-1)
    axis_m = 1.0 / (2.0 / np.linalg.norm(r_m, axis=-1) - speed_squared / _MU)
    return float(2 * np.pi * np.sqrt(axis_m.max() ** 3 / _MU))


def _meeting_s(grid: StateGrid, a: IntArray, b: IntArray, t_s: FloatArray, half_s: float) -> FloatArray:
    """How much later each pair is closest, if both flew straight on; at most half a step either way."""
    (ra_m, va_mps), (rb_m, vb_mps) = grid.at(a, t_s), grid.at(b, t_s)
    d_m, w_mps = ra_m - rb_m, va_mps - vb_mps
    offset_s = -(d_m * w_mps).sum(-1) / np.maximum((w_mps * w_mps).sum(-1), 1e-12)
    return np.asarray(np.clip(offset_s, -half_s, half_s))


def _refined(grid: StateGrid, a: IntArray, b: IntArray, t_s: FloatArray) -> Approach | None:
    """The closest of these approaches, on curved paths: the straight-line step repeated until it no longer moves."""
    if a.size == 0:
        return None
    for _ in range(4):
        t_s = np.clip(t_s + _meeting_s(grid, a, b, t_s, _STEP_S / 2), 0.0, grid.t_s[-1])
    distance_m = np.linalg.norm(grid.at(a, t_s)[0] - grid.at(b, t_s)[0], axis=-1)
    k = int(distance_m.argmin())
    return Approach(a=int(a[k]), b=int(b[k]), t_s=float(t_s[k]), distance_m=float(distance_m[k]))
