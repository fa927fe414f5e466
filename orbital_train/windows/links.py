"""Link opportunities: which pairs may link, and when geometry lets them, before any terminal is assigned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from orbital_train.errors import InputError
from orbital_train.orbit.constants import EARTH_RADIUS_M
from orbital_train.orbit.ephemeris import GroundSite
from orbital_train.orbit.fleet import Fleet
from orbital_train.orbit.grid import StateGrid
from orbital_train.orbit.sun import SunPositions
from orbital_train.windows.field_of_regard import FieldOfRegard, field_function
from orbital_train.windows.geometry import PairFunction, range_function, rate_function, sight_function
from orbital_train.windows.intervals import merged, renamed, subtract
from orbital_train.windows.pairs import pair_windows
from orbital_train.windows.plan import FloatArray, IntArray, LinkKind
from orbital_train.windows.rates import RateLaw
from orbital_train.windows.search import Windows, intersect
from orbital_train.windows.sites import SiteLinkSpec, site_windows
from orbital_train.windows.sun_exclusion import glare_windows
from orbital_train.windows.topology import ring_pairs, topology_pairs
from orbital_train.windows.visible import Reach, visible_windows

STEP_S = 60.0


@dataclass(frozen=True, kw_only=True)
class LinkSpec:
    """What links there may be, and what each costs."""

    topology: Literal["all_visible", "ring", "grid", "nearest", "explicit", "ground_relay"]
    pairs: tuple[tuple[str, str], ...] = ()  # names of the satellites that link; of topology explicit
    max_range_m: float  # between satellites
    rate_bps: float  # between satellites, each direction: what the modem carries
    rate_law: RateLaw | None = None  # less than that where the range is too long for it
    grazing_altitude_m: float = 80e3
    terminals: int = 4  # for links between satellites; each satellite has one more for the ground
    fields_of_regard: tuple[FieldOfRegard, ...] = ()  # one for each of these terminals; none: they point anywhere
    acquisition_s: float = 30.0  # slew and acquisition, paid by every new link
    neighbours: int = 4  # links that each satellite keeps; of topology nearest
    minimum_life_s: float = 60.0  # data flows for at least so long, else a link is not made
    max_rate_deg_s: float = 0.1  # turn of the line of sight against the stars that terminals can track
    sun_exclusion_deg: float = 5.0  # angle from the Sun within which a receiver hears nothing
    ground_mask_deg: float = 20.0  # lowest elevation; 20 is usual for lasers, 10 for radio
    ground_rate_bps: float
    terrestrial_bps: float | None = None  # between any two sites, each direction; none: they have no network
    site_links: Mapping[str, SiteLinkSpec] = field(default_factory=dict)  # by the name of the site, where they differ

    def at_site(self, name: str) -> SiteLinkSpec:
        """The links of a site: its own, or those that all have."""
        usual = SiteLinkSpec(mask_deg=self.ground_mask_deg, down_bps=self.ground_rate_bps, up_bps=self.ground_rate_bps)
        return self.site_links.get(name, usual)

    @property
    def one_field(self) -> bool:
        """Whether all terminals can point in the same directions, so that any of them serves any link."""
        return len(set(self.fields_of_regard)) <= 1


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


def opportunities_on_grid(
    fleet: Fleet, grid: StateGrid, sites: tuple[GroundSite, ...], spec: LinkSpec, sun: SunPositions | None = None
) -> Opportunities:
    """Find all link opportunities on sampled states: satellites of the fleet first, then the sites, TEME axes.

    Two satellites have one while they see each other, are in range, their line of sight turns slowly enough and no
    receiver is blinded by the Sun; a site and a satellite while the satellite is above the site's mask, and for an
    optical site while the Sun is not behind the satellite. Fields of regard belong to single
    terminals, and are not looked at here unless all are the same. Without ``sun`` nobody is blinded.

    Raises:
        InputError: neighbours in a ring can never link (keys ``links.topology``, ``links.max_range_m``,
            ``links.max_rate_deg_s``), or the topology does not fit the fleet (``links.topology``, ``links.pairs``).
    """
    if spec.topology == "ground_relay" and not sites:
        raise InputError("links.topology", spec.topology, "needs ground sites to relay through, as [[ground_sites]]")
    space = topology_pairs(fleet, spec.topology, spec.pairs)
    found = _satellite_windows(fleet, grid, spec, space, sun)
    satellite, site = np.divmod(np.arange(len(fleet) * len(sites)), max(1, len(sites)))
    ground = np.stack([satellite, len(fleet) + site], axis=-1)
    own = [spec.at_site(site.name) for site in sites]
    seen = site_windows(grid, sites, own, len(fleet), ground, glare=_glare(spec, sun))
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


def visible_opportunities(satellites: int, grid: StateGrid, spec: LinkSpec) -> Iterator[Opportunities]:
    """Opportunities of all pairs of satellites, one satellite after the other, so that they never stand in memory.

    The Sun blinds nobody here. For fleets whose opportunities would not fit; see :func:`opportunities_on_grid`.
    """
    for a, windows in visible_windows(grid, satellites, tuple(link_conditions(spec).values()), _reach(spec)):
        yield Opportunities(
            a=np.full(len(windows), a),
            b=windows.track,
            start_s=windows.start_s,
            end_s=windows.end_s,
            kind=np.full(len(windows), LinkKind.ISL, dtype=np.int64),
        )


def _reach(spec: LinkSpec) -> Reach:
    return Reach(max_range_m=spec.max_range_m, grazing_altitude_m=spec.grazing_altitude_m)


def link_conditions(spec: LinkSpec) -> dict[str, PairFunction]:
    """What must be positive while two satellites are linked, each with the key that sets it; the Sun aside."""
    conditions = {
        "links.topology": sight_function(spec.grazing_altitude_m),
        "links.max_range_m": range_function(spec.max_range_m),
        "links.max_rate_deg_s": rate_function(np.radians(spec.max_rate_deg_s)),
    }
    if spec.fields_of_regard and spec.one_field:
        conditions["links.fields_of_regard"] = field_function(spec.fields_of_regard[0], both=True)
    return conditions


def _satellite_windows(
    fleet: Fleet, grid: StateGrid, spec: LinkSpec, pairs: IntArray, sun: SunPositions | None
) -> Windows:
    """When pairs can link; tracks are rows of ``pairs``."""
    if spec.topology == "all_visible":
        found = _of_all_pairs(len(fleet), grid, spec)
    else:
        found = _of_pairs(fleet, grid, spec, pairs)
    if glare := _glare(spec, sun):
        rows = np.unique(found.track)
        found = subtract(found, renamed(glare_windows(grid, pairs[rows], *glare), rows))
    return found


def _of_all_pairs(satellites: int, grid: StateGrid, spec: LinkSpec) -> Windows:
    """Tracks are the pairs a < b in the order of (a, b)."""
    parts = []
    for a, windows in visible_windows(grid, satellites, tuple(link_conditions(spec).values()), _reach(spec)):
        first = a * satellites - a * (a + 1) // 2
        parts.append(Windows(first + windows.track - a - 1, windows.start_s, windows.end_s))
    return merged(parts)


def _of_pairs(fleet: Fleet, grid: StateGrid, spec: LinkSpec, pairs: IntArray) -> Windows:
    """Pairs that one condition rules out are not tried on the next."""
    rows, found = np.arange(len(pairs)), None
    for key, function in link_conditions(spec).items():
        good = renamed(pair_windows(grid, pairs[rows], function), rows)
        # Fields that hold no link in a plane may hold those across, or those to the ground matter more.
        ringed = spec.topology in ("ring", "grid") and fleet.pattern != "cluster"
        if ringed and key != "links.fields_of_regard":
            _refuse_dead_rings(fleet, grid, spec, pairs, key, good)
        found = good if found is None else intersect(found, good)
        rows = np.unique(found.track)
    assert found is not None
    return found


def _glare(spec: LinkSpec, sun: SunPositions | None) -> tuple[SunPositions, float] | None:
    """The Sun that blinds receivers, and how close to it, in degrees."""
    return (sun, spec.sun_exclusion_deg) if sun is not None and spec.sun_exclusion_deg > 0 else None


def _refuse_dead_rings(
    fleet: Fleet, grid: StateGrid, spec: LinkSpec, pairs: IntArray, key: str, found: Windows
) -> None:
    """Refuse a fleet in which no pair of in-plane neighbours ever passes this test."""
    ring = {(int(a), int(b)) for a, b in ring_pairs(fleet)}
    alive = {(int(a), int(b)) for a, b in pairs[np.unique(found.track)]}
    if not ring or ring & alive:
        return
    a, b = min(ring)
    d_m, w_mps = grid.r_m[a] - grid.r_m[b], grid.v_mps[a] - grid.v_mps[b]
    apart_m = np.linalg.norm(d_m, axis=-1)
    name = f"{fleet.names[a]} and {fleet.names[b]}"
    if key == "links.max_range_m":
        problem = f"neighbours in a plane ({name}) are never closer than {np.ceil(apart_m.min() / 1e3):.0f} km"
        raise InputError(key, spec.max_range_m, f"{problem}; allow at least that, or fly more satellites a plane")
    if key == "links.max_rate_deg_s":
        slowest_deg_s = np.degrees(np.linalg.norm(np.cross(d_m, w_mps), axis=-1) / apart_m**2).min()
        problem = f"the line of sight of neighbours in a plane ({name}) never turns slower than"
        raise InputError(key, spec.max_rate_deg_s, f"{problem} {np.ceil(slowest_deg_s * 1e4) / 1e4:g}; allow that")
    raise InputError(key, spec.topology, f"{_altitude_advice(fleet, spec)} ({name})")


def _altitude_advice(fleet: Fleet, spec: LinkSpec) -> str:
    """N even neighbours see each other from a radius of R / cos(π / N), with R the grazing radius at the equator."""
    count = int(np.bincount(fleet.plane).max())
    if count < 3:
        return "two satellites on opposite sides of the Earth never see each other; a plane needs at least 3"
    grazing_m = EARTH_RADIUS_M + spec.grazing_altitude_m
    altitude_m = grazing_m / np.cos(np.pi / count) - EARTH_RADIUS_M
    return f"{count} satellites in a plane see their neighbours only from an altitude of {altitude_m / 1e3:.0f} km"
