"""Properties of links that hold for every fleet, terminal, rate law and sky."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from orbital_train.errors import InputError, InputWarning
from orbital_train.orbit.constants import EARTH_FLATTENING, EARTH_RADIUS_M
from orbital_train.orbit.ephemeris import GroundSite, Sgp4Ephemeris, SiteEphemeris, joined
from orbital_train.orbit.fleet import Fleet, WalkerSpec, build_fleet
from orbital_train.orbit.grid import sample
from orbital_train.orbit.sun import sun_positions_almanac_m
from orbital_train.windows.field_of_regard import FieldOfRegard
from orbital_train.windows.links import LinkSpec
from orbital_train.windows.plan import LinkKind
from orbital_train.windows.ranges import LinkTimes, range_m
from orbital_train.windows.rates import PhotonBudget, RateLaw, RateTable, rate_at_bps
from orbital_train.windows.sites import SiteLinkSpec
from orbital_train.windows.sun_exclusion import sun_function
from orbital_train.windows.topology import topology_pairs
from tests.sampled import contact_plan, opportunities

START = datetime(2026, 3, 20, tzinfo=UTC)
HORIZON_S = 9_000.0
few = settings(max_examples=25, deadline=None, derandomize=True)
fewer = settings(few, max_examples=10)  # of whole plans


def sun(t_s: np.ndarray) -> np.ndarray:
    return sun_positions_almanac_m(START, np.ravel(t_s)).reshape(*np.shape(t_s), 3)


@st.composite
def fields(draw: st.DrawFn) -> FieldOfRegard:
    return FieldOfRegard(
        azimuth_deg=draw(st.sampled_from([0.0, 90.0, 180.0, 270.0])),
        elevation_deg=draw(st.floats(-40.0, 20.0)),
        half_angle_deg=draw(st.floats(30.0, 180.0)),
    )


@st.composite
def specs(draw: st.DrawFn) -> LinkSpec:
    terminals = draw(st.integers(1, 3))
    pointing = draw(st.just(()) | st.tuples(*[fields()] * terminals))
    laws: list[RateLaw | None] = [None, PhotonBudget(), RateTable(range_m=(2e6, 9e6), rate_bps=(2e11, 1e11))]
    return LinkSpec(
        topology=draw(st.sampled_from(["all_visible", "grid", "nearest"])) if not pointing else "all_visible",
        max_range_m=9e6,
        rate_bps=4e11,
        rate_law=draw(st.sampled_from(laws)),
        ground_rate_bps=1e9,
        terminals=terminals,
        fields_of_regard=pointing,
        acquisition_s=draw(st.floats(0.0, 60.0)),
        minimum_life_s=draw(st.floats(0.0, 200.0)),
        max_rate_deg_s=0.3,
        site_links={"g": SiteLinkSpec(mask_deg=10.0, down_bps=1e9, up_bps=1e8)},
    )


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    planes = draw(st.integers(1, 3))
    spec = WalkerSpec(
        pattern=draw(st.sampled_from(["delta", "star"])),
        satellites=planes * 6,
        planes=planes,
        phasing=draw(st.integers(0, planes - 1)),
        altitude_m=draw(st.floats(1200e3, 2000e3)),
        inclination_deg=draw(st.floats(0.0, 180.0)),
    )
    return build_fleet(spec, START)


@fewer
@given(fleets(), specs(), st.integers(1, 2))
def test_no_terminal_serves_two_links_at_once_and_every_link_lives(
    fleet: Fleet, spec: LinkSpec, site_terminals: int
) -> None:
    sites = (GroundSite("g", 10.0, 0.0, terminals=site_terminals),)
    nodes = joined(Sgp4Ephemeris(fleet.names, fleet.satrecs, START), SiteEphemeris(sites, START))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)  # of terminals that hold no link
        try:
            plan = contact_plan(fleet, nodes, sites, spec, HORIZON_S, sun)
        except InputError:  # no terminal holds one
            reject()
    busy: dict[tuple[int, int], float] = {}
    for row in np.lexsort((plan.start_s, plan.acquire_start_s)).tolist():
        used = (int(plan.source[row]), int(plan.source_terminal[row]))
        # From the start of acquisition: slewing holds the terminal as well.
        assert plan.acquire_start_s[row] >= busy.get(used, 0.0)
        busy[used] = float(plan.end_s[row])
    ground = plan.kind == LinkKind.GROUND
    satellite = plan.source < len(fleet)
    assert (plan.source_terminal[satellite & ~ground] < spec.terminals).all()
    assert (plan.source_terminal[satellite & ground] == spec.terminals).all()
    assert (plan.source_terminal[~satellite] < site_terminals).all()
    for link in np.unique(plan.link_id).tolist():
        rows = np.flatnonzero(plan.link_id == link)
        first = rows[plan.start_s[rows].argmin()]
        assert abs(plan.start_s[first] - plan.acquire_start_s[first] - spec.acquisition_s) < 1e-6
        assert plan.end_s[rows].max() - plan.start_s[first] >= spec.minimum_life_s - 1e-6


@fewer
@given(fleets(), specs())
def test_opportunities_are_disjoint_sorted_and_inside_the_horizon(fleet: Fleet, spec: LinkSpec) -> None:
    sites = (GroundSite("g", 10.0, 0.0),)
    nodes = joined(Sgp4Ephemeris(fleet.names, fleet.satrecs, START), SiteEphemeris(sites, START))
    found = opportunities(fleet, nodes, sites, spec, HORIZON_S, sun)
    assert (found.a < found.b).all()
    assert (found.end_s > found.start_s).all()
    assert found.start_s.min(initial=0.0) >= 0
    assert found.end_s.max(initial=0.0) <= HORIZON_S
    keys = list(zip(found.a.tolist(), found.b.tolist(), found.start_s.tolist(), strict=True))
    assert keys == sorted(keys)
    same = (found.a[1:] == found.a[:-1]) & (found.b[1:] == found.b[:-1])
    assert (found.start_s[1:] >= found.end_s[:-1])[same].all()


@fewer
@given(fleets(), st.floats(0.1, 20.0), st.floats(1e11, 1e13))
def test_slices_keep_the_volume(fleet: Fleet, transmit_w: float, modem_bps: float) -> None:
    law = PhotonBudget(transmit_w=transmit_w)
    spec = LinkSpec(
        topology="all_visible", max_range_m=9e6, rate_bps=modem_bps, rate_law=law, ground_rate_bps=1e9, terminals=2
    )
    ephemeris = Sgp4Ephemeris(fleet.names, fleet.satrecs, START)
    plan = contact_plan(fleet, ephemeris, (), spec, HORIZON_S)
    grid = sample(ephemeris, HORIZON_S, 60.0)
    forth = np.flatnonzero(plan.source < plan.dest)
    for row in forth[:: max(1, forth.size // 20)].tolist():
        ends = LinkTimes(a=plan.source[[row]], b=plan.dest[[row]], start_s=plan.start_s[[row]], end_s=plan.end_s[[row]])
        part = (np.arange(3000) + 0.5) / 3000
        t_s = plan.start_s[row] + part * (plan.end_s[row] - plan.start_s[row])
        rates_bps = rate_at_bps(law, modem_bps, range_m(grid, ends, np.zeros(3000, dtype=np.int64), t_s))
        assert abs(plan.rate_bps[row] / rates_bps.mean() - 1.0) < 1e-6
        assert rates_bps.max() / rates_bps.min() < 1.1 + 1e-6


coordinate = st.floats(-9e6, 9e6)
point = st.tuples(coordinate, coordinate, coordinate).map(np.array)


@few
@given(point, point, st.floats(0.0, 86400.0), st.floats(1.0, 40.0))
def test_sun_exclusion_is_symmetric(a: np.ndarray, b: np.ndarray, t_s: float, exclusion_deg: float) -> None:
    if np.linalg.norm(a - b) < 1e3:
        return
    good, now = sun_function(sun, exclusion_deg), np.array([t_s])
    assert (good(now, a, a, b, b) > 0) == (good(now, b, b, a, a) > 0)


# From 12,000 km three satellites of a plane see each other, and from 550 km ten.
LOWEST_SLOTS = {12_000e3: 3, 550e3: 10}


@st.composite
def deltas(draw: st.DrawFn, altitude_m: float) -> WalkerSpec:
    planes, slots = (
        draw(st.integers(1, 8 if altitude_m > 1e6 else 16)),
        LOWEST_SLOTS[altitude_m] + draw(st.integers(0, 11)),
    )
    return WalkerSpec(
        pattern="delta",
        satellites=planes * slots,
        planes=planes,
        phasing=draw(st.integers(0, planes - 1)),
        altitude_m=altitude_m,
        inclination_deg=draw(st.floats(0.0, 180.0)),
    )


def middle_m(spec: WalkerSpec) -> np.ndarray:
    """Distance from the Earth's centre to the middle between satellites of one slot in planes side by side, (721,).

    Over one circular orbit about a round Earth: every gap between planes is like every other, the last one as well.
    """
    u = np.linspace(0.0, 2.0 * np.pi, 721)
    i = np.radians(spec.inclination_deg)

    def path_m(node: float, lead: float) -> np.ndarray:
        along, across = np.cos(u + lead), np.sin(u + lead) * np.cos(i)
        x, y = np.cos(node) * along - np.sin(node) * across, np.sin(node) * along + np.cos(node) * across
        return (EARTH_RADIUS_M + spec.altitude_m) * np.stack([x, y, np.sin(u + lead) * np.sin(i)], axis=-1)

    other_m = path_m(2.0 * np.pi / spec.planes, 2.0 * np.pi * spec.phasing / spec.satellites)
    return np.linalg.norm(path_m(0.0, 0.0) + other_m, axis=-1) / 2.0


@pytest.mark.parametrize("altitude_m", LOWEST_SLOTS)
@few
@given(st.data())
def test_every_plane_of_a_walker_delta_grid_keeps_its_links(altitude_m: float, data: st.DataObject) -> None:
    """At no inclination and in no plane a link is lost (StarPerf lost those of the last plane from 80 to 100 degrees).

    In a plane they do not end. Beside a plane they do not end either if geometry says so, and there are none if it says
    that; where they come and go, every pair has some. Geometry allows for 25 km of SGP4's swings.
    """
    spec = data.draw(deltas(altitude_m))
    fleet = build_fleet(spec, START)
    links = LinkSpec(topology="grid", max_range_m=1e8, rate_bps=1e9, ground_rate_bps=1e9, max_rate_deg_s=1e9)
    found = opportunities(fleet, Sgp4Ephemeris(fleet.names, fleet.satrecs, START), (), links, HORIZON_S)
    ring = fleet.plane[found.a] == fleet.plane[found.b]
    whole = (found.start_s == 0) & (found.end_s == HORIZON_S)
    slots = spec.satellites // spec.planes
    assert np.bincount(fleet.plane[found.a[ring]], minlength=spec.planes).tolist() == [slots] * spec.planes
    assert whole[ring].all()
    beside = np.stack([found.a, found.b], axis=-1)[~ring]
    least_m, most_m = middle_m(spec).min(), middle_m(spec).max()
    # With two planes either gap may have the same pairs.
    pairs = (
        spec.satellites if spec.planes > 2 else len(np.unique(topology_pairs(fleet, "grid"), axis=0)) - spec.satellites
    )
    if least_m - 25e3 > EARTH_RADIUS_M + links.grazing_altitude_m:
        assert len(beside) == pairs
        assert whole[~ring].all()
    elif most_m - 25e3 > EARTH_RADIUS_M + links.grazing_altitude_m:
        assert len(np.unique(beside, axis=0)) == pairs
    elif most_m + 25e3 < EARTH_RADIUS_M * (1.0 - EARTH_FLATTENING) + links.grazing_altitude_m:
        assert len(beside) == 0


@few
@given(st.floats(60.0, 120.0), st.integers(2, 5), st.integers(4, 9), st.integers(0, 4))
def test_no_walker_star_link_crosses_the_seam(inclination_deg: float, planes: int, slots: int, phasing: int) -> None:
    """Satellites of the first and the last plane fly in opposite directions: they are never linked."""
    fleet = build_fleet(
        WalkerSpec(
            pattern="star",
            satellites=planes * slots,
            planes=planes,
            phasing=phasing % planes,
            altitude_m=4000e3,
            inclination_deg=inclination_deg,
        ),
        START,
    )
    spec = LinkSpec(topology="grid", max_range_m=2e7, rate_bps=1e9, ground_rate_bps=1e9, max_rate_deg_s=10.0)
    found = opportunities(fleet, Sgp4Ephemeris(fleet.names, fleet.satrecs, START), (), spec, HORIZON_S)
    apart = fleet.plane[found.b] - fleet.plane[found.a]
    assert set(apart.tolist()) <= {0, 1}
    assert (apart == 1).any() or planes == 1
