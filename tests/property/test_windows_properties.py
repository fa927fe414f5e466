"""Properties of light and links that hold for every orbit and every set of opportunities."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from orbital_train.orbit.ephemeris import GroundSite, KeplerEphemeris, Sgp4Ephemeris, SiteEphemeris, joined
from orbital_train.orbit.fleet import Fleet, WalkerSpec, build_fleet
from orbital_train.orbit.sun import sun_positions_almanac_m
from orbital_train.windows.geometry import sight_function
from orbital_train.windows.light import LightSpec
from orbital_train.windows.links import LinkSpec, Opportunities
from orbital_train.windows.plan import LinkKind
from orbital_train.windows.search import Windows, intersect, positive_windows
from orbital_train.windows.shadow import Occulter, shadow_windows
from orbital_train.windows.terminals import Pools, match
from tests.sampled import contact_plan, illuminate, opportunities

MU = 3.986004418e14
START = datetime(2026, 1, 1, tzinfo=UTC)
HORIZON_S = 12_000.0
few = settings(max_examples=25, deadline=None, derandomize=True)


@st.composite
def orbits(draw: st.DrawFn) -> KeplerEphemeris:
    """One satellite with its perigee in low orbit, eccentricity up to 0.69."""
    radius_m = draw(st.floats(6_800e3, 8_500e3))
    tilt, node, argument = (draw(st.floats(0.0, 2 * np.pi)) for _ in range(3))
    ahead = np.array([np.cos(node), np.sin(node), 0.0])
    aside = np.array([-np.sin(node) * np.cos(tilt), np.cos(node) * np.cos(tilt), np.sin(tilt)])
    speed_mps = np.sqrt(MU / radius_m) * draw(st.floats(1.0, 1.02) | st.floats(1.0, 1.3))
    r_m = radius_m * (np.cos(argument) * ahead + np.sin(argument) * aside)
    v_mps = speed_mps * (np.cos(argument) * aside - np.sin(argument) * ahead)
    return KeplerEphemeris(("s",), r_m[None], v_mps[None], MU)


def in_order(windows: Windows) -> bool:
    longer = (windows.end_s > windows.start_s).all()
    same = windows.track[1:] == windows.track[:-1]
    return bool(
        longer and (windows.start_s[1:] >= windows.end_s[:-1])[same].all() and (np.diff(windows.track) >= 0).all()
    )


def covered(inner: Windows, outer: Windows) -> bool:
    """Every inner window lies in an outer one of the same track."""
    return all(
        ((outer.track == k) & (outer.start_s <= a) & (outer.end_s >= b)).any()
        for k, a, b in zip(inner.track, inner.start_s, inner.end_s, strict=True)
    )


@few
@given(orbits(), st.integers(0, 364))
def test_umbra_lies_inside_penumbra_and_windows_are_in_order(orbit: KeplerEphemeris, day: int) -> None:
    start = START + timedelta(days=day)
    found = shadow_windows(orbit, lambda t_s: sun_positions_almanac_m(start, t_s), HORIZON_S, Occulter())
    assert in_order(found.umbra)
    assert in_order(found.penumbra)
    assert covered(found.umbra, found.penumbra)


@few
@given(orbits(), st.integers(0, 364))
def test_60_s_and_120_s_grids_agree_to_a_tenth_of_a_second(orbit: KeplerEphemeris, day: int) -> None:
    """For eclipses of more than two minutes; the edges of a grazing one are as ill-defined as the orbit itself."""
    start = START + timedelta(days=day)
    coarse, fine = (
        shadow_windows(orbit, lambda t_s: sun_positions_almanac_m(start, t_s), HORIZON_S, Occulter(), step_s)
        for step_s in (120.0, 60.0)
    )
    for a, b in ((coarse.umbra, fine.umbra), (coarse.penumbra, fine.penumbra)):
        for long, other in ((a, b), (b, a)):
            for start_s, end_s in zip(long.start_s, long.end_s, strict=True):
                if end_s - start_s > 120.0:
                    assert np.abs(other.start_s - start_s).min() < 0.1
                    assert np.abs(other.end_s - end_s).min() < 0.1


coordinate = st.floats(-9e6, 9e6)
point = st.tuples(coordinate, coordinate, coordinate).map(np.array)


@few
@given(point, point, st.floats(0.0, 200e3))
def test_line_of_sight_is_symmetric_to_the_last_bit(a: np.ndarray, b: np.ndarray, grazing_m: float) -> None:
    sight, now = sight_function(grazing_m), np.zeros(1)
    assert sight(now, a, a, b, b) == sight(now, b, b, a, a)


@few
@given(st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=6), st.integers(2, 40))
def test_windows_are_where_the_function_is_positive(waves: list[float], samples: int) -> None:
    def value(track: np.ndarray, t_s: np.ndarray) -> np.ndarray:
        return sum(w * np.cos(2 * np.pi * k * t_s / 100.0 + track) for k, w in enumerate(waves)) - 0.1  # type: ignore[return-value]

    t_s = np.linspace(0.0, 100.0, samples)
    tracks = np.repeat(np.arange(3), samples)
    found = positive_windows(value, value(tracks, np.tile(t_s, 3)).reshape(3, -1), t_s)
    assert in_order(found)
    edges = np.concatenate([found.start_s, found.end_s])
    inner = (edges > 0) & (edges < 100.0)
    assert np.abs(value(np.tile(found.track, 2), edges)[inner]).max(initial=0.0) < 1e-5
    assert intersect(found, found).start_s.tolist() == found.start_s.tolist()


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    planes = draw(st.integers(1, 3))
    spec = WalkerSpec(
        pattern=draw(st.sampled_from(["delta", "star"])),
        satellites=planes * draw(st.integers(1, 4)),
        planes=planes,
        phasing=draw(st.integers(0, planes - 1)),
        altitude_m=draw(st.floats(600e3, 2000e3)),
        inclination_deg=draw(st.floats(0.0, 100.0)),
    )
    return build_fleet(spec, START)


def no_overlap(key: list[tuple[int, int]], start_s: np.ndarray, end_s: np.ndarray) -> bool:
    last: dict[tuple[int, int], float] = {}
    for row in np.argsort(start_s, kind="stable"):
        if start_s[row] < last.get(key[row], -np.inf):
            return False
        last[key[row]] = end_s[row]
    return True


@few
@given(fleets(), st.integers(1, 3), st.integers(1, 2), st.floats(0.0, 60.0))
def test_no_terminal_serves_two_links_at_once(
    fleet: Fleet, terminals: int, site_terminals: int, acquisition_s: float
) -> None:
    sites = (GroundSite("g", 10.0, 0.0, terminals=site_terminals),)
    spec = LinkSpec(
        topology="all_visible",
        max_range_m=9e6,
        rate_bps=1e9,
        ground_rate_bps=1e9,
        terminals=terminals,
        acquisition_s=acquisition_s,
        max_rate_deg_s=0.3,
    )
    ephemeris = joined(Sgp4Ephemeris(fleet.names, fleet.satrecs, START), SiteEphemeris(sites, START))
    plan = contact_plan(fleet, ephemeris, sites, spec, HORIZON_S)
    used = list(zip(plan.source.tolist(), plan.source_terminal.tolist(), strict=True))
    # From the start of acquisition: slewing holds the terminal as well.
    assert no_overlap(used, plan.acquire_start_s, plan.end_s)
    assert (plan.start_s == plan.acquire_start_s + acquisition_s).all()
    found = opportunities(fleet, ephemeris, sites, spec, HORIZON_S)
    assert len(plan) <= 2 * len(found)
    assert set(plan.kind.tolist()) <= {LinkKind.ISL, LinkKind.GROUND}


@st.composite
def random_opportunities(draw: st.DrawFn) -> Opportunities:
    rows = []
    for a, b in draw(st.lists(st.sampled_from([(i, j) for i in range(6) for j in range(i + 1, 6)]), max_size=30)):
        start = draw(st.integers(0, 200))
        rows.append((a, b, start, start + draw(st.integers(1, 120))))
    a, b, start, end = np.array(sorted(rows), dtype=np.int64).reshape(-1, 4).T
    return Opportunities(a=a, b=b, start_s=start * 1.0, end_s=end * 1.0, kind=np.zeros_like(a))


@few
@given(random_opportunities(), st.lists(st.integers(1, 3), min_size=6, max_size=6))
def test_matching_leaves_no_opportunity_with_free_terminals_unserved(found: Opportunities, counts: list[int]) -> None:
    """Maximal at all times: an unserved opportunity always finds one of its ends fully busy."""
    acquisition_s = 10.0
    links = match(found, Pools(terminals=[range(n) for n in counts], a=found.a, b=found.b), acquisition_s)
    a, b = found.a[links.opportunity], found.b[links.opportunity]
    served = set(links.opportunity.tolist())
    for row in set(range(len(found))) - served:
        for now_s in np.arange(found.start_s[row], found.end_s[row] - acquisition_s):
            busy = (links.acquire_start_s <= now_s) & (links.end_s > now_s)
            full = [(busy & ((a == n) | (b == n))).sum() == counts[n] for n in (found.a[row], found.b[row])]
            assert any(full)


@few
@given(orbits(), st.integers(0, 364))
def test_light_is_a_partition_of_the_horizon(orbit: KeplerEphemeris, day: int) -> None:
    light = illuminate(orbit, 1, START + timedelta(days=day), HORIZON_S, LightSpec())
    (edge_s,), (fraction,) = light.edge_s, light.fraction
    assert (edge_s[0], edge_s[-1]) == (0.0, HORIZON_S)
    assert (np.diff(edge_s) > 0).all()
    assert ((fraction >= 0) & (fraction <= 1)).all()
    # Umbra and full sunlight never meet without a penumbra between them.
    assert not ((fraction[1:] + fraction[:-1] == 1) & (np.abs(np.diff(fraction)) == 1)).any()
