from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from skyfield.api import EarthSatellite, load, wgs84

from orbital_train.errors import InputError
from orbital_train.orbit.constants import EARTH_FLATTENING, EARTH_RADIUS_M
from orbital_train.orbit.ephemeris import Ephemeris, GroundSite, KeplerEphemeris, Sgp4Ephemeris, SiteEphemeris, joined
from orbital_train.orbit.fleet import Fleet, WalkerSpec, build_fleet
from orbital_train.orbit.geodesy import earth_fixed_m
from orbital_train.orbit.grid import sample
from orbital_train.windows.geometry import range_function, rate_function, sight_function
from orbital_train.windows.links import LinkSpec
from orbital_train.windows.pairs import pair_windows
from orbital_train.windows.plan import LinkKind
from tests.sampled import opportunities

START = datetime(2026, 3, 20, tzinfo=UTC)
NOW = np.zeros(1)
MU = 3.986004418e14
SITE = GroundSite("madrid", 40.43, -4.25, 700.0)


def link_spec(**change: object) -> LinkSpec:
    usual = {"topology": "ring", "max_range_m": 6e6, "rate_bps": 1e11, "ground_rate_bps": 1e9}
    return LinkSpec(**{**usual, **change})  # type: ignore[arg-type]


def ring(satellites: int, altitude_m: float, inclination_deg: float = 53.0, planes: int = 1) -> Fleet:
    spec = WalkerSpec(
        pattern="delta",
        satellites=satellites,
        planes=planes,
        phasing=0,
        altitude_m=altitude_m,
        inclination_deg=inclination_deg,
    )
    return build_fleet(spec, START)


def ephemeris(fleet: Fleet) -> Ephemeris:
    return Sgp4Ephemeris(fleet.names, fleet.satrecs, START)


def test_longest_links_of_the_table_of_default_figures() -> None:
    """80 km grazing, over the equator: 5,017 km at 550 km; 5,545 km at 650 km."""
    for altitude_m, longest_m in ((550e3, 5017e3), (650e3, 5545e3)):
        radius_m = EARTH_RADIUS_M + altitude_m
        half_rad = np.arcsin((longest_m + np.array([-1e3, 1e3])) / 2 / radius_m)
        a = radius_m * np.stack([np.cos(half_rad), np.sin(half_rad), np.zeros(2)], axis=-1)
        b = a * [1, -1, 1]
        clear = sight_function(80e3)(NOW, a, a, b, b)
        assert clear[0] > 0 > clear[1]


def test_grazing_surface_is_geodetic_altitude_to_a_metre() -> None:
    latitude_deg = np.linspace(-90, 90, 181)
    surface_m = earth_fixed_m(latitude_deg, np.zeros(181), np.full(181, 200e3))
    polar_m = EARTH_RADIUS_M * (1 - EARTH_FLATTENING) + 200e3
    scaled = surface_m / np.array([EARTH_RADIUS_M + 200e3, EARTH_RADIUS_M + 200e3, polar_m])
    assert np.abs(np.linalg.norm(scaled, axis=-1) - 1).max() * EARTH_RADIUS_M < 1.1


def test_the_grazing_surface_is_lower_over_the_poles() -> None:
    """Level lines over the pole, both ends at 550 km, that pass 100 m below and above 80 km over the polar radius."""
    z_m = EARTH_RADIUS_M * (1 - EARTH_FLATTENING) + np.array([79.9e3, 80.1e3])
    x_m = np.sqrt((EARTH_RADIUS_M + 550e3) ** 2 - z_m**2)
    a, b = (np.stack([sign * x_m, np.zeros(2), z_m], axis=-1) for sign in (-1.0, 1.0))
    clear = sight_function(80e3)(NOW, a, a, b, b)
    assert clear[0] < 0 < clear[1]


