"""States on an even grid of times, and between its points.

Everything is interpolated from positions alone, by the polynomial through eight points. SGP4's velocities are not used:
they are not the derivative of its positions (off by 0.03 m/s in low circular orbit, by 2 m/s at e = 0.7), so a Hermite
polynomial through both is off by up to 14 m between points 60 s apart, and never gives the same link windows twice.
The polynomial is good to 0.1 mm over 60 s in low orbit and to 5 mm at perigee of e = 0.7. Over 120 s it would be 4 mm
and 1 m, but grids on which it is off by more than about a centimetre are made finer. Edges are therefore refined on it
instead of by propagating again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from orbital_train.orbit.arrays import FloatArray, IntArray
from orbital_train.orbit.ephemeris import Ephemeris

_POINTS = 8
# Powers of the place among eight points, counted in steps from their middle, to the weights of the points.
_MIDDLE = (_POINTS - 1) / 2
_WEIGHTS: FloatArray = np.linalg.inv(np.vander(np.arange(_POINTS) - _MIDDLE, increasing=True))
# Part of the eighth difference by which the polynomial is off amid its points: (1/2 · 3/2 · 5/2 · 7/2)² / 8!
_ERROR_PART = np.prod(np.arange(1.0, _POINTS, 2.0) / 2.0) ** 2 / math.factorial(_POINTS)
_LARGEST_ERROR_M = 0.01


@dataclass(frozen=True)
class StateGrid:
    """States of N nodes at T evenly spaced times, eight or more, in the axes of the ephemeris."""

    t_s: FloatArray  # (T,)
    r_m: FloatArray  # (N, T, 3)
    v_mps: FloatArray  # (N, T, 3)

    def at(self, node: IntArray, t_s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Interpolated states, each of shape (K, 3), of these nodes (K,) at these times (K,)."""
        points_m, place = self._around(node, t_s)
        powers = _powers(place)
        slope = _WEIGHTS[1:].T @ (powers[:-1] * np.arange(1.0, _POINTS)[:, None])
        r_m = np.einsum("pk,kpc->kc", _WEIGHTS.T @ powers, points_m)
        return r_m, np.einsum("pk,kpc->kc", slope, points_m) / (self.t_s[1] - self.t_s[0])

    def positions_m(self, node: IntArray, t_s: FloatArray) -> FloatArray:
        """The positions of :meth:`at` alone, in half its time."""
        points_m, place = self._around(node, t_s)
        return np.asarray(np.einsum("pk,kpc->kc", _WEIGHTS.T @ _powers(place), points_m))

    def _around(self, node: IntArray, t_s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Positions at the eight points around each time, shape (K, 8, 3), and its place among them in steps."""
        steps = t_s / (self.t_s[1] - self.t_s[0])
        first = _first_point(steps, self.t_s.size)
        every_m = np.moveaxis(sliding_window_view(self.r_m, _POINTS, axis=1), -1, 2)
        return every_m[node, first], steps - first


def sample(ephemeris: Ephemeris, horizon_s: float, step_s: float) -> StateGrid:
    """States from 0 to the horizon, both included, at even times no further apart than the step.

    The times are closer where a node would pass its perigee too fast for what lies between them to be known to about a
    centimetre. Velocities are the derivative of the positions (see above).
    """
    steps = max(_POINTS, int(np.ceil(horizon_s / step_s)))
    r_m, _ = ephemeris.states(np.linspace(0.0, horizon_s, steps + 1))
    while (error_m := _largest_error_m(r_m)) > _LARGEST_ERROR_M:
        # The error goes with the eighth power of the step.
        steps = math.ceil(steps * (error_m / _LARGEST_ERROR_M) ** (1.0 / _POINTS))
        r_m, _ = ephemeris.states(np.linspace(0.0, horizon_s, steps + 1))
    t_s = np.linspace(0.0, horizon_s, steps + 1)
    return StateGrid(t_s, r_m, _slopes(r_m) / (t_s[1] - t_s[0]))


def _largest_error_m(r_m: FloatArray) -> float:
    """How far the polynomials are off between points of a grid, shape (N, T, 3), T of nine or more.

    Each node is looked at where it comes lowest, since there it turns fastest.
    """
    nodes, points, _ = r_m.shape
    lowest = np.einsum("ntk,ntk->nt", r_m, r_m).argmin(axis=1)
    width = min(points, 2 * _POINTS - 1)
    first = np.clip(lowest - width // 2, 0, points - width)
    around_m = r_m[np.arange(nodes)[:, None], first[:, None] + np.arange(width)]
    eighth_m = np.linalg.norm(np.diff(around_m, n=_POINTS, axis=1), axis=-1)
    return float(_ERROR_PART * eighth_m.max(initial=0.0))


def _first_point(place: FloatArray, points: int) -> IntArray:
    """First of the eight points around each place, which is counted in steps; near an end of the grid, those there."""
    return np.clip(np.floor(place).astype(np.int64) - (_POINTS // 2 - 1), 0, points - _POINTS)


def _powers(place: FloatArray) -> FloatArray:
    """Powers 0 to 7 of places (K,) among eight points, counted from their middle, shape (8, K)."""
    x = place - _MIDDLE
    powers = np.empty((_POINTS, x.size))
    powers[0] = 1.0
    for p in range(1, _POINTS):
        np.multiply(powers[p - 1], x, out=powers[p])
    return powers


def _slopes(r_m: FloatArray) -> FloatArray:
    """Change a step at every point of a grid, shape (N, T, 3), of the same polynomials."""
    points = r_m.shape[1]
    first = _first_point(np.arange(float(points)), points)
    powers = _powers(np.arange(float(points)) - first)
    slope = (powers[:-1].T * np.arange(1.0, _POINTS)) @ _WEIGHTS[1:]
    # Away from the ends all points have the same weights: one pass for each instead of a gather.
    ahead = _POINTS // 2 - 1
    inner = points - _POINTS + 1
    out = np.empty_like(r_m)
    out[:, ahead : ahead + inner] = slope[ahead, 0] * r_m[:, :inner]
    for p in range(1, _POINTS):
        out[:, ahead : ahead + inner] += slope[ahead, p] * r_m[:, p : p + inner]
    out[:, :ahead] = np.einsum("tp,npc->ntc", slope[:ahead], r_m[:, :_POINTS])
    out[:, ahead + inner :] = np.einsum("tp,npc->ntc", slope[ahead + inner :], r_m[:, -_POINTS:])
    return out
