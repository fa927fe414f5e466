from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from orbital_train.orbit.ephemeris import KeplerEphemeris, Sgp4Ephemeris
from orbital_train.orbit.fleet import WalkerSpec, build_fleet
from orbital_train.orbit.grid import StateGrid, sample
from orbital_train.windows.geometry import PairFunction, range_function, rate_function, sight_function
from orbital_train.windows.pairs import pair_windows
from orbital_train.windows.search import intersect
from orbital_train.windows.visible import Reach, visible_windows

START = datetime(2026, 3, 20, tzinfo=UTC)
MU = 3.986004418e14
Row = tuple[int, int, float, float]


def conditions(max_range_m: float) -> list[PairFunction]:
    return [sight_function(80e3), range_function(max_range_m), rate_function(np.radians(0.2))]


def of_all_pairs(grid: StateGrid, max_range_m: float, workers: int = 2) -> list[Row]:
    reach = Reach(max_range_m=max_range_m, grazing_altitude_m=80e3)
    rows = []
    for a, found in visible_windows(grid, len(grid.r_m), conditions(max_range_m), reach, workers):
        columns = (found.track.tolist(), found.start_s.tolist(), found.end_s.tolist())
        rows += [(a, b, start, end) for b, start, end in zip(*columns, strict=True)]
    return rows


def one_by_one(grid: StateGrid, max_range_m: float) -> list[Row]:
    pairs = np.stack(np.triu_indices(len(grid.r_m), 1), axis=-1)
    found = intersect(*(pair_windows(grid, pairs, condition) for condition in conditions(max_range_m)))
    columns = (*pairs[found.track].T.tolist(), found.start_s.tolist(), found.end_s.tolist())
    return list(zip(*columns, strict=True))


def walker() -> StateGrid:
    spec = WalkerSpec(pattern="delta", satellites=24, planes=6, phasing=1, altitude_m=700e3, inclination_deg=60.0)
    fleet = build_fleet(spec, START)
    return sample(Sgp4Ephemeris(fleet.names, fleet.satrecs, START), 12_000.0, 60.0)


def eccentric() -> StateGrid:
    """Perigees at 600 km and apogees up to 30,000 km: slow and fast, near and far."""
    rng = np.random.default_rng(3)
    perigee_m = 6_978e3 + np.zeros(10)
    speed_mps = np.sqrt(MU * (2 / perigee_m - 2 / (perigee_m + rng.uniform(7e6, 36e6, 10))))
    out = rng.normal(size=(10, 3))
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    across = np.cross(out, rng.normal(size=(10, 3)))
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    names = tuple(f"e{i}" for i in range(10))
    orbits = KeplerEphemeris(names, out * perigee_m[:, None], across * speed_mps[:, None], MU)
    return sample(orbits, 30_000.0, 60.0)


@pytest.mark.parametrize(("grid", "max_range_m"), [(walker(), 5_400e3), (walker(), 4_000e3), (eccentric(), 9_000e3)])
def test_it_finds_what_a_search_of_every_sample_finds(grid: StateGrid, max_range_m: float) -> None:
    found, expected = of_all_pairs(grid, max_range_m), one_by_one(grid, max_range_m)
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    assert np.array([row[2:] for row in found]) == pytest.approx(np.array([row[2:] for row in expected]), abs=1e-4)
    assert len(found) > 10


def test_the_number_of_threads_changes_nothing() -> None:
    grid = walker()
    assert of_all_pairs(grid, 5_400e3, workers=1) == of_all_pairs(grid, 5_400e3, workers=3)


def test_one_satellite_has_no_pairs() -> None:
    grid = walker()
    reach = Reach(max_range_m=5_400e3, grazing_altitude_m=80e3)
    assert list(visible_windows(grid, 1, conditions(5_400e3), reach)) == []
