"""The closest approach of any two nodes, searched on an ephemeris: the oracle of closed forms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from orbital_train.orbit.arrays import FloatArray, IntArray
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
