"""A formation-flying cluster, held together by SGP4 alone: the recipe of docs/physics/sources.md.

All satellites have the same node and inclination and go around equally fast. They differ in their mean eccentricity
vectors (e cos ω, e sin ω), which lie on a square lattice. An offset δe moves a satellite around the centre on an
ellipse of a·δe radially by 2a·δe along track, once an orbit; so the lattice turns as a whole, and direct neighbours
stay between one and two times the spacing apart (D'Amico and Montenbruck, JGCD 29(3), 2006).

Three terms of SGP4's oblate Earth move this by a thousandth (Spacetrack Report No. 3), and are taken back: J2 makes
radii larger than the ellipse's, J3 shifts the argument of latitude with e cos ω, and J2's secular rates differ with e.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import product
from math import isqrt

import numpy as np
from sgp4.api import Satrec

from orbital_train.errors import InputError
from orbital_train.orbit.arrays import FloatArray, IntArray
from orbital_train.orbit.constants import EARTH_RADIUS_M
from orbital_train.orbit.mean_elements import (
    circular_satrec,
    mean_motion_rad_min,
    mean_satrecs,
    sun_synchronous_inclination_rad,
)
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
    motion_rad_min = mean_motion_rad_min(start, spec.altitude_m, inclination_rad)
    centre = circular_satrec(start, motion_rad_min, inclination_rad, 0.0, 0.0)
    growth, shift = _oblateness(centre)
    offset = points * (spec.spacing_m / growth / (EARTH_RADIUS_M + spec.altitude_m))
    along, across = offset[:, 0], CENTRE_ECCENTRICITY + offset[:, 1]
    perigee_rad = np.arctan2(across, along)

    def flown(motion_rad_min: FloatArray) -> tuple[Satrec, ...]:
        return mean_satrecs(
            start,
            mean_motion_rad_min=motion_rad_min,
            inclination_rad=np.full(len(points), inclination_rad),
            raan_rad=np.full(len(points), node_rad(start, spec.local_time_h)),
            mean_anomaly_rad=-shift * along - perigee_rad,
            eccentricity=np.hypot(along, across),
            perigee_rad=perigee_rad,
        )

    # Rates differ by parts in a billion, over which they are proportional to the mean motion: once is enough.
    motions_rad_min = np.full(len(points), motion_rad_min)
    rates_rad_min = np.array([_turn_rad_min(satrec) for satrec in flown(motions_rad_min)])
    return flown(motions_rad_min * (_turn_rad_min(centre) / rates_rad_min))


def _oblateness(centre: Satrec) -> tuple[float, float]:
    """How much larger radii are in SGP4 than on the mean ellipse, and how far the argument of latitude is ahead of its
    mean for each unit of e cos ω: its J2 short-period and J3 long-period terms of a nearly circular orbit.
    """
    sin, cos = float(np.sin(centre.inclo)), float(np.cos(centre.inclo))
    growth = 1.0 - 0.75 * centre.j2 / centre.a**2 * (3.0 * cos**2 - 1.0)
    return growth, -0.25 * centre.j3oj2 / centre.a * sin * (3.0 + 5.0 * cos) / (1.0 + cos)


def _turn_rad_min(satrec: Satrec) -> float:
    """How fast a satellite goes around, along its track: the secular rates of SGP4."""
    return float(satrec.mdot + satrec.argpdot + satrec.nodedot * np.cos(satrec.inclo))