def test_sight_agrees_with_the_lowest_point_of_the_line() -> None:
    """Against brute force: the lowest of 20,001 points of the straight line, in the stretched axes."""
    rng = np.random.default_rng(1)
    direction = rng.normal(size=(300, 2, 3))
    altitude_m = rng.uniform(200e3, 2000e3, (300, 2, 1))
    r_m = direction / np.linalg.norm(direction, axis=-1, keepdims=True) * (EARTH_RADIUS_M + altitude_m)
    a, b = r_m[:, 0], r_m[:, 1] * 0.4 + r_m[:, 0] * 0.6
    b *= (EARTH_RADIUS_M + 600e3) / np.linalg.norm(b, axis=-1, keepdims=True)
    scale = np.array([EARTH_RADIUS_M + 80e3, EARTH_RADIUS_M + 80e3, EARTH_RADIUS_M * (1 - EARTH_FLATTENING) + 80e3])
    x = np.linspace(0, 1, 20_001)[:, None]
    expected = [np.linalg.norm((p + x * (q - p)) / scale, axis=-1).min() > 1 for p, q in zip(a, b, strict=True)]
    found = sight_function(80e3)(NOW, a, a, b, b) > 0
    assert found.tolist() == expected
    assert 20 < found.sum() < 280


@pytest.mark.parametrize(("satellites", "altitude_m"), [(6, 1079e3), (8, 612e3), (9, 494e3), (12, 308e3)])
def test_in_plane_rings_need_altitude(satellites: int, altitude_m: float) -> None:
    """The altitudes of docs/physics/links.md, over the equator, where the Earth is a sphere."""
    radius_m = EARTH_RADIUS_M + altitude_m + np.array([-1e3, 1e3])[:, None]
    turn = 2 * np.pi / satellites
    a = radius_m * np.array([1.0, 0.0, 0.0])
    b = radius_m * np.array([np.cos(turn), np.sin(turn), 0.0])
    clear = sight_function(80e3)(NOW, a, a, b, b)
    assert clear[0] < 0 < clear[1]


def test_rate_function_has_the_sign_of_limit_minus_rate() -> None:
    rng = np.random.default_rng(2)
    ra, rb = rng.normal(size=(2, 200, 3)) * 3e6
    va, vb = rng.normal(size=(2, 200, 3)) * 5e3
    d, w = rb - ra, vb - va
    rate = np.linalg.norm(np.cross(d, w), axis=-1) / (d * d).sum(-1)
    limit = float(np.median(rate))
    assert ((rate_function(limit)(NOW, ra, va, rb, vb) > 0) == (rate < limit)).all()


def crossing() -> KeplerEphemeris:
    """Two satellites in polar planes at right angles that meet over the pole 5 km apart, a quarter orbit on."""
    radius_m = EARTH_RADIUS_M + 700e3
    speed_mps = np.sqrt(MU / radius_m)
    lag = 5e3 * np.sqrt(2) / radius_m
    r = radius_m * np.array([[1.0, 0.0, 0.0], [0.0, np.cos(lag), -np.sin(lag)]])
    v = speed_mps * np.array([[0.0, 0.0, 1.0], [0.0, np.sin(lag), np.cos(lag)]])
    return KeplerEphemeris(("a", "b"), r, v, MU)


def test_a_fast_pass_cuts_the_rate_window_even_between_grid_points() -> None:
    """At 5 km and 10.6 km/s the line of sight turns at 120 degrees a second; the gap is found on any grid."""
    limit_rad_s = np.radians(0.5)
    gaps = []
    for step_s in (60.0, 120.0, 10.0):
        grid = sample(crossing(), 3000.0, step_s)
        found = pair_windows(grid, np.array([[0, 1]]), rate_function(limit_rad_s))
        assert len(found) == 2
        gaps.append((found.end_s[0], found.start_s[1]))
    assert gaps[0] == pytest.approx(gaps[2], abs=0.1)
    assert gaps[1] == pytest.approx(gaps[2], abs=0.1)


