"""Finding the orbital planes of real satellites from their elements."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from sgp4.api import Satrec

from orbital_train.orbit.arrays import FloatArray, IntArray
from orbital_train.orbit.times import julian_day

# Starlink's planes are 2.5 to 5 degrees apart and keep their nodes within a few tenths of a degree.
SAME_PLANE_DEG = 0.5
SAME_SHELL_M = 10e3


def planes_of(satrecs: Sequence[Satrec], start: datetime) -> tuple[IntArray, IntArray]:
    """Group satellites whose orbit normals and mean altitudes agree, and order each group along its orbit.

    Two satellites share a plane if their orbit normals at ``start`` are within 0.5 degrees and their mean semi-major
    axes within 10 km, or if a chain of such pairs joins them.

    Returns:
        Plane numbers, by (shell altitude, ascending node), and slots by argument of latitude, each of shape (N,).
    """
    raan_rad, argument_rad = _angles_rad(satrecs, start)
    inclination_rad = np.array([s.inclo for s in satrecs])
    axis_m = np.array([s.a * s.radiusearthkm * 1e3 for s in satrecs])
    across = np.sin(inclination_rad)
    normal = np.stack([across * np.sin(raan_rad), -across * np.cos(raan_rad), np.cos(inclination_rad)], axis=-1)
    reach = np.radians(SAME_PLANE_DEG)
    points = np.column_stack([normal, axis_m * (reach / SAME_SHELL_M)])
    pairs = cKDTree(points).query_pairs(reach, output_type="ndarray")
    n = len(satrecs)
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    group = connected_components(links, directed=False)[1].astype(np.int64)
    return _numbered(group, axis_m, raan_rad, argument_rad)


def _angles_rad(satrecs: Sequence[Satrec], start: datetime) -> tuple[FloatArray, FloatArray]:
    """Ascending node and mean argument of latitude, carried from each epoch to the start by the secular rates."""
    midnight, fraction = julian_day(start)
    turn = 2.0 * np.pi
    minutes = np.array([(midnight - s.jdsatepoch) + (fraction - s.jdsatepochF) for s in satrecs]) * 1440.0
    raan_rad = np.array([s.nodeo for s in satrecs]) + minutes * np.array([s.nodedot for s in satrecs])
    rate_rad_min = np.array([s.mdot + s.argpdot for s in satrecs])
    argument_rad = np.array([s.mo + s.argpo for s in satrecs]) + minutes * rate_rad_min
    return raan_rad % turn, argument_rad % turn


def _numbered(
    group: IntArray, axis_m: FloatArray, raan_rad: FloatArray, argument_rad: FloatArray
) -> tuple[IntArray, IntArray]:
    groups = range(int(group.max()) + 1)
    # A plane's node is that of its first satellite: a mean of angles would need care at 360 degrees.
    first = [int(np.flatnonzero(group == g)[0]) for g in groups]
    order = sorted(groups, key=lambda g: (round(axis_m[first[g]] / SAME_SHELL_M), raan_rad[first[g]]))
    plane, slot = np.empty_like(group), np.empty_like(group)
    for number, g in enumerate(order):
        members = np.flatnonzero(group == g)
        plane[members] = number
        slot[members[np.argsort(argument_rad[members], kind="stable")]] = np.arange(members.size)
    return plane, slot
