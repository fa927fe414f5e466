"""Fleets around the Earth as plain arrays, without orbits: evenly spread over circles, or in formation."""

from __future__ import annotations

import numpy as np

from orbital_train.report.sky import Sky
from orbital_train.windows.plan import ContactPlan, FloatArray, LinkKind

RADIUS_M, MU = 7.0e6, 3.986e14
SUN = np.array([0.6, 0.7, -0.3741657])


def circles_m(planes: int, points: int) -> tuple[FloatArray, FloatArray]:
    """Positions and velocities on circles at 53°, (planes, points, 3)."""
    raan = 2 * np.pi * np.arange(planes)[:, None] / planes
    u = 2 * np.pi * np.arange(points) / points
    tilt = np.radians(53.0)
    node = np.stack([np.cos(raan), np.sin(raan), 0 * raan], axis=-1)
    ahead = np.stack([-np.cos(tilt) * np.sin(raan), np.cos(tilt) * np.cos(raan), np.sin(tilt) + 0 * raan], axis=-1)
    cos, sin = np.cos(u)[:, None], np.sin(u)[:, None]
    return RADIUS_M * (cos * node + sin * ahead), np.sqrt(MU / RADIUS_M) * (cos * ahead - sin * node)


def constellation(planes: int, slots: int, sites: int = 1) -> Sky:
    """So many satellites in so many planes."""
    r_m, v_mps = (x.reshape(-1, 3) for x in circles_m(planes, slots))
    return sky(r_m, v_mps, planes, sites)


def formation() -> Sky:
    """81 satellites within a kilometre."""
    place = np.array([(x, y) for x in range(-5, 6) for y in range(-5, 6) if x * x + y * y <= 25]) * 100.0
    r_m, v_mps = np.array([RADIUS_M, 0.0, 0.0]), np.array([0.0, 4540.0, 6026.0])
    along = v_mps / np.linalg.norm(v_mps)
    return sky(r_m + place[:, 1:] * [1.0, 0.0, 0.0] + 2 * place[:, :1] * along, np.tile(v_mps, (81, 1)), 1, 0)


def sky(r_m: FloatArray, v_mps: FloatArray, planes: int, sites: int) -> Sky:
    """These satellites at 100 s, seen with their orbits; the sites are on the equator."""
    below_deg = np.stack(
        [np.degrees(np.arctan2(r_m[:, 1], r_m[:, 0])), np.degrees(np.arcsin(r_m[:, 2] / RADIUS_M))], -1
    )
    angle = np.arange(sites)
    return Sky(
        t_s=100.0, moment="2026-03-20 00:01 UTC", satellites_m=r_m, velocities_mps=v_mps,
        sites_m=6.378e6 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1), sun=SUN, sidereal_rad=1.0,
        orbits_m=circles_m(min(planes, 36), 91)[0], tails_deg=below_deg[:, None] + np.linspace(-20, 0, 4)[:, None],
    )  # fmt: skip


def links(nodes: int, pairs: list[tuple[int, int]], horizon_s: float = 5_000.0) -> ContactPlan:
    """Both ways of links that are open from 50 s to the end; the last node is a ground site where it is ``gs``."""
    ends = np.array([end for a, b in pairs for end in ((a, b), (b, a))], dtype=np.int64).reshape(-1, 2)
    n = len(ends)
    zero, start_s = np.zeros(n, dtype=np.int64), np.full(n, 50.0)
    return ContactPlan(
        node_names=tuple(f"s{i:04d}" for i in range(nodes)), horizon_s=horizon_s, contact_id=np.arange(n),
        link_id=np.arange(n) // 2, source=ends[:, 0], dest=ends[:, 1], source_terminal=zero, dest_terminal=zero,
        acquire_start_s=start_s, start_s=start_s, end_s=np.full(n, horizon_s), rate_bps=np.full(n, 1e9),
        owlt_s=np.full(n, 0.01), kind=np.full(n, LinkKind.ISL),
    )  # fmt: skip
