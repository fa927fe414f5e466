from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from orbital_train.orbit.ephemeris import Sgp4Ephemeris
from orbital_train.orbit.fleet import WalkerSpec, build_fleet
from orbital_train.orbit.grid import sample

START = datetime(2026, 3, 20, tzinfo=UTC)


def ephemeris() -> Sgp4Ephemeris:
    spec = WalkerSpec(pattern="delta", satellites=2, planes=1, phasing=0, altitude_m=550e3, inclination_deg=53.0)
    fleet = build_fleet(spec, START)
    return Sgp4Ephemeris(fleet.names, fleet.satrecs, START)


def test_interpolation_error_is_below_half_a_metre_at_60_s() -> None:
    """Achieved: 0.34 m and 0.03 m/s."""
    grid = sample(ephemeris(), 86400.0, 60.0)
    t_s = np.arange(30.0, 86400.0, 60.0)
    r, v = ephemeris().states(t_s)
    for node in (0, 1):
        near_r, near_v = grid.at(np.full(t_s.shape, node), t_s)
        assert np.linalg.norm(near_r - r[node], axis=-1).max() < 0.5
        assert np.linalg.norm(near_v - v[node], axis=-1).max() < 0.05


def test_the_grid_ends_at_the_horizon_and_is_exact_on_its_points() -> None:
    grid = sample(ephemeris(), 1000.0, 60.0)
    assert grid.t_s[0] == 0.0
    assert grid.t_s[-1] == 1000.0
    assert np.diff(grid.t_s).max() <= 60.0
    r, _ = grid.at(np.zeros(grid.t_s.size, dtype=np.int64), grid.t_s)
    assert np.abs(r - grid.r_m[0]).max() < 1e-6
