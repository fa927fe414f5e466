"""The light on every node over a scenario: sunlit, penumbra and umbra, as steps in time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from orbital_train.errors import InputError
from orbital_train.orbit.constants import ASTRONOMICAL_UNIT_M, EARTH_FLATTENING, EARTH_RADIUS_M
from orbital_train.orbit.ephemeris import LOWEST_ALTITUDE_M
from orbital_train.orbit.grid import StateGrid
from orbital_train.orbit.sun import SunPositions, sun_path
from orbital_train.windows.plan import FloatArray, Illumination, IntArray
from orbital_train.windows.shadow import Occulter, ShadowWindows, find_shadows, sunlit_fraction

# Points of the Gauss-Legendre rule that averages the light over a penumbra: the mean is good to 1e-4.
_QUADRATURE_POINTS = 12


@dataclass(frozen=True, kw_only=True)
class LightSpec:
    """The Earth that casts the shadow."""

    shadow_margin_m: float = 0.0  # height of opaque atmosphere; 20 km moves an edge by 6.7 s at 550 km
    earth: Literal["oblate", "sphere"] = "oblate"


def illuminate_on_grid(
    names: tuple[str, ...], grid: StateGrid, satellites: int, start: datetime, spec: LightSpec
) -> Illumination:
    """Sunlit fraction of every node.

    Args:
        names: of the nodes, satellites first, then ground sites.
        grid: their states in TEME axes.
        satellites: how many of them are satellites; the others are always at 1.
        start: the scenario's start.
        spec: the Earth's shape and atmosphere.

    Returns:
        Steps whose edges are those of umbra and penumbra. ``sun_distance_au`` is the mean over the scenario.

    Raises:
        InputError: the opaque atmosphere reaches up to the satellites (key ``light.shadow_margin_m``).
    """
    occulter = occulter_of(spec)
    horizon_s = float(grid.t_s[-1])
    sun = sun_path(start, horizon_s)
    in_orbit = StateGrid(grid.t_s, grid.r_m[:satellites], grid.v_mps[:satellites])
    steps = _steps(in_orbit, sun, horizon_s, find_shadows(in_orbit, sun, occulter), occulter)
    sites = len(names) - satellites
    steps += [(np.array([0.0, horizon_s]), np.ones(1))] * sites
    return Illumination(
        node_names=tuple(names),
        horizon_s=horizon_s,
        edge_s=tuple(edge_s for edge_s, _ in steps),
        fraction=tuple(fraction for _, fraction in steps),
        sun_distance_au=float(np.linalg.norm(sun(grid.t_s), axis=-1).mean() / ASTRONOMICAL_UNIT_M),
    )


def occulter_of(spec: LightSpec) -> Occulter:
    """The body that casts the shadow; InputError as in :func:`illuminate_on_grid`."""
    if not 0.0 <= spec.shadow_margin_m < LOWEST_ALTITUDE_M:
        problem = f"accepted is 0 to below {LOWEST_ALTITUDE_M / 1e3:.0f} km, given in metres"
        raise InputError("light.shadow_margin_m", spec.shadow_margin_m, problem)
    return Occulter(
        radius_m=EARTH_RADIUS_M + spec.shadow_margin_m,
        flattening=EARTH_FLATTENING if spec.earth == "oblate" else 0.0,
    )


def _steps(
    grid: StateGrid, sun: SunPositions, horizon_s: float, shadows: ShadowWindows, occulter: Occulter
) -> list[tuple[FloatArray, FloatArray]]:
    """Edges and fractions of every satellite; penumbras of all satellites are averaged in one go."""
    edges = [_edges_s(shadows, node, horizon_s) for node in range(len(grid.r_m))]
    fractions = [_levels(shadows, node, edge_s) for node, edge_s in enumerate(edges)]
    node = np.concatenate([np.full(f.size, i) for i, f in enumerate(fractions)])
    start_s = np.concatenate([e[:-1] for e in edges])
    end_s = np.concatenate([e[1:] for e in edges])
    level = np.concatenate(fractions)
    partial = np.isnan(level)
    level[partial] = mean_fraction(grid, sun, occulter, node[partial], start_s[partial], end_s[partial])
    counts = np.cumsum([f.size for f in fractions])[:-1]
    return list(zip(edges, np.split(level, counts), strict=True))


def _edges_s(shadows: ShadowWindows, node: int, horizon_s: float) -> FloatArray:
    inner, outer = shadows.umbra.of(node), shadows.penumbra.of(node)
    return np.unique(np.concatenate([[0.0, horizon_s], *inner, *outer]))


def _levels(shadows: ShadowWindows, node: int, edge_s: FloatArray) -> FloatArray:
    """1 in sunlight, 0 in umbra, NaN in penumbra, of the intervals between edges."""
    middle_s = (edge_s[:-1] + edge_s[1:]) / 2
    dark, shaded = (_covers(w.of(node), middle_s) for w in (shadows.umbra, shadows.penumbra))
    return np.where(dark, 0.0, np.where(shaded, np.nan, 1.0))


def _covers(windows: tuple[FloatArray, FloatArray], t_s: FloatArray) -> NDArray[np.bool_]:
    start_s, end_s = windows
    return np.searchsorted(start_s, t_s, side="right") > np.searchsorted(end_s, t_s, side="right")


def mean_fraction(
    grid: StateGrid,
    sun: SunPositions,
    occulter: Occulter,
    node: IntArray,
    start_s: FloatArray,
    end_s: FloatArray,
) -> FloatArray:
    """Mean fraction of the solar disc that these nodes see over these intervals, each of shape (K,)."""
    x, weight = np.polynomial.legendre.leggauss(_QUADRATURE_POINTS)
    t_s = start_s[:, None] + (end_s - start_s)[:, None] * (x + 1.0) / 2.0
    r_m = grid.positions_m(np.repeat(node, x.size), t_s.ravel())
    lit = sunlit_fraction(r_m, sun(t_s.ravel()), occulter).reshape(t_s.shape)
    return lit @ (weight / 2.0)
