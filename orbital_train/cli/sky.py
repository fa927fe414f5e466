"""Where everything is at one moment of a recipe's scenario, for its picture."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from orbital_train.config import build
from orbital_train.config.recipe import SkyRecipe
from orbital_train.orbit.ephemeris import Sgp4Ephemeris, SiteEphemeris
from orbital_train.orbit.fleet import Fleet
from orbital_train.orbit.kepler import propagate
from orbital_train.orbit.sun import sun_positions_almanac_m
from orbital_train.orbit.times import sidereal_angle_rad
from orbital_train.report.sky import Sky
from orbital_train.windows.plan import FloatArray

_ORBIT_POINTS = 181
_TAIL_S, _TAIL_POINTS = 900.0, 16
_MOST_ORBITS = 36


def sky_at(recipe: SkyRecipe, fleet: Fleet, t_s: float) -> Sky:
    """Propagate the fleet to one moment. Orbits and tails are the two-body motion through it: enough to look at."""
    start, now_s = recipe.time.start, np.array([t_s])
    r_m, v_mps = (state[:, 0] for state in Sgp4Ephemeris(fleet.names, fleet.satrecs, start).states(now_s))
    sun_m = sun_positions_almanac_m(start, now_s)[0]
    return Sky(
        t_s=t_s,
        moment=f"{start + timedelta(seconds=t_s):%Y-%m-%d %H:%M} UTC",
        satellites_m=r_m,
        velocities_mps=v_mps,
        sites_m=SiteEphemeris(build.ground_sites(recipe), start).states(now_s)[0][:, 0],
        sun=sun_m / np.linalg.norm(sun_m),
        sidereal_rad=float(sidereal_angle_rad(start, now_s)[0][0]),
        orbits_m=_orbits_m(fleet, r_m, v_mps),
        tails_deg=_tails_deg(start, t_s, r_m, v_mps, _mu(fleet)),
    )


def _mu(fleet: Fleet) -> float:
    return float(fleet.satrecs[0].mu) * 1e9


def _orbits_m(fleet: Fleet, r_m: FloatArray, v_mps: FloatArray) -> FloatArray:
    """The ellipse of the first satellite of every plane, (P, K, 3); of many planes, an even choice."""
    _, first = np.unique(fleet.plane, return_index=True)
    if first.size > _MOST_ORBITS:
        first = first[np.linspace(0, first.size - 1, _MOST_ORBITS).round().astype(int)]
    r_m, v_mps, mu = r_m[first], v_mps[first], _mu(fleet)
    a_m = 1.0 / (2.0 / np.linalg.norm(r_m, axis=-1) - (v_mps * v_mps).sum(-1) / mu)
    period_s = 2 * np.pi * np.sqrt(a_m**3 / mu)
    moments_s = np.linspace(0.0, 1.0, _ORBIT_POINTS) * period_s[:, None]
    paths = [propagate(r_m[i : i + 1], v_mps[i : i + 1], mu, t_s)[0][0] for i, t_s in enumerate(moments_s)]
    return np.array(paths)


def _tails_deg(start: datetime, t_s: float, r_m: FloatArray, v_mps: FloatArray, mu: float) -> FloatArray:
    """Longitude and latitude (of the sphere) below every satellite over the last minutes, (N, K, 2)."""
    back_s = np.linspace(-_TAIL_S, 0.0, _TAIL_POINTS)
    path_m, _ = propagate(r_m, v_mps, mu, back_s)
    x_m, y_m, z_m = path_m[..., 0], path_m[..., 1], path_m[..., 2]
    turn_rad = np.arctan2(y_m, x_m) - sidereal_angle_rad(start, t_s + back_s)[0]
    longitude_deg = (np.degrees(turn_rad) + 180.0) % 360.0 - 180.0
    return np.stack([longitude_deg, np.degrees(np.arctan2(z_m, np.hypot(x_m, y_m)))], axis=-1)