def test_range_window_edges_are_at_the_range() -> None:
    grid = sample(crossing(), 3000.0, 60.0)
    found = pair_windows(grid, np.array([[0, 1]]), range_function(2e6))
    r_m, _ = crossing().states(np.array([found.start_s[0], found.end_s[0]]))
    assert np.linalg.norm(r_m[0] - r_m[1], axis=-1) == pytest.approx([2e6, 2e6], abs=5.0)


def test_ground_passes_match_skyfield_find_events() -> None:
    """Rise and set above 20 degrees over a day. Achieved: 0.23 s on a low pass (UTC stands in for UT1)."""
    fleet = ring(3, 550e3)
    both = joined(ephemeris(fleet), SiteEphemeris((SITE,), START))
    found = opportunities(fleet, both, (SITE,), link_spec(topology="all_visible"), 86400.0)
    ours = found.kind == LinkKind.GROUND
    scale = load.timescale(builtin=True)
    place = wgs84.latlon(SITE.latitude_deg, SITE.longitude_deg, SITE.altitude_m)
    t0 = scale.utc(2026, 3, 20)
    for node, satrec in enumerate(fleet.satrecs):
        satellite = EarthSatellite.from_satrec(satrec, scale)
        when, kind = satellite.find_events(place, t0, scale.utc(2026, 3, 21), altitude_degrees=20.0)
        seconds = (when - t0) * 86400.0
        mine = ours & (found.a == node)
        assert found.start_s[mine] == pytest.approx(seconds[kind == 0], abs=0.4)
        assert found.end_s[mine] == pytest.approx(seconds[kind == 2], abs=0.4)
        assert mine.sum() >= 2


def test_opportunities_are_sorted_and_labelled() -> None:
    fleet = ring(12, 550e3)
    sites = (SITE, GroundSite("pole", 90.0, 0.0))
    both = joined(ephemeris(fleet), SiteEphemeris(sites, START))
    found = opportunities(fleet, both, sites, link_spec(), 86400.0)
    assert (found.a < found.b).all()
    keys = list(zip(found.a, found.b, found.start_s, strict=True))
    assert keys == sorted(keys)
    assert ((found.kind == LinkKind.GROUND) == (found.b >= 12)).all()
    assert (found.kind == LinkKind.ISL).sum() == 12
    # From 53 degrees of inclination the pole is never in sight.
    assert not (found.b == 13).any()
    assert (found.b == 12).any()


@pytest.mark.parametrize(
    ("fleet", "change", "key", "problem"),
    [
        (ring(6, 500e3), {}, "links.topology", "only from an altitude of 1079 km"),
        (ring(2, 500e3), {}, "links.topology", "at least 3"),
        (ring(6, 500e3), {"topology": "grid"}, "links.topology", "only from an altitude of 1079 km"),
        # Polar planes see each other near the poles, but that makes no ring.
        (ring(24, 500e3, 87.0, planes=4), {"topology": "grid"}, "links.topology", "only from an altitude of 1079 km"),
        (ring(8, 800e3), {"max_range_m": 5e6}, "links.max_range_m", "never closer than 54"),
        (ring(12, 500e3), {"max_rate_deg_s": 0.05}, "links.max_rate_deg_s", "never turns slower than 0.0634; "),
    ],
)
def test_rings_that_can_never_be_are_refused(fleet: Fleet, change: dict[str, object], key: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        opportunities(fleet, ephemeris(fleet), (), link_spec(**change), 7000.0)
    assert caught.value.key == key
    assert problem in caught.value.problem
    assert "p0s0" in caught.value.problem


def test_every_plane_of_a_near_polar_grid_has_its_ring() -> None:
    """No plane may lose its in-plane links at any inclination (StarPerf's last plane did from 80 to 100 degrees)."""
    for inclination_deg in (80.0, 90.0, 100.0):
        fleet = ring(36, 550e3, inclination_deg, planes=3)
        found = opportunities(fleet, ephemeris(fleet), (), link_spec(), 6000.0)
        assert np.bincount(fleet.plane[found.a]).tolist() == [12, 12, 12]
        assert (found.start_s == 0).all()
        assert (found.end_s == 6000.0).all()
