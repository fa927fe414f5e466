"""Windows of all pairs of satellites, satellite by satellite, so that they never stand in memory at once.

Most pairs are out of each other's sight most of the time. Their distances are compared first, and conditions are
evaluated only where a pair may be close enough within half a step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from orbital_train.orbit.constants import EARTH_FLATTENING, EARTH_RADIUS_M
from orbital_train.orbit.grid import StateGrid
from orbital_train.windows.geometry import PairFunction
from orbital_train.windows.plan import FloatArray, IntArray
from orbital_train.windows.scan import scan_runs
from orbital_train.windows.search import TrackFunction, Windows, intersect, refined_windows

_BLOCK = 1 << 16  # samples compared at once: they stay in the processor's cache
_FASTER = 1.1  # between two samples a satellite may fly so much faster than at either


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Bounds on the distance of two satellites that can be linked."""

    max_range_m: float
    grazing_altitude_m: float


def visible_windows(
    grid: StateGrid, satellites: int, conditions: Sequence[PairFunction], reach: Reach, workers: int = 2
) -> Iterator[tuple[int, Windows]]:
    """When pairs of satellites meet all conditions.

    Args:
        grid: states of the satellites first.
        satellites: how many there are.
        conditions: what must be positive; none may be positive for a pair beyond its reach.
        reach: the largest range, and the surface that blocks the line of sight.
        workers: threads that search at once; no result depends on it.

    Yields:
        Each satellite that has any, and its windows, whose tracks are the partners of higher index.
    """
    search = _Search(grid, satellites, tuple(conditions), reach)
    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, satellites - 1, _AHEAD):
            several = range(first, min(first + _AHEAD, satellites - 1))
            for a, windows in zip(several, pool.map(search.of, several), strict=True):
                if len(windows):
                    yield a, windows


_AHEAD = 32  # satellites searched before the first of them is given out


class _Search:
    """States component by component, and how far each satellite may be from a partner."""

    def __init__(self, grid: StateGrid, satellites: int, conditions: tuple[PairFunction, ...], reach: Reach) -> None:
        self._grid, self._conditions = grid, conditions
        self._r_m = np.ascontiguousarray(np.moveaxis(grid.r_m[:satellites], -1, 0))
        radius_m = np.sqrt(np.einsum("int,int->nt", self._r_m, self._r_m).max(axis=1))
        grazing_m = EARTH_RADIUS_M * (1.0 - EARTH_FLATTENING) + reach.grazing_altitude_m
        self._horizon_m = np.sqrt(np.maximum(radius_m**2 - grazing_m**2, 0.0))
        speed_mps = np.sqrt(np.einsum("nti,nti->nt", grid.v_mps[:satellites], grid.v_mps[:satellites]).max(axis=1))
        self._drift_m = 0.5 * (grid.t_s[1] - grid.t_s[0]) * _FASTER * speed_mps
        self._max_range_m = reach.max_range_m

    def of(self, a: int) -> Windows:
        """Windows of one satellite with those of higher index."""
        track, k = self._near(a)
        t_s, node = self._grid.t_s, np.full(track.size, a)
        states = [x[n, k] for n in (node, track) for x in (self._grid.r_m, self._grid.v_mps)]
        last = t_s.size - 1
        found = []
        for condition in self._conditions:
            scan = scan_runs(condition(t_s[k], *states), track, k, last)
            found.append(refined_windows(self._value(a, condition), scan, t_s))
        return intersect(*found)

    def _near(self, a: int) -> tuple[IntArray, IntArray]:
        """Partner and point of samples within half a step of which a pair may be linked, and of one on either side."""
        nodes, points = self._r_m.shape[1:]
        limit_m = np.minimum(self._horizon_m + self._horizon_m[a], self._max_range_m) + self._drift_m + self._drift_m[a]
        tracks, ks = [], []
        rows = max(1, _BLOCK // points)
        for first in range(a + 1, nodes, rows):
            block = slice(first, min(first + rows, nodes))
            squared = np.zeros((block.stop - first, points))
            for component in self._r_m:
                apart_m = component[block] - component[a]
                apart_m *= apart_m
                squared += apart_m
            near = squared < (limit_m[block] ** 2)[:, None]
            around = near.copy()
            around[:, 1:] |= near[:, :-1]
            around[:, :-1] |= near[:, 1:]
            row, k = np.nonzero(around)
            tracks.append(first + row)
            ks.append(k)
        return np.concatenate(tracks), np.concatenate(ks)

    def _value(self, a: int, condition: PairFunction) -> TrackFunction:
        def value(track: IntArray, t_s: FloatArray) -> FloatArray:
            return condition(t_s, *self._grid.at(np.full(track.size, a), t_s), *self._grid.at(track, t_s))

        return value
