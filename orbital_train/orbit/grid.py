"""States on an even grid of times, and between its points.

A cubic Hermite polynomial through positions and velocities 60 s apart is good to 0.4 m in low orbit (the error grows
with the fourth power of the step), so edges are refined on it instead of by propagating again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orbital_train.orbit.arrays import FloatArray, IntArray
from orbital_train.orbit.ephemeris import Ephemeris


@dataclass(frozen=True)
class StateGrid:
    """States of N nodes at T evenly spaced times, in the axes of the ephemeris."""

    t_s: FloatArray  # (T,)
    r_m: FloatArray  # (N, T, 3)
    v_mps: FloatArray  # (N, T, 3)

    def at(self, node: IntArray, t_s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Interpolated states, each of shape (K, 3), of these nodes (K,) at these times (K,)."""
        step_s = self.t_s[1] - self.t_s[0]
        k = np.clip((t_s / step_s).astype(np.int64), 0, self.t_s.size - 2)
        x = ((t_s - self.t_s[k]) / step_s)[:, None]
        r0_m, r1_m = self.r_m[node, k], self.r_m[node, k + 1]
        v0_m, v1_m = self.v_mps[node, k] * step_s, self.v_mps[node, k + 1] * step_s
        rise_m = r1_m - r0_m
        c2_m, c3_m = 3.0 * rise_m - 2.0 * v0_m - v1_m, v0_m + v1_m - 2.0 * rise_m
        r_m = r0_m + x * (v0_m + x * (c2_m + x * c3_m))
        v_mps = (v0_m + x * (2.0 * c2_m + 3.0 * x * c3_m)) / step_s
        return r_m, v_mps


def sample(ephemeris: Ephemeris, horizon_s: float, step_s: float) -> StateGrid:
    """States from 0 to the horizon, both included, at even times no further apart than the step."""
    t_s = np.linspace(0.0, horizon_s, max(2, int(np.ceil(horizon_s / step_s)) + 1))
    r_m, v_mps = ephemeris.states(t_s)
    return StateGrid(t_s, r_m, v_mps)
