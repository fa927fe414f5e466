"""Where terminals can point: a cone for each terminal, fixed to a satellite that flies level.

The body's axes are the local horizontal and vertical of its position and velocity in TEME axes: up is away from the
Earth's centre, starboard is against the orbit's normal, fore completes them. Azimuth runs from fore over starboard
(90 degrees), aft (180) and port (270); elevation is above the local horizontal, so that nadir is -90. A link needs a
terminal at either end that has the line of sight in its field for as long as the link lasts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orbital_train.orbit.grid import StateGrid
from orbital_train.windows.geometry import PairFunction
from orbital_train.windows.pairs import pair_windows
from orbital_train.windows.plan import FloatArray, IntArray
from orbital_train.windows.search import Windows, intersect


@dataclass(frozen=True, kw_only=True)
class FieldOfRegard:
    """Directions that one terminal can point in: within an angle of its boresight."""

    azimuth_deg: float  # of the boresight; 0 is fore, 90 starboard, 180 aft, 270 port
    elevation_deg: float
    half_angle_deg: float


def boresight(field: FieldOfRegard, r_m: FloatArray, v_mps: FloatArray) -> FloatArray:
    """Unit vectors (..., 3) of a boresight on satellites with these states (..., 3)."""
    up = _unit(r_m)
    port = _unit(np.cross(r_m, v_mps))
    azimuth_rad, elevation_rad = np.radians(field.azimuth_deg), np.radians(field.elevation_deg)
    level = np.cos(azimuth_rad) * np.cross(port, up) - np.sin(azimuth_rad) * port
    return np.asarray(np.cos(elevation_rad) * level + np.sin(elevation_rad) * up)


def direction_deg(r_m: FloatArray, v_mps: FloatArray, target_m: FloatArray) -> tuple[float, float]:
    """Azimuth and elevation at which a satellite with this state sees a target; all of shape (1, 3)."""
    sight, up, port = _unit(target_m - r_m)[0], _unit(r_m)[0], _unit(np.cross(r_m, v_mps))[0]
    azimuth_rad = np.arctan2(-sight @ port, sight @ np.cross(port, up))
    return float(np.degrees(azimuth_rad)) % 360.0, float(np.degrees(np.arcsin(np.clip(sight @ up, -1.0, 1.0))))


def field_function(field: FieldOfRegard, both: bool = False) -> PairFunction:
    """Line of sight within the field of the first end, or of ``both`` ends, as a pair function."""
    cos_half = np.cos(np.radians(field.half_angle_deg))

    def inside(_t: FloatArray, ra_m: FloatArray, va: FloatArray, rb_m: FloatArray, vb: FloatArray) -> FloatArray:
        sight = _unit(rb_m - ra_m)
        here = (sight * boresight(field, ra_m, va)).sum(-1) - cos_half
        if not both:
            return np.asarray(here)
        return np.asarray(np.minimum(here, -(sight * boresight(field, rb_m, vb)).sum(-1) - cos_half))

    return inside


def windows_by_terminal(
    grid: StateGrid, pairs: IntArray, found: Windows, fields: tuple[FieldOfRegard, ...]
) -> tuple[Windows, IntArray, IntArray]:
    """The windows of pairs (P, 2), once for every two terminals that can point at each other meanwhile.

    Returns:
        Windows whose tracks are rows of ``pairs``, the parts of ``found``, and the terminals of both ends. A pair may
        have several at once.
    """

    def within(ends: IntArray, field: FieldOfRegard) -> Windows:
        return pair_windows(grid, ends, field_function(field), sharp=True)

    sides = [[within(ends, field) for field in fields] for ends in (pairs, pairs[:, ::-1])]
    parts, terminals = [], []
    for i, from_a in enumerate(sides[0]):
        for j, from_b in enumerate(sides[1]):
            part = intersect(found, from_a, from_b)
            parts.append(part)
            terminals.append(np.broadcast_to(np.array([i, j]), (len(part), 2)))
    joined = Windows(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("track", "start_s", "end_s")))
    terminal = np.concatenate(terminals)
    order = np.lexsort((terminal[:, 1], terminal[:, 0], joined.start_s, joined.track))
    ordered = Windows(joined.track[order], joined.start_s[order], joined.end_s[order])
    return ordered, terminal[order, 0], terminal[order, 1]


def _unit(v: FloatArray) -> FloatArray:
    return np.asarray(v / np.sqrt((v * v).sum(-1))[..., None])
