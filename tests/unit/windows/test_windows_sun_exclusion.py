from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from orbital_train.orbit.ephemeris import Ephemeris, GroundSite, Sgp4Ephemeris, SiteEphemeris, joined
from orbital_train.orbit.fleet import Fleet, WalkerSpec, build_fleet
from orbital_train.orbit.grid import StateGrid, sample
from orbital_train.orbit.sun import SunPositions, sun_path
from orbital_train.windows.ground import ground_windows
from orbital_train.windows.intervals import subtract
from orbital_train.windows.links import LinkSpec
from orbital_train.windows.plan import ContactPlan, LinkKind
from orbital_train.windows.search import Windows
from orbital_train.windows.shadow import Occulter, angles_rad
from orbital_train.windows.sun_exclusion import glare_windows, pass_glare, sun_function
from orbital_train.windows.topology import topology_pairs
from tests.sampled import contact_plan, opportunities

START = datetime(2026, 3, 20, tzinfo=UTC)
HORIZON_S = 6000.0
STEP_S = 2.0  # of the dense samples that windows are held against
SITE = GroundSite("equator", 3.0, 150.0)


def fleet() -> Fleet:
    """Planes close to the equator, which holds the Sun in March."""
    spec = WalkerSpec(pattern="delta", satellites=48, planes=8, phasing=3, altitude_m=1200e3, inclination_deg=12.0)
    return build_fleet(spec, START)


def ephemeris(of: Fleet) -> Ephemeris:
    return Sgp4Ephemeris(of.names, of.satrecs, START)


def some_pairs(of: Fleet) -> np.ndarray:
    return topology_pairs(of, "all_visible")[::3]


