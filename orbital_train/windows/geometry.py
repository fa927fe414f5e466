"""The geometry of a link as functions of both ends' states that are positive while the link is possible.

The line of sight is blocked below a grazing altitude over the WGS84 ellipsoid. The surface meant is the ellipsoid with
semi-axes a + h and b + h, which follows constant geodetic altitude h to within 1 m for h up to 200 km.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from orbital_train.orbit.constants import EARTH_FLATTENING, EARTH_RADIUS_M
from orbital_train.windows.plan import FloatArray

PairFunction = Callable[[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray], FloatArray]
"""Times (...), then positions and velocities (..., 3) of both ends, t, r_a, v_a, r_b, v_b, to values (...) that are
positive while good. Shapes broadcast."""


def dot(a: FloatArray, b: FloatArray) -> FloatArray:
    """Inner products over the last axis, of shape (...)."""
    return np.asarray(np.einsum("...i,...i->...", a, b))


def sight_function(grazing_altitude_m: float) -> PairFunction:
    """Line of sight above the grazing surface, as a pair function in units of the surface's radius squared.

    With the z axis stretched so that the surface becomes a sphere of radius R, both ends see each other if
    r_a · r_b + q_a q_b > R², where q = √(r² - R²) is the distance to an end's own horizon.
    """
    equatorial_m = EARTH_RADIUS_M + grazing_altitude_m
    polar_m = EARTH_RADIUS_M * (1.0 - EARTH_FLATTENING) + grazing_altitude_m
    scale_per_m = 1.0 / np.array([equatorial_m, equatorial_m, polar_m])

    def clearance(_t: FloatArray, ra_m: FloatArray, _va: FloatArray, rb_m: FloatArray, _vb: FloatArray) -> FloatArray:
        a, b = ra_m * scale_per_m, rb_m * scale_per_m
        beyond_a = np.maximum(dot(a, a) - 1.0, 0.0)
        beyond_b = np.maximum(dot(b, b) - 1.0, 0.0)
        return np.asarray(dot(a, b) + np.sqrt(beyond_a * beyond_b) - 1.0)

    return clearance


def range_function(max_range_m: float) -> PairFunction:
    """Range below a limit, as a pair function in units of the limit squared."""

    def room(_t: FloatArray, ra_m: FloatArray, _va: FloatArray, rb_m: FloatArray, _vb: FloatArray) -> FloatArray:
        d_m = rb_m - ra_m
        return 1.0 - dot(d_m, d_m) / max_range_m**2

    return room


def rate_function(max_rate_rad_s: float) -> PairFunction:
    """Turn of the line of sight below a limit, as a pair function.

    The rate is |d × w| / d² for separation d and relative velocity w. It peaks sharply when two satellites pass; limit
    · d² - |d × w| has the same sign and is smooth, so that the search sees it on a coarse grid. By Lagrange's identity
    |d × w|² = d² w² - (d · w)².
    """

    def slack(_t: FloatArray, ra_m: FloatArray, va_mps: FloatArray, rb_m: FloatArray, vb_mps: FloatArray) -> FloatArray:
        d_m, w_mps = rb_m - ra_m, vb_mps - va_mps
        squared = dot(d_m, d_m)
        turn = np.sqrt(np.maximum(squared * dot(w_mps, w_mps) - dot(d_m, w_mps) ** 2, 0.0))
        return (max_rate_rad_s * squared - turn) * 1e-12

    return slack
