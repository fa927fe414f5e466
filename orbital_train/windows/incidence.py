"""The light that falls on a solar array: what the Earth leaves of it, times the cosine of its incidence.

An array that does not track the Sun harvests less, and unevenly. The schedule's battery wants steps that are constant
in time: sunlight is cut into slices, and each gets the *mean* cosine over it, so that the energy of every slice is
right whatever its length. What is smoothed is the battery's course within a slice: for 300 s at 550 km by up to 3.4 mWh
for every watt of the array (slice² × mean motion / 8).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Literal

import numpy as np

from orbital_train.orbit.arrays import BoolArray
from orbital_train.orbit.beta import orbit_normals
from orbital_train.orbit.grid import StateGrid
from orbital_train.orbit.sun import SunPositions, sun_path
from orbital_train.windows.plan import FloatArray, Illumination, IntArray
from orbital_train.windows.search import TrackFunction, positive_windows

ArrayMount = Literal["tracking", "zenith", "orbit_normal"]
"""Where an array faces: the Sun at all times; away from the Earth's centre, with cells on one side; along the normal of
the orbit, on the side of the Sun."""

# The cosine of a zenith array goes through a quarter turn in minutes, that of the orbit's normal through one in months.
SLICE_S = {"zenith": 300.0, "orbit_normal": 3600.0}
# Points of the Gauss-Legendre rule in a slice. It must follow the wobble of the orbit's normal, twice an orbit.
_QUADRATURE_POINTS = 12


def light_on_arrays(
    grid: StateGrid, satellites: int, start: datetime, light: Illumination, mount: ArrayMount
) -> Illumination:
    """Sunlit fraction times cosine of incidence on the arrays of every satellite.

    Args:
        grid: states of the nodes in TEME axes, satellites first, then ground sites.
        satellites: how many of them are satellites; the light of the others stays as it is.
        start: the scenario's start.
        light: sunlit fraction of every node.
        mount: where the arrays face.

    Returns:
        Steps in time whose ``fraction`` is the mean over each; ``light`` itself for ``tracking``. In a penumbra it is
        the product of both means, for the cosine changes by less than 0.01 there.
    """
    if mount == "tracking":
        return light
    sun = sun_path(start, light.horizon_s)
    grid = StateGrid(grid.t_s, grid.r_m[:satellites], grid.v_mps[:satellites])
    cosine = _cosine(grid, sun, mount)
    cut_s = np.arange(SLICE_S[mount], light.horizon_s, SLICE_S[mount])
    turns_s = _turns_s(grid, cosine) if mount == "zenith" else [np.empty(0)] * satellites
    steps = [
        _slices(light.edge_s[i], light.fraction[i], np.concatenate([cut_s, turns_s[i]])) for i in range(satellites)
    ]
    steps = _weighted(steps, cosine)
    sites = range(satellites, len(light.node_names))
    return replace(
        light,
        edge_s=(*(edge_s for edge_s, _ in steps), *(light.edge_s[i] for i in sites)),
        fraction=(*(fraction for _, fraction in steps), *(light.fraction[i] for i in sites)),
    )


def _cosine(grid: StateGrid, sun: SunPositions, mount: ArrayMount) -> TrackFunction:
    """Cosine of the angle between a satellite's array and the Sun; below zero the Sun is behind a zenith array."""

    def cosine(node: IntArray, t_s: FloatArray) -> FloatArray:
        (r_m, v_mps), sun_m = grid.at(node, t_s), sun(t_s)
        to_sun_m = sun_m - r_m
        towards = to_sun_m / np.linalg.norm(to_sun_m, axis=-1, keepdims=True)
        if mount == "zenith":
            return np.asarray((r_m * towards).sum(-1) / np.linalg.norm(r_m, axis=-1))
        return np.asarray(np.abs((orbit_normals(r_m, v_mps) * towards).sum(-1)))

    return cosine


def _turns_s(grid: StateGrid, cosine: TrackFunction) -> list[FloatArray]:
    """When the Sun passes from the front of each satellite's array to its back, and the other way round."""
    nodes, times = grid.r_m.shape[:2]
    samples = cosine(np.repeat(np.arange(nodes), times), np.tile(grid.t_s, nodes)).reshape(nodes, times)
    front = positive_windows(cosine, samples, grid.t_s)
    return [np.concatenate(front.of(i)) for i in range(nodes)]


def _slices(edge_s: FloatArray, fraction: FloatArray, cut_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The same light in more steps; where there is none, without a cut."""
    inside = np.searchsorted(edge_s, cut_s, side="right") - 1
    lit = fraction[np.clip(inside, 0, fraction.size - 1)] > 0
    finer_s = np.unique(np.concatenate([edge_s, cut_s[lit]]))
    return finer_s, fraction[np.searchsorted(edge_s, finer_s[:-1], side="right") - 1]


def _weighted(steps: list[tuple[FloatArray, FloatArray]], cosine: TrackFunction) -> list[tuple[FloatArray, FloatArray]]:
    """Each step's fraction times its mean cosine, all satellites in one go; what is dark side by side is joined."""
    node = np.concatenate([np.full(fraction.size, i) for i, (_, fraction) in enumerate(steps)])
    start_s = np.concatenate([edge_s[:-1] for edge_s, _ in steps])
    length_s = np.concatenate([np.diff(edge_s) for edge_s, _ in steps])
    level = np.concatenate([fraction for _, fraction in steps])
    lit = np.flatnonzero(level > 0)
    x, weight = np.polynomial.legendre.leggauss(_QUADRATURE_POINTS)
    t_s = start_s[lit, None] + length_s[lit, None] * (x + 1.0) / 2.0
    values = cosine(np.repeat(node[lit], x.size), t_s.ravel()).reshape(t_s.shape)
    level[lit] *= np.maximum(values, 0.0) @ (weight / 2.0)
    counts = np.cumsum([fraction.size for _, fraction in steps])[:-1]
    return [_joined(edge_s, new) for (edge_s, _), new in zip(steps, np.split(level, counts), strict=True)]


def _joined(edge_s: FloatArray, fraction: FloatArray) -> tuple[FloatArray, FloatArray]:
    first: BoolArray = np.append(True, (fraction[1:] > 0) | (fraction[:-1] > 0))
    return np.append(edge_s[:-1][first], edge_s[-1]), fraction[first]
