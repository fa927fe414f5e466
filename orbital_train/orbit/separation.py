"""How close generated satellites come to each other.

For circular planes in closed form, pair of planes by pair of planes, so that a million satellites take as long as a
thousand of them in as many planes. Pairs that cannot be the closest are left out. Two cases:

- Planes of one altitude and inclination turn together, and the phase between their satellites stays. What decides is
  by how much they miss each other where the planes cross; SGP4's short- and long-period terms shift that by a few
  kilometres and are included. Against a search on SGP4's states this is good to 20 m or 0.3 %, whichever is more.
- All other planes drift past each other, so that every phase comes: their distance is that of the orbits themselves
  at the crossings, whatever the phases are now.

For a cluster by sampling, since its satellites stay near each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from sgp4.earth_gravity import wgs72

from orbital_train.orbit.arrays import FloatArray, IntArray
from orbital_train.orbit.ephemeris import Ephemeris
from orbital_train.orbit.plane_pairs import pairs_between, pairs_within, plane_runs
from orbital_train.orbit.shells import Planes

_LOCKED_M = 1.0  # planes whose mean semi-major axes differ by less keep their phase
_EQUAL_M = 1e-3  # distances that differ by less are equal: the rest is rounding
_LOT = 1 << 17  # pairs compared at once, to bound memory
_EQUATOR_M = wgs72.radiusearthkm * 1e3  # SGP4's own


@dataclass(frozen=True, kw_only=True)
class PlaneApproach:
    """The closest that satellites of two planes come; the same plane twice for neighbours in it."""

    a: int
    b: int
    distance_m: float


def closest_planes(planes: Planes, below_m: float) -> PlaneApproach | None:
    """The closest approach of any two satellites of circular planes, if it is closer than ``below_m``.

    Of several that are equal to a millimetre it is the first, by the number of the first plane, then of the second.

    Not all pairs of planes are looked at. Two orbits are at one latitude where they cross. With its sine z, radii are
    A + B z + C z², so that orbits are at least |ΔA| - |ΔB| - |ΔC| apart. B and C hardly differ: close orbits stand
    beside each other in the order of A.
    """
    search = _Search(planes, below_m)
    runs = plane_runs(planes)
    search.compare(*pairs_within(runs))
    terms_m = _latitude_terms_m(planes.axis_m[runs.first], planes.inclination_rad[runs.first])
    order = np.argsort(terms_m[0], kind="stable")
    slack_m = _LOCKED_M + _EQUAL_M
    most_m = np.ptp(terms_m[1]) + np.ptp(terms_m[2]) + slack_m
    for gap in range(1, order.size):
        one, two = order[:-gap], order[gap:]
        apart_m, b_m, c_m = np.abs(terms_m[:, two] - terms_m[:, one])
        if apart_m.min() - most_m > search.least_m:
            break
        near = apart_m - b_m - c_m - slack_m <= search.least_m
        search.compare(*pairs_between(runs, one[near], two[near]))
    best = search.first()
    return best if best.distance_m < below_m else None


class _Search:
    """The closest pairs of planes so far; each plane's own neighbours are compared to begin with."""

    def __init__(self, planes: Planes, below_m: float) -> None:
        self._planes = planes
        along_m = np.where(planes.satellites > 1, 2 * planes.axis_m * np.sin(np.pi / planes.satellites), np.inf)
        first = np.array([along_m.argmin()])
        self._found = [(first, first, along_m[first])]
        self.least_m = min(below_m, float(along_m[first[0]]))

    def compare(self, p: IntArray, q: IntArray) -> None:
        for begin in range(0, p.size, _LOT):
            lot = slice(begin, begin + _LOT)
            distance_m = plane_distance_m(self._planes, p[lot], q[lot])
            near = np.flatnonzero(distance_m < self.least_m + _EQUAL_M)
            self._found.append((p[lot][near], q[lot][near], distance_m[near]))
            self.least_m = min(self.least_m, float(distance_m.min()))

    def first(self) -> PlaneApproach:
        a, b, distance_m = (np.concatenate(part) for part in zip(*self._found, strict=True))
        equal = np.flatnonzero(distance_m <= distance_m.min() + _EQUAL_M)
        k = equal[np.lexsort((b[equal], a[equal], a[equal] != b[equal]))[0]]
        return PlaneApproach(a=int(a[k]), b=int(b[k]), distance_m=float(distance_m[k]))


