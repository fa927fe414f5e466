"""Finding when functions of time are positive: coarse samples first, then every edge refined.

A *track* is one such function: one satellite's shadow, or one pair's line of sight. All tracks are searched together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize.elementwise import find_root

from orbital_train.windows.plan import FloatArray, IntArray
from orbital_train.windows.scan import Scan, scan_grid

TrackFunction = Callable[[IntArray, FloatArray], FloatArray]
"""Values (K,) of these tracks (K,) at these times (K,)."""

_EDGE_TOLERANCE_S = 1e-6
_TRUSTED_S = 1e-4  # a step of Newton's method that is shorter leaves a small part of itself
_FINER = 8  # parts of a step in which a track may turn unseen
_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0


@dataclass(frozen=True)
class Windows:
    """Disjoint intervals ``[start_s, end_s)`` of tracks, in columns of shape (W,), sorted by (track, start_s)."""

    track: IntArray
    start_s: FloatArray
    end_s: FloatArray

    def __len__(self) -> int:
        return int(self.track.size)

    def of(self, track: int) -> tuple[FloatArray, FloatArray]:
        """Starts and ends of one track's windows."""
        first, last = np.searchsorted(self.track, [track, track + 1])
        return self.start_s[first:last], self.end_s[first:last]


@dataclass(frozen=True)
class _Brackets:
    """Intervals that each hold one change of sign, in columns."""

    track: IntArray
    left_s: FloatArray
    right_s: FloatArray
    rises: NDArray[np.bool_]


def positive_windows(value: TrackFunction, samples: FloatArray, t_s: FloatArray) -> Windows:
    """When each track is above zero.

    Edges are found to some microseconds. Between samples of equal sign the extrema that come near zero are searched as
    well, so that a window (or a gap) shorter than the step is not lost.

    Args:
        value: the tracks as functions of time, continuous and smooth on the scale of the step.
        samples: their values at ``t_s``, shape (P, T).
        t_s: increasing times, shape (T,).
    """
    return refined_windows(value, scan_grid(samples), t_s)


def refined_windows(value: TrackFunction, scan: Scan, t_s: FloatArray) -> Windows:
    """When each track is above zero, from a scan of its samples at ``t_s``; see :func:`positive_windows`."""
    track, edge_s, rises = _edges(value, scan, t_s)
    if scan.flat_k.size:
        more = _flat_edges(value, scan, t_s)
        track, edge_s, rises = (np.append(one, other) for one, other in zip((track, edge_s, rises), more, strict=True))
    start = _sorted(np.append(scan.begin_track, track[rises]), np.append(t_s[scan.begin_k], edge_s[rises]))
    end = _sorted(np.append(scan.end_track, track[~rises]), np.append(t_s[scan.end_k], edge_s[~rises]))
    keep = end[1] > start[1]
    return Windows(start[0][keep], start[1][keep], end[1][keep])


def _edges(value: TrackFunction, scan: Scan, t_s: FloatArray) -> tuple[IntArray, FloatArray, NDArray[np.bool_]]:
    """Track, time and direction of the changes of sign that a scan shows, and of those beside hidden extrema."""
    around = _around_peaks(*_hidden_extrema(value, scan, t_s), t_s)
    edge_s = np.append(_changes_s(value, scan, t_s), _roots(value, around))
    return np.append(scan.change_track, around.track), edge_s, np.append(scan.change_rises, around.rises)


def _flat_edges(value: TrackFunction, scan: Scan, t_s: FloatArray) -> tuple[IntArray, FloatArray, NDArray[np.bool_]]:
    """The same of the steps in which the samples show too little: they are sampled again, more finely."""
    begin_s = t_s[scan.flat_k]
    after_s = np.linspace(0.0, t_s[1] - t_s[0], _FINER + 1)

    def later(row: IntArray, t: FloatArray) -> FloatArray:
        return value(scan.flat_track[row], begin_s[row] + t)

    row, part_s = np.repeat(np.arange(begin_s.size), _FINER - 1), np.tile(after_s[1:-1], begin_s.size)
    between = later(row, part_s).reshape(-1, _FINER - 1)
    fine = scan_grid(np.column_stack([scan.flat_begin, between, scan.flat_end]))
    rest = _flat_changes(fine, after_s)
    row, edge_s, rises = _edges(later, fine, after_s)
    row, rises = np.append(row, rest.track), np.append(rises, rest.rises)
    edge_s = np.append(edge_s, _roots(later, rest))
    return scan.flat_track[row], begin_s[row] + edge_s, rises


def _flat_changes(scan: Scan, t_s: FloatArray) -> _Brackets:
    """Steps in which a track may turn unseen and that change its sign, taken to do so once."""
    i = np.flatnonzero((scan.flat_begin > 0) != (scan.flat_end > 0))
    return _Brackets(scan.flat_track[i], t_s[scan.flat_k[i]], t_s[scan.flat_k[i] + 1], scan.flat_end[i] > 0)


