"""A formation-flying cluster, held together by SGP4 alone: the recipe of docs/physics.md.

All satellites have the same mean motion, node, inclination and mean argument of latitude. They differ in their mean
eccentricity vectors (e cos ω, e sin ω), which lie on a square lattice. An offset δe moves a satellite around the
centre on an ellipse of a·δe radially by 2a·δe along track, once an orbit; so the lattice turns as a whole, and direct
neighbours stay between one and two times the spacing apart (D'Amico and Montenbruck, JGCD 29(3), 2006).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import product
from math import isqrt

import numpy as np
from sgp4.api import Satrec

from orbital_train.errors import InputError
from orbital_train.orbit.arrays import IntArray
from orbital_train.orbit.constants import EARTH_RADIUS_M
from orbital_train.orbit.mean_elements import mean_motion_rad_min, mean_satrecs, sun_synchronous_inclination_rad
from orbital_train.orbit.selection import Selection
from orbital_train.orbit.shells import node_rad

# A frozen orbit's, nearly (perigee over the northernmost point), and far above the 1e-6 to which SGP4 raises less.
CENTRE_ECCENTRICITY = 0.001


@dataclass(frozen=True, kw_only=True)
class ClusterSpec(Selection):
    """A planar cluster in a Sun-synchronous orbit: the lattice points that are nearest to its centre."""

    satellites: int = 81  # 81 are the points within radius 5
    spacing_m: float = 100.0  # of the lattice, radially; twice that along track
    altitude_m: float  # of the centre: mean, above 6,378.137 km
    local_time_h: float  # mean solar time at the ascending node
    minimum_separation_m: float = 50.0


def lattice(satellites: int) -> IntArray:
    """The integer points (row, column) nearest to the origin, shape (N, 2), by row and column.

    Of points equally far out, the lower row comes first, then the lower column.

    Raises:
        InputError: that is no number of satellites (key ``fleet.satellites``).
    """
    if satellites < 1:
        raise InputError("fleet.satellites", satellites, "at least 1 satellite is needed")
    reach = isqrt(satellites) + 1
    points = sorted(product(range(-reach, reach + 1), repeat=2), key=lambda p: (p[0] ** 2 + p[1] ** 2, p))
    return np.array(sorted(points[:satellites]))


def cluster_satrecs(spec: ClusterSpec, start: datetime, points: IntArray) -> tuple[Satrec, ...]:
    """The satellites at these lattice points, shape (N, 2).

    Raises:
        InputError: there is no such orbit (keys ``fleet.altitude_m``, ``fleet.local_time_h``).
    """
    inclination_rad = sun_synchronous_inclination_rad(start, spec.altitude_m)
    offset = points * (spec.spacing_m / (EARTH_RADIUS_M + spec.altitude_m))
    along, across = offset[:, 0], CENTRE_ECCENTRICITY + offset[:, 1]
    perigee_rad = np.arctan2(across, along)
    n = len(points)
    return mean_satrecs(
        start,
        mean_motion_rad_min=np.full(n, mean_motion_rad_min(start, spec.altitude_m, inclination_rad)),
        inclination_rad=np.full(n, inclination_rad),
        raan_rad=np.full(n, node_rad(start, spec.local_time_h)),
        mean_anomaly_rad=-perigee_rad,
        eccentricity=np.hypot(along, across),
        perigee_rad=perigee_rad,
    )