def off_sun_deg(receiver_m: np.ndarray, other_m: np.ndarray, sun_m: np.ndarray) -> np.ndarray:
    sight, to_sun = other_m - receiver_m, sun_m - receiver_m
    cosine = (sight * to_sun).sum(-1) / np.linalg.norm(sight, axis=-1) / np.linalg.norm(to_sun, axis=-1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def blinded(grid: StateGrid, pairs: np.ndarray, sun: SunPositions, exclusion_deg: float) -> np.ndarray:
    """By the definition, at every point of the grid: closer than the exclusion, and not in the receiver's umbra."""
    sun_m = sun(grid.t_s)
    blind = np.zeros((len(pairs), grid.t_s.size), dtype=bool)
    for here, there in ((pairs[:, 0], pairs[:, 1]), (pairs[:, 1], pairs[:, 0])):
        earth_rad, sun_rad, apart_rad = angles_rad(grid.r_m[here], sun_m, Occulter())
        close = off_sun_deg(grid.r_m[here], grid.r_m[there], sun_m) < exclusion_deg
        blind |= close & (apart_rad > earth_rad - sun_rad)
    return blind


def inside(windows: Windows, tracks: int, t_s: np.ndarray) -> np.ndarray:
    found = np.zeros((tracks, t_s.size), dtype=bool)
    for track, start_s, end_s in zip(windows.track, windows.start_s, windows.end_s, strict=True):
        found[track] |= (t_s >= start_s) & (t_s <= end_s)
    return found


def near_an_edge(flags: np.ndarray) -> np.ndarray:
    """Samples beside a change, where a window's edge may lie on either side of the sample."""
    change = np.diff(flags, axis=1)
    return np.pad(change, ((0, 0), (1, 0))) | np.pad(change, ((0, 0), (0, 1)))


def test_gaps_agree_with_dense_samples_and_short_ones_are_not_lost() -> None:
    """Found on 60 s, held against 2 s. Parallax (0.003 degrees) moves an edge by a fraction of a sample."""
    of, sun = fleet(), sun_path(START, HORIZON_S)
    pairs = some_pairs(of)
    found = glare_windows(sample(ephemeris(of), HORIZON_S, 60.0), pairs, sun, 5.0)
    dense = sample(ephemeris(of), HORIZON_S, STEP_S)
    expected, got = blinded(dense, pairs, sun, 5.0), inside(found, len(pairs), dense.t_s)
    assert expected.any(axis=1).sum() > 30
    assert not ((expected != got) & ~near_an_edge(expected)).any()
    length_s = found.end_s - found.start_s
    assert length_s.min() < 20.0
    assert length_s.max() > 60.0


def test_the_earth_ends_gaps_that_would_go_on() -> None:
    """In-plane neighbours of a plane that holds the Sun: what looks at the Sun from the umbra is not blinded."""
    of, sun = fleet(), sun_path(START, HORIZON_S)
    pairs = some_pairs(of)
    grid = sample(ephemeris(of), HORIZON_S, 60.0)
    found = glare_windows(grid, pairs, sun, 5.0)
    dense = sample(ephemeris(of), HORIZON_S, STEP_S)
    close = np.zeros((len(pairs), dense.t_s.size), dtype=bool)
    for a, b in ((pairs[:, 0], pairs[:, 1]), (pairs[:, 1], pairs[:, 0])):
        close |= off_sun_deg(dense.r_m[a], dense.r_m[b], sun(dense.t_s)) < 5.0
    got = inside(found, len(pairs), dense.t_s)
    assert not (got & ~close & ~near_an_edge(close)).any()
    assert (close & ~got).sum() > 1000


def test_one_function_says_the_same() -> None:
    of, sun = fleet(), sun_path(START, HORIZON_S)
    pairs = some_pairs(of)
    dense = sample(ephemeris(of), HORIZON_S, 20.0)
    a, b = pairs.T
    good = sun_function(sun, 5.0)(dense.t_s, dense.r_m[a], dense.v_mps[a], dense.r_m[b], dense.v_mps[b]) > 0
    expected = ~blinded(dense, pairs, sun, 5.0)
    assert (good != expected).mean() < 1e-4
    assert (~good).sum() > 200


@pytest.mark.parametrize("exclusion_deg", [2.0, 5.0])
def test_passes_of_ground_sites_agree_with_dense_samples(exclusion_deg: float) -> None:
    """At noon on the equator satellites pass before the Sun within seconds."""
    spec = WalkerSpec(pattern="delta", satellites=120, planes=12, phasing=5, altitude_m=550e3, inclination_deg=10.0)
    of, horizon_s = build_fleet(spec, START), 40_000.0
    nodes = joined(ephemeris(of), SiteEphemeris((SITE,), START))
    pairs = np.array([(k, len(of)) for k in range(len(of))])
    sun, grid = sun_path(START, horizon_s), sample(nodes, horizon_s, 60.0)
    seen = ground_windows(grid, (SITE,), len(of), np.array([20.0]))
    kept = subtract(seen, pass_glare(grid, pairs, seen, sun, exclusion_deg))
    dense = sample(nodes, horizon_s, 4.0)
    close = off_sun_deg(dense.r_m[-1:], dense.r_m[:-1], sun(dense.t_s)) < exclusion_deg
    expected = inside(seen, len(of), dense.t_s) & ~close
    got = inside(kept, len(of), dense.t_s)
    assert not ((expected != got) & ~near_an_edge(expected)).any()
    assert len(kept) > len(seen) + 3
    gaps_s = kept.start_s[1:] - kept.end_s[:-1]
    assert ((gaps_s > 0) & (gaps_s < 10.0)).any()


def test_links_lose_what_the_sun_blinds() -> None:
    of, sun = fleet(), sun_path(START, HORIZON_S)
    nodes = joined(ephemeris(of), SiteEphemeris((SITE,), START))

    def seconds(exclusion_deg: float) -> dict[int, float]:
        spec = LinkSpec(
            topology="grid", max_range_m=9e6, rate_bps=1e9, ground_rate_bps=1e9, sun_exclusion_deg=exclusion_deg
        )
        found = opportunities(of, nodes, (SITE,), spec, HORIZON_S, sun)
        length_s = found.end_s - found.start_s
        return {kind: float(length_s[found.kind == kind].sum()) for kind in (LinkKind.ISL, LinkKind.GROUND)}

    none, some, much = seconds(0.0), seconds(5.0), seconds(20.0)
    assert none[LinkKind.ISL] > some[LinkKind.ISL] > much[LinkKind.ISL]
    assert none[LinkKind.GROUND] >= some[LinkKind.GROUND] > much[LinkKind.GROUND]


def test_nearest_links_end_when_the_sun_blinds_them() -> None:
    of, sun = fleet(), sun_path(START, HORIZON_S)
    spec = LinkSpec(topology="nearest", max_range_m=9e6, rate_bps=1e9, ground_rate_bps=1e9, max_rate_deg_s=0.3)
    free = contact_plan(of, ephemeris(of), (), spec, HORIZON_S)
    plan = contact_plan(of, ephemeris(of), (), spec, HORIZON_S, sun)
    dense = sample(ephemeris(of), HORIZON_S, STEP_S)

    def blind_samples(contacts: ContactPlan) -> int:
        pairs = np.stack([contacts.source, contacts.dest], axis=-1)
        during = (dense.t_s > contacts.start_s[:, None] + 0.1) & (dense.t_s < contacts.end_s[:, None] - 0.1)
        return int((blinded(dense, pairs, sun, 5.0) & during).sum())

    assert blind_samples(free) > 100
    assert blind_samples(plan) == 0