def intersect(*several: Windows) -> Windows:
    """When all of these hold, track by track."""
    track = np.concatenate([np.tile(w.track, 2) for w in several])
    t_s = np.concatenate([np.append(w.start_s, w.end_s) for w in several])
    change = np.concatenate([np.repeat([1, -1], len(w)) for w in several])
    # Ends before starts, so that windows that only touch do not overlap.
    order = np.lexsort((change, t_s, track))
    depth = np.cumsum(change[order])
    # Each track's changes add up to zero, so the running sum starts afresh at every track.
    opens = np.flatnonzero(depth == len(several))
    start, end = order[opens], order[opens + 1]
    return Windows(track[start], t_s[start], t_s[end])


def maximum_between(
    value: TrackFunction, track: IntArray, left_s: FloatArray, right_s: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Time and value of the largest value in brackets that hold one peak each, by golden section to a thousandth."""
    a_s, b_s = left_s.copy(), right_s.copy()
    c_s, d_s = b_s - _GOLDEN * (b_s - a_s), a_s + _GOLDEN * (b_s - a_s)
    at_c, at_d = value(track, c_s), value(track, d_s)
    for _ in range(14):
        lower = at_c > at_d
        a_s, b_s = np.where(lower, a_s, c_s), np.where(lower, d_s, b_s)
        new_s = np.where(lower, b_s - _GOLDEN * (b_s - a_s), a_s + _GOLDEN * (b_s - a_s))
        at_new = value(track, new_s)
        c_s, d_s = np.where(lower, new_s, d_s), np.where(lower, c_s, new_s)
        at_c, at_d = np.where(lower, at_new, at_d), np.where(lower, at_c, at_new)
    best = at_c > at_d
    return np.where(best, c_s, d_s), np.where(best, at_c, at_d)


def _hidden_extrema(
    value: TrackFunction, scan: Scan, t_s: FloatArray
) -> tuple[IntArray, FloatArray, NDArray[np.bool_]]:
    """Track, time and kind (True: a peak above zero) of extrema that cross zero between samples that do not."""
    track, signs = scan.turn_track, np.where(scan.turn_is_peak, 1.0, -1.0)
    when_s, top = maximum_between(
        lambda which, t: signs[which] * value(track[which], t),
        np.arange(track.size),
        t_s[np.maximum(scan.turn_k - 1, 0)],
        t_s[np.minimum(scan.turn_k + 1, t_s.size - 1)],
    )
    crosses = np.where(signs > 0, top > 0, top >= 0)
    track, when_s, rises = track[crosses], when_s[crosses], signs[crosses] > 0
    # Two equal samples side by side find the same extremum twice.
    interval = np.searchsorted(t_s, when_s, side="right")
    _, first = np.unique(np.stack([track, interval]), axis=1, return_index=True)
    return track[first], when_s[first], rises[first]


def _around_peaks(track: IntArray, when_s: FloatArray, rises: NDArray[np.bool_], t_s: FloatArray) -> _Brackets:
    """The two changes of sign on either side of each hidden extremum."""
    k = np.clip(np.searchsorted(t_s, when_s, side="right") - 1, 0, t_s.size - 2)
    left_s = np.append(t_s[k], when_s)
    right_s = np.append(when_s, t_s[k + 1])
    return _Brackets(np.tile(track, 2), left_s, right_s, np.append(rises, ~rises))


def _changes_s(value: TrackFunction, scan: Scan, t_s: FloatArray) -> FloatArray:
    """When tracks change sign between samples of different sign.

    The cubic through four samples is some milliseconds off, and one or two steps of Newton's method with its slope are
    enough. What is not smooth enough for that is searched in its bracket.
    """
    k, track = scan.change_k, scan.change_track
    step_s = t_s[1] - t_s[0]
    edge_s = t_s[k] + scan.change_part * step_s
    open_ = np.arange(k.size)
    for _ in range(3):
        slope = scan.change_slope[open_] / step_s
        off_s = value(track[open_], edge_s[open_]) / np.where(slope == 0.0, np.inf, slope)
        near = np.abs(off_s) < _TRUSTED_S
        edge_s[open_] = np.clip(edge_s[open_] - off_s, t_s[k[open_]], t_s[k[open_] + 1])
        open_ = open_[~near | (slope == 0.0)]
    rest = _Brackets(track[open_], t_s[k[open_]], t_s[k[open_] + 1], scan.change_rises[open_])
    edge_s[open_] = _roots(value, rest)
    return np.asarray(edge_s)


def _roots(value: TrackFunction, brackets: _Brackets) -> FloatArray:
    """One root a bracket, by Chandrupatla's method."""
    if not brackets.track.size:
        return np.empty(0)

    def value_at(t_s: FloatArray, /, *track: Any) -> FloatArray:
        return value(track[0], t_s)

    found = find_root(
        value_at,
        (brackets.left_s, brackets.right_s),
        args=(brackets.track,),
        tolerances={"xatol": _EDGE_TOLERANCE_S, "xrtol": 0.0, "fatol": 0.0, "frtol": 0.0},
    )
    # Where rounding gives an end next to its edge the sign of the other one, that end is the edge.
    left_off, right_off = (np.abs(off) for off in found.f_bracket)
    end_s = np.where(left_off < right_off, brackets.left_s, brackets.right_s)
    return np.asarray(np.where(found.success, found.x, end_s), dtype=np.float64)


def _sorted(track: IntArray, t_s: FloatArray) -> tuple[IntArray, FloatArray]:
    order = np.lexsort((t_s, track))
    return track[order], t_s[order]
