from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from orbital_train.orbit.ephemeris import GroundSite, KeplerEphemeris, Sgp4Ephemeris, SiteEphemeris, joined
from orbital_train.orbit.fleet import WalkerSpec, build_fleet
from orbital_train.orbit.geodesy import up
from orbital_train.orbit.grid import StateGrid, sample
from orbital_train.orbit.times import sidereal_angle_rad
from orbital_train.windows.ground import ground_windows

START = datetime(2026, 3, 20, tzinfo=UTC)
MU = 3.986004418e14
SITES = (
    GroundSite("equator", 0.0, 20.0),
    GroundSite("north pole", 90.0, 0.0, 2000.0),
    GroundSite("madrid", 40.43, -4.25, 700.0),
    GroundSite("south", -77.8, 166.7),
    GroundSite("high", 19.8, -155.5, 4200.0),
)


def low_orbits() -> StateGrid:
    spec = WalkerSpec(pattern="delta", satellites=6, planes=3, phasing=1, altitude_m=550e3, inclination_deg=80.0)
    fleet = build_fleet(spec, START)
    satellites = Sgp4Ephemeris(fleet.names, fleet.satrecs, START)
    return sample(joined(satellites, SiteEphemeris(SITES, START)), 43_200.0, 60.0)


def high_orbits() -> StateGrid:
    """A Molniya-like and a geostationary orbit."""
    r_m = np.array([[0.0, 6_878e3, 0.0], [42_164e3, 0.0, 0.0], [7_000e3, 0.0, 0.0]])
    v_mps = np.array([[-4500.0, 0.0, 8900.0], [0.0, 3074.7, 0.0], [0.0, 3000.0, 7000.0]])
    satellites = KeplerEphemeris(("m", "g", "l"), r_m, v_mps, MU)
    return sample(joined(satellites, SiteEphemeris(SITES, START)), 86_400.0, 60.0)


def elevations_deg(grid: StateGrid, satellite: int, site: int, first: int, t_s: np.ndarray) -> np.ndarray:
    """By its definition: the angle of the line of sight above the plane whose normal is the ellipsoid's."""
    place = SITES[site]
    fixed = up(np.array(place.latitude_deg), np.array(place.longitude_deg))
    angle_rad, _ = sidereal_angle_rad(START, t_s)
    x, y = (
        np.cos(angle_rad) * fixed[0] - np.sin(angle_rad) * fixed[1],
        np.sin(angle_rad) * fixed[0] + np.cos(angle_rad) * fixed[1],
    )
    normal = np.stack([x, y, np.full_like(x, fixed[2])], axis=-1)
    node = np.zeros(t_s.size, dtype=np.int64)
    d_m = grid.at(node + satellite, t_s)[0] - grid.at(node + first + site, t_s)[0]
    return np.degrees(np.arcsin((d_m * normal).sum(-1) / np.linalg.norm(d_m, axis=-1)))


@pytest.mark.parametrize("mask_deg", [0.0, 20.0, 75.0])
@pytest.mark.parametrize(("grid", "satellites"), [(low_orbits(), 6), (high_orbits(), 3)])
def test_passes_are_when_the_elevation_is_above_the_mask(grid: StateGrid, satellites: int, mask_deg: float) -> None:
    """Against elevations every 5 s: whoever is above the mask is in a window, and nobody else."""
    found = ground_windows(grid, SITES, satellites, np.full(len(SITES), mask_deg))
    t_s = np.arange(0.0, grid.t_s[-1], 5.0)
    passes = 0
    for satellite in range(satellites):
        for site in range(len(SITES)):
            start_s, end_s = found.of(satellite * len(SITES) + site)
            inside = np.searchsorted(start_s, t_s, side="right") > np.searchsorted(end_s, t_s, side="right")
            elevation_deg = elevations_deg(grid, satellite, site, satellites, t_s)
            clear = np.abs(elevation_deg - mask_deg) > 1e-4
            assert (inside == (elevation_deg > mask_deg))[clear].all(), (satellite, site)
            passes += start_s.size
    assert passes == len(found) > 0


def test_edges_are_at_the_mask() -> None:
    grid = low_orbits()
    found = ground_windows(grid, SITES, 6, np.full(len(SITES), 20.0))
    for edge_s in (found.start_s, found.end_s):
        inner = (edge_s > 0) & (edge_s < grid.t_s[-1])
        for track, t_s in zip(found.track[inner], edge_s[inner], strict=True):
            satellite, site = divmod(int(track), len(SITES))
            assert elevations_deg(grid, satellite, site, 6, np.array([t_s]))[0] == pytest.approx(20.0, abs=1e-4)


def test_no_sites() -> None:
    assert len(ground_windows(low_orbits(), (), 6, np.empty(0))) == 0


def test_a_fleet_of_several_blocks_passes_as_each_satellite_alone() -> None:
    spec = WalkerSpec(pattern="delta", satellites=60, planes=6, phasing=1, altitude_m=550e3, inclination_deg=80.0)
    fleet = build_fleet(spec, START)
    satellites = Sgp4Ephemeris(fleet.names, fleet.satrecs, START)
    grid = sample(joined(satellites, SiteEphemeris(SITES, START)), 86_400.0, 60.0)
    mask_deg = np.full(len(SITES), 20.0)
    found = ground_windows(grid, SITES, 60, mask_deg)
    for satellite in (0, 44, 45, 59):
        rows = np.append(satellite, np.arange(60, 60 + len(SITES)))
        alone = ground_windows(StateGrid(grid.t_s, grid.r_m[rows], grid.v_mps[rows]), SITES, 1, mask_deg)
        own = found.track // len(SITES) == satellite
        assert (found.track[own] % len(SITES)).tolist() == alone.track.tolist()
        assert found.start_s[own] == pytest.approx(alone.start_s, abs=1e-5)
        assert found.end_s[own] == pytest.approx(alone.end_s, abs=1e-5)
        assert own.sum() > 10