def plane_distance_m(planes: Planes, p: IntArray, q: IntArray) -> FloatArray:
    """The closest that satellites of planes ``p`` and ``q`` come, each of shape (K,)."""
    locked = np.abs(planes.axis_m[p] - planes.axis_m[q]) < _LOCKED_M
    locked &= np.abs(planes.inclination_rad[p] - planes.inclination_rad[q]) < 1e-9
    phase_rad = planes.argument_rad[q] - planes.argument_rad[p]
    distance_m = np.empty(p.shape)
    distance_m[locked] = locked_distance_m(planes, p[locked], q[locked], phase_rad[locked])
    distance_m[~locked] = _orbit_distance_m(planes, p[~locked], q[~locked])
    return distance_m


def locked_distance_m(planes: Planes, p: IntArray, q: IntArray, phase_rad: FloatArray) -> FloatArray:
    """The same for planes of one altitude and inclination.

    Circular orbits at node difference Ω, with satellites at phase difference u, come as close as
    2 r √((1 + cos² i + sin² i cos Ω) / 2) · |sin(u / 2 + atan(cos i tan(Ω / 2)))| (Speckman et al., AIAA 90-2899).

    Args:
        planes: the planes.
        p: numbers of the first planes, shape (K,).
        q: numbers of the second planes, shape (K,).
        phase_rad: mean argument of latitude of slot 0 in ``q`` less that in ``p``, shape (..., K), as the result has.
    """
    axis_m, tilt_rad = planes.axis_m[p], planes.inclination_rad[p]
    apart_rad = planes.raan_rad[q] - planes.raan_rad[p]
    # The phase difference is known up to a whole slot: the slot that is closest to a meeting counts.
    slot_rad = np.pi / np.lcm(planes.satellites[p], planes.satellites[q])
    distances_m = []
    for u_rad, v_rad in _crossings_rad(planes, p, q):
        (lead_u, node_u, tilt_u), (lead_v, node_v, _) = (_sway_rad(axis_m, tilt_rad, w) for w in (u_rad, v_rad))
        node_rad = apart_rad + node_v - node_u
        cos_i, sin_i = np.cos(tilt_rad + tilt_u), np.sin(tilt_rad + tilt_u)
        width = np.sqrt((1.0 + cos_i**2 + sin_i**2 * np.cos(node_rad)) / 2.0)
        turn_rad = np.arctan2(cos_i * np.sin(node_rad / 2.0), np.cos(node_rad / 2.0))
        late_rad = (phase_rad + lead_v - lead_u) / 2.0 + turn_rad
        miss_rad = np.abs(late_rad - slot_rad * np.round(late_rad / slot_rad))
        distances_m.append(2.0 * _radius_m(axis_m, tilt_rad, u_rad) * width * np.sin(miss_rad))
    return np.asarray(np.minimum(*distances_m))


def closest_neighbours(ephemeris: Ephemeris, t_s: FloatArray) -> tuple[float, float]:
    """The smallest distance of any two nodes at any of these times [m], and when that is [s]."""
    r_m, _ = ephemeris.states(t_s)
    nearest_m = np.array([np.min(cKDTree(r_m[:, k]).query(r_m[:, k], k=[2])[0]) for k in range(t_s.size)])
    k = int(nearest_m.argmin())
    return float(nearest_m[k]), float(t_s[k])


def _orbit_distance_m(planes: Planes, p: IntArray, q: IntArray) -> FloatArray:
    """How far apart two orbits are where their planes cross."""
    apart_m = [
        np.abs(
            _radius_m(planes.axis_m[p], planes.inclination_rad[p], u_rad)
            - _radius_m(planes.axis_m[q], planes.inclination_rad[q], v_rad)
        )
        for u_rad, v_rad in _crossings_rad(planes, p, q)
    ]
    return np.asarray(np.minimum(*apart_m))


