"""Link opportunities: which pairs may link, and when geometry lets them, before any terminal is assigned.

The line of sight is blocked below a grazing altitude over the WGS84 ellipsoid. The surface meant is the ellipsoid with
semi-axes a + h and b + h, which follows constant geodetic altitude h to within 1 m for h up to 200 km.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from orbital_train.errors import InputError
from orbital_train.orbit.constants import EARTH_FLATTENING, EARTH_RADIUS_M
from orbital_train.orbit.ephemeris import Ephemeris, GroundSite
from orbital_train.orbit.fleet import Fleet
from orbital_train.orbit.geodesy import up
from orbital_train.orbit.grid import StateGrid, sample
from orbital_train.windows.plan import FloatArray, IntArray, LinkKind
from orbital_train.windows.search import Windows, intersect, positive_windows
from orbital_train.windows.topology import ring_pairs, topology_pairs

STEP_S = 60.0
_BLOCK = 1 << 19  # samples evaluated at once, to bound memory

PairFunction = Callable[[FloatArray, FloatArray, FloatArray, FloatArray], FloatArray]
"""Positions and velocities (..., 3) of both ends, r_a, v_a, r_b, v_b, to values (...) that are positive while good."""


@dataclass(frozen=True, kw_only=True)
class LinkSpec:
    """What links there may be, and what each costs."""

    topology: Literal["all_visible", "ring", "grid"]
    max_range_m: float  # between satellites
    rate_bps: float  # between satellites, each direction
    grazing_altitude_m: float = 80e3
    terminals: int = 4  # for links between satellites; each satellite has one more for the ground
    acquisition_s: float = 30.0  # slew and acquisition, paid by every new link
    max_rate_deg_s: float = 0.1  # turn of the line of sight against the stars that terminals can track
    ground_mask_deg: float = 20.0  # lowest elevation; 20 is usual for lasers, 10 for radio
    ground_rate_bps: float


@dataclass(frozen=True, kw_only=True)
class Opportunities:
    """When pairs of nodes could link, in columns of shape (K,), sorted by (a, b, start_s); a < b."""

    a: IntArray
    b: IntArray
    start_s: FloatArray
    end_s: FloatArray
    kind: IntArray  # LinkKind

    def __len__(self) -> int:
        return int(self.a.size)


def opportunities(
    fleet: Fleet, ephemeris: Ephemeris, sites: tuple[GroundSite, ...], spec: LinkSpec, horizon_s: float
) -> Opportunities:
    """Find all link opportunities of a scenario; see :func:`opportunities_on_grid`."""
    return opportunities_on_grid(fleet, sample(ephemeris, horizon_s, STEP_S), sites, spec)


def opportunities_on_grid(
    fleet: Fleet, grid: StateGrid, sites: tuple[GroundSite, ...], spec: LinkSpec
) -> Opportunities:
    """Find all link opportunities on sampled states: satellites of the fleet first, then the sites, TEME axes.

    Two satellites have one while they see each other, are in range and their line of sight turns slowly enough; a site
    and a satellite while the satellite is above the site's mask.

    Raises:
        InputError: neighbours in a ring can never link (keys ``links.topology``, ``links.max_range_m``,
            ``links.max_rate_deg_s``), or the topology does not fit the fleet (``links.topology``).
    """
    space = topology_pairs(fleet, spec.topology)
    found = _satellite_windows(fleet, grid, spec, space)
    nodes = np.arange(len(fleet))
    ground = np.array([(s, len(fleet) + g) for s in nodes for g in range(len(sites))], dtype=np.int64).reshape(-1, 2)
    seen = _ground_windows(grid, sites, len(fleet), spec.ground_mask_deg, ground)
    pairs = np.concatenate([space[found.track], ground[seen.track]])
    start_s = np.concatenate([found.start_s, seen.start_s])
    order = np.lexsort((start_s, pairs[:, 1], pairs[:, 0]))
    return Opportunities(
        a=pairs[order, 0],
        b=pairs[order, 1],
        start_s=start_s[order],
        end_s=np.concatenate([found.end_s, seen.end_s])[order],
        kind=np.repeat([LinkKind.ISL, LinkKind.GROUND], [len(found), len(seen)])[order].astype(np.int64),
    )


def sight_function(grazing_altitude_m: float) -> PairFunction:
    """Line of sight above the grazing surface, as a pair function in units of the surface's radius squared.

    With the z axis stretched so that the surface becomes a sphere of radius R, both ends see each other if
    r_a · r_b + q_a q_b > R², where q = √(r² - R²) is the distance to an end's own horizon.
    """
    equatorial_m = EARTH_RADIUS_M + grazing_altitude_m
    polar_m = EARTH_RADIUS_M * (1.0 - EARTH_FLATTENING) + grazing_altitude_m
    scale_per_m = 1.0 / np.array([equatorial_m, equatorial_m, polar_m])

    def clearance(ra_m: FloatArray, _va: FloatArray, rb_m: FloatArray, _vb: FloatArray) -> FloatArray:
        a, b = ra_m * scale_per_m, rb_m * scale_per_m
        beyond_a = np.maximum((a * a).sum(-1) - 1.0, 0.0)
        beyond_b = np.maximum((b * b).sum(-1) - 1.0, 0.0)
        return np.asarray((a * b).sum(-1) + np.sqrt(beyond_a * beyond_b) - 1.0)

    return clearance


def range_function(max_range_m: float) -> PairFunction:
    """Range below a limit, as a pair function in units of the limit squared."""

    def room(ra_m: FloatArray, _va: FloatArray, rb_m: FloatArray, _vb: FloatArray) -> FloatArray:
        d = (rb_m - ra_m) / max_range_m
        return np.asarray(1.0 - (d * d).sum(-1))

    return room


def rate_function(max_rate_rad_s: float) -> PairFunction:
    """Turn of the line of sight below a limit, as a pair function.

    The rate is |d × w| / d² for separation d and relative velocity w. It peaks sharply when two satellites pass; limit
    · d² - |d × w| has the same sign and is smooth, so that the search sees it on a coarse grid.
    """

    def slack(ra_m: FloatArray, va_mps: FloatArray, rb_m: FloatArray, vb_mps: FloatArray) -> FloatArray:
        d_m, w_mps = rb_m - ra_m, vb_mps - va_mps
        turn = np.cross(d_m, w_mps)
        return np.asarray((max_rate_rad_s * (d_m * d_m).sum(-1) - np.sqrt((turn * turn).sum(-1))) * 1e-12)

    return slack


def _satellite_windows(fleet: Fleet, grid: StateGrid, spec: LinkSpec, pairs: IntArray) -> Windows:
    tests: list[tuple[str, PairFunction]] = [
        ("links.topology", sight_function(spec.grazing_altitude_m)),
        ("links.max_range_m", range_function(spec.max_range_m)),
        ("links.max_rate_deg_s", rate_function(np.radians(spec.max_rate_deg_s))),
    ]
    windows = [pair_windows(grid, pairs, function) for _, function in tests]
    if spec.topology != "all_visible":
        for (key, _), found in zip(tests, windows, strict=True):
            _refuse_dead_rings(fleet, grid, spec, pairs, key, found)
    return intersect(*windows)


def pair_windows(grid: StateGrid, pairs: IntArray, function: PairFunction) -> Windows:
    """When a pair function is positive; tracks are rows of ``pairs``, shape (P, 2)."""

    def value(track: IntArray, t_s: FloatArray) -> FloatArray:
        a, b = pairs[track, 0], pairs[track, 1]
        return function(*grid.at(a, t_s), *grid.at(b, t_s))

    samples = np.empty((len(pairs), grid.t_s.size))
    rows = max(1, _BLOCK // grid.t_s.size)
    for first in range(0, len(pairs), rows):
        a, b = pairs[first : first + rows].T
        samples[first : first + rows] = function(grid.r_m[a], grid.v_mps[a], grid.r_m[b], grid.v_mps[b])
    return positive_windows(value, samples, grid.t_s)


def _ground_windows(
    grid: StateGrid, sites: tuple[GroundSite, ...], first_site: int, mask_deg: float, pairs: IntArray
) -> Windows:
    """When satellites are above the mask; the elevation is against the ellipsoid's normal."""
    normal = up(np.array([s.latitude_deg for s in sites]), np.array([s.longitude_deg for s in sites]))
    sin_mask = np.sin(np.radians(mask_deg))
    sin_latitude, cos_latitude = normal[:, 2], np.hypot(normal[:, 0], normal[:, 1])

    def value(track: IntArray, t_s: FloatArray) -> FloatArray:
        satellite, site = pairs[track, 0], pairs[track, 1]
        return above(grid.at(satellite, t_s)[0], grid.at(site, t_s)[0], site - first_site)

    def above(satellite_m: FloatArray, site_m: FloatArray, site: IntArray) -> FloatArray:
        # The normal turns with the Earth exactly as the site does, so its direction in the equator is the site's.
        across_m = np.hypot(site_m[..., 0], site_m[..., 1])
        d_m = satellite_m - site_m
        level_m = (d_m[..., :2] * site_m[..., :2]).sum(-1) / np.maximum(across_m, 1e-3)
        height_m = cos_latitude[site] * level_m + sin_latitude[site] * d_m[..., 2]
        return np.asarray((height_m - sin_mask * np.sqrt((d_m * d_m).sum(-1))) / EARTH_RADIUS_M)

    samples = np.empty((len(pairs), grid.t_s.size))
    for track, (satellite, site) in enumerate(pairs):
        samples[track] = above(grid.r_m[satellite], grid.r_m[site], site - first_site)
    return positive_windows(value, samples, grid.t_s)


