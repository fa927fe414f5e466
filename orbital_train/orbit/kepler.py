"""Two-body motion from a state vector."""

from __future__ import annotations

import numpy as np

from orbital_train.orbit.arrays import FloatArray


def propagate(r_m: FloatArray, v_mps: FloatArray, mu: float, t_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Move states along their ellipses with Lagrange's f and g functions.

    Args:
        r_m: positions at time 0, shape (N, 3).
        v_mps: velocities at time 0, shape (N, 3).
        mu: gravitational parameter [m3/s2].
        t_s: times, shape (T,).

    Returns:
        Positions and velocities, each of shape (N, T, 3). Battin 1999, sections 3.6 and 4.3.
    """
    r0_m = np.linalg.norm(r_m, axis=-1)[:, None]
    a_m = 1.0 / (2.0 / r0_m - (v_mps * v_mps).sum(-1)[:, None] / mu)
    sigma = (r_m * v_mps).sum(-1)[:, None] / np.sqrt(mu * a_m)
    n_rad_s = np.sqrt(mu / a_m**3)
    de_rad = _eccentric_step_rad(n_rad_s * t_s, r0_m / a_m, sigma)
    sin_e, cos_e = np.sin(de_rad), np.cos(de_rad)
    range_m = a_m * (1.0 + (r0_m / a_m - 1.0) * cos_e + sigma * sin_e)
    f = 1.0 - a_m / r0_m * (1.0 - cos_e)
    g_s = t_s - (de_rad - sin_e) / n_rad_s
    f_dot_per_s = -n_rad_s * a_m * a_m / (range_m * r0_m) * sin_e
    g_dot = 1.0 - a_m / range_m * (1.0 - cos_e)
    r_out_m = f[..., None] * r_m[:, None] + g_s[..., None] * v_mps[:, None]
    v_out_mps = f_dot_per_s[..., None] * r_m[:, None] + g_dot[..., None] * v_mps[:, None]
    return r_out_m, v_out_mps


def _eccentric_step_rad(dm_rad: FloatArray, r_over_a: FloatArray, sigma: FloatArray) -> FloatArray:
    """Solve Kepler's equation for the change of eccentric anomaly since time 0, by Newton's method."""
    de_rad = dm_rad.copy()
    for _ in range(30):
        sin_e, cos_e = np.sin(de_rad), np.cos(de_rad)
        miss_rad = de_rad - (1.0 - r_over_a) * sin_e + sigma * (1.0 - cos_e) - dm_rad
        step_rad = miss_rad / (1.0 - (1.0 - r_over_a) * cos_e + sigma * sin_e)
        de_rad -= step_rad
        if np.abs(step_rad).max(initial=0.0) < 1e-13:
            break
    return de_rad
