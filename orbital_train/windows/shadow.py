"""The Earth's shadow: conical umbra and penumbra, behind a sphere or behind the oblate Earth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orbital_train.orbit.constants import EARTH_FLATTENING, EARTH_RADIUS_M, SUN_RADIUS_M
from orbital_train.orbit.ephemeris import Ephemeris
from orbital_train.orbit.grid import StateGrid, sample
from orbital_train.orbit.sun import SunPositions
from orbital_train.windows.plan import FloatArray, IntArray
from orbital_train.windows.scan import Scan, joined_scans, scan_rows
from orbital_train.windows.search import TrackFunction, Windows, refined_windows

STEP_S = 60.0
_BLOCK = 1 << 16  # samples evaluated at once: they stay in the processor's cache
_UMBRA, _PENUMBRA = -1.0, 1.0  # the Sun's apparent radius counts against the Earth's, or with it


@dataclass(frozen=True, kw_only=True)
class Occulter:
    """What casts the shadow, and what it hides.

    An oblate Earth is treated as a sphere after the z axis of satellite and Sun has been stretched by 1 / (1 - f): a
    line touches the ellipsoid exactly where the stretched line touches the sphere. Over a polar orbit this moves edges
    by up to 12 s against a sphere of equatorial radius.
    """

    radius_m: float = EARTH_RADIUS_M  # equatorial
    flattening: float = EARTH_FLATTENING  # 0 for a sphere
    sun_radius_m: float = SUN_RADIUS_M


@dataclass(frozen=True)
class ShadowWindows:
    """When each satellite is in the umbra, and when in umbra or penumbra; tracks are satellite indices."""

    umbra: Windows
    penumbra: Windows  # from penumbra entry to penumbra exit, the umbra included


def shadow_windows(
    ephemeris: Ephemeris, sun: SunPositions, horizon_s: float, occulter: Occulter, step_s: float = STEP_S
) -> ShadowWindows:
    """Find all eclipses of all nodes of an ephemeris; ``sun`` must be in the axes of the ephemeris.

    Edges are good to about a millisecond against the exact states of the ephemeris in low orbit. Grazing eclipses
    shorter than the step are found too.
    """
    return find_shadows(sample(ephemeris, horizon_s, step_s), sun, occulter)


def find_shadows(grid: StateGrid, sun: SunPositions, occulter: Occulter) -> ShadowWindows:
    """The same, on states that are already sampled."""
    sun_m = sun(grid.t_s)
    rows = max(1, _BLOCK // grid.t_s.size)
    scans: dict[float, list[Scan]] = {_UMBRA: [], _PENUMBRA: []}
    for first in range(0, len(grid.r_m), rows):
        earth_rad, sun_rad, apart_rad = angles_rad(grid.r_m[first : first + rows], sun_m, occulter)
        for sign, parts in scans.items():
            parts.append(scan_rows(earth_rad + sign * sun_rad - apart_rad, first))
    umbra, penumbra = (
        refined_windows(_cone_function(grid, sun, occulter, sign), joined_scans(parts), grid.t_s)
        for sign, parts in scans.items()
    )
    return ShadowWindows(umbra=umbra, penumbra=penumbra)


def angles_rad(r_m: FloatArray, sun_m: FloatArray, occulter: Occulter) -> tuple[FloatArray, FloatArray, FloatArray]:
    """What a satellite sees: apparent radius of Earth, apparent radius of Sun, and the angle between their centres.

    Args:
        r_m: positions of the satellite from the Earth's centre, shape (..., 3).
        sun_m: positions of the Sun, of a shape that broadcasts to it.
        occulter: Earth and Sun.

    Returns:
        Three angles in radians, each of shape (...). Montenbruck and Gill 2000, section 3.4.2.
    """
    stretch = np.array([1.0, 1.0, 1.0 / (1.0 - occulter.flattening)])
    out_m = r_m * stretch
    to_sun_m = sun_m * stretch - out_m
    range_m, sun_range_m = (np.sqrt(np.einsum("...i,...i->...", x, x)) for x in (out_m, to_sun_m))
    # An edge is where the angle is about the Earth's apparent radius, and there an arc cosine keeps its digits.
    cosine = np.einsum("...i,...i->...", out_m, to_sun_m) / (range_m * sun_range_m)
    apart_rad = np.arccos(np.clip(-cosine, -1.0, 1.0))
    earth_rad = np.arcsin(np.minimum(occulter.radius_m / range_m, 1.0))
    return earth_rad, np.arcsin(occulter.sun_radius_m / sun_range_m), apart_rad


def sunlit_fraction(r_m: FloatArray, sun_m: FloatArray, occulter: Occulter) -> FloatArray:
    """Part of the solar disc that is visible, in [0, 1]: the two discs' overlap in the plane of the sky.

    Shapes as in :func:`angles_rad`. Montenbruck and Gill 2000, equations 3.85 to 3.94.
    """
    earth_rad, sun_rad, apart_rad = angles_rad(r_m, sun_m, occulter)
    # Distance of the chord through both limbs' crossings from the Sun's centre, towards the Earth's.
    chord_rad = (apart_rad**2 + sun_rad**2 - earth_rad**2) / (2.0 * apart_rad)
    of_sun = _segment(chord_rad / sun_rad)
    of_earth = _segment((apart_rad - chord_rad) / earth_rad) * (earth_rad / sun_rad) ** 2
    return np.clip(1.0 - of_sun - of_earth, 0.0, 1.0)


def _segment(x: FloatArray) -> FloatArray:
    """Area of the cap of a unit disc beyond a chord at distance ``x`` from its centre, as part of the disc."""
    inside = np.clip(x, -1.0, 1.0)
    return (np.arccos(inside) - inside * np.sqrt(1.0 - inside * inside)) / np.pi


def _cone_function(grid: StateGrid, sun: SunPositions, occulter: Occulter, sign: float) -> TrackFunction:
    """Positive inside the umbra or the penumbra, in radians."""

    def depth_rad(node: IntArray, t_s: FloatArray) -> FloatArray:
        earth_rad, sun_rad, apart_rad = angles_rad(grid.positions_m(node, t_s), sun(t_s), occulter)
        return earth_rad + sign * sun_rad - apart_rad

    return depth_rad
