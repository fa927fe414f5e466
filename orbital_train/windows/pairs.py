"""When pair functions are positive: windows of many pairs on sampled states."""

from __future__ import annotations

from orbital_train.orbit.grid import StateGrid
from orbital_train.windows.geometry import PairFunction
from orbital_train.windows.plan import FloatArray, IntArray
from orbital_train.windows.scan import joined_scans, scan_rows
from orbital_train.windows.search import Windows, refined_windows

_BLOCK = 1 << 16  # samples evaluated at once: they stay in the processor's cache


def pair_windows(grid: StateGrid, pairs: IntArray, function: PairFunction, *, sharp: bool = False) -> Windows:
    """When a pair function is positive; tracks are rows of ``pairs``, shape (P, 2).

    Functions that are ``sharp`` may turn more sharply than their samples show, as directions do while two satellites
    rush past each other.
    """

    def value(track: IntArray, t_s: FloatArray) -> FloatArray:
        a, b = pairs[track, 0], pairs[track, 1]
        return function(t_s, *grid.at(a, t_s), *grid.at(b, t_s))

    rows = max(1, _BLOCK // grid.t_s.size)
    scans = []
    for first in range(0, max(1, len(pairs)), rows):
        a, b = pairs[first : first + rows].T
        samples = function(grid.t_s, grid.r_m[a], grid.v_mps[a], grid.r_m[b], grid.v_mps[b])
        scans.append(scan_rows(samples, first, sharp=sharp))
    return refined_windows(value, joined_scans(scans), grid.t_s)