def _refuse_dead_rings(
    fleet: Fleet, grid: StateGrid, spec: LinkSpec, pairs: IntArray, key: str, found: Windows
) -> None:
    """Refuse a fleet in which no pair of in-plane neighbours ever passes this test."""
    ring = {(int(a), int(b)) for a, b in ring_pairs(fleet)}
    alive = {(int(a), int(b)) for a, b in pairs[np.unique(found.track)]}
    if not ring or ring & alive:
        return
    a, b = min(ring)
    apart_m = float(np.linalg.norm(grid.r_m[a] - grid.r_m[b], axis=-1).min())
    name = f"{fleet.names[a]} and {fleet.names[b]}"
    if key == "links.max_range_m":
        problem = f"neighbours in a plane ({name}) are never closer than {apart_m / 1e3:.0f} km"
        raise InputError(key, spec.max_range_m, f"{problem}; allow at least that, or fly more satellites a plane")
    if key == "links.max_rate_deg_s":
        problem = f"neighbours in a plane ({name}) turn faster than this all the time"
        raise InputError(key, spec.max_rate_deg_s, f"{problem}; circular orbits turn at 360 degrees a period")
    raise InputError(key, spec.topology, f"{_altitude_advice(fleet, spec)} ({name})")


def _altitude_advice(fleet: Fleet, spec: LinkSpec) -> str:
    """N even neighbours see each other from a radius of R / cos(π / N), with R the grazing radius at the equator."""
    count = int(np.bincount(fleet.plane).max())
    if count < 3:
        return "two satellites on opposite sides of the Earth never see each other; a plane needs at least 3"
    grazing_m = EARTH_RADIUS_M + spec.grazing_altitude_m
    altitude_m = grazing_m / np.cos(np.pi / count) - EARTH_RADIUS_M
    return f"{count} satellites in a plane see their neighbours only from an altitude of {altitude_m / 1e3:.0f} km"