def _crossings_rad(planes: Planes, p: IntArray, q: IntArray) -> list[tuple[FloatArray, FloatArray]]:
    """Arguments of latitude in ``p`` and in ``q`` of the two places where the planes cross."""
    (node_p, normal_p), (node_q, normal_q) = _axes(planes, p), _axes(planes, q)
    cross = np.cross(normal_p, normal_q)
    # Planes that coincide cross everywhere: at their node as well as anywhere.
    cross = np.where(np.linalg.norm(cross, axis=-1, keepdims=True) < 1e-9, node_p, cross)
    u_rad, v_rad = (
        np.arctan2((cross * np.cross(normal, node)).sum(-1), (cross * node).sum(-1))
        for node, normal in ((node_p, normal_p), (node_q, normal_q))
    )
    return [(u_rad, v_rad), (u_rad + np.pi, v_rad + np.pi)]


def _axes(planes: Planes, p: IntArray) -> tuple[FloatArray, FloatArray]:
    """Unit vectors to the ascending node and along the normal, each of shape (K, 3)."""
    raan_rad, tilt_rad = planes.raan_rad[p], planes.inclination_rad[p]
    cos, sin, across = np.cos(raan_rad), np.sin(raan_rad), np.sin(tilt_rad)
    return np.stack([cos, sin, 0.0 * cos], -1), np.stack([across * sin, -across * cos, np.cos(tilt_rad)], -1)


def _swings(axis_m: FloatArray, tilt_rad: FloatArray) -> tuple[FloatArray, FloatArray]:
    """SGP4's two small numbers for a circular orbit: J2 / 2 (R / a)², and J3's eccentricity, towards the north.

    Hoots and Roehrich, Spacetrack Report No. 3, 1980, section 6: the short-period terms, and a_yNL.
    """
    shrink = _EQUATOR_M / axis_m
    return 0.5 * wgs72.j2 * shrink**2, -0.5 * wgs72.j3oj2 * np.sin(tilt_rad) * shrink


def _radius_m(axis_m: FloatArray, tilt_rad: FloatArray, u_rad: FloatArray) -> FloatArray:
    """Distance from the Earth's centre at an argument of latitude."""
    k2, north = _swings(axis_m, tilt_rad)
    mean = 1.0 - 1.5 * k2 * (3.0 * np.cos(tilt_rad) ** 2 - 1.0)
    twice = 0.5 * k2 * np.sin(tilt_rad) ** 2 * np.cos(2.0 * u_rad)
    return np.asarray(axis_m * ((1.0 - north * np.sin(u_rad)) * mean + twice))


def _latitude_terms_m(axis_m: FloatArray, tilt_rad: FloatArray) -> FloatArray:
    """The terms A, B and C, shape (3, K), of :func:`_radius_m` as A + B z + C z² with z = sin i sin u."""
    k2, _ = _swings(axis_m, tilt_rad)
    mean = 1.0 - 1.5 * k2 * (3.0 * np.cos(tilt_rad) ** 2 - 1.0)
    level = axis_m * (mean + 0.5 * k2 * np.sin(tilt_rad) ** 2)
    return np.stack([level, 0.5 * wgs72.j3oj2 * _EQUATOR_M * mean, -axis_m * k2])


def _sway_rad(axis_m: FloatArray, tilt_rad: FloatArray, u_rad: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """By how much argument of latitude, node and inclination are ahead of their mean values."""
    k2, north = _swings(axis_m, tilt_rad)
    cos_i, sin_twice = np.cos(tilt_rad), np.sin(2.0 * u_rad)
    lead = -2.0 * north * np.cos(u_rad) - 0.25 * k2 * (7.0 * cos_i**2 - 1.0) * sin_twice
    return lead, 1.5 * k2 * cos_i * sin_twice, 1.5 * k2 * cos_i * np.sin(tilt_rad) * np.cos(2.0 * u_rad)
