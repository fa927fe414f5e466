"""Finding when functions of time are positive: coarse samples first, then every edge refined.

A *track* is one such function: one satellite's shadow, or one pair's line of sight. All tracks are searched together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orbital_train.windows.plan import FloatArray, IntArray

TrackFunction = Callable[[IntArray, FloatArray], FloatArray]
"""Values (K,) of these tracks (K,) at these times (K,)."""

_EDGE_TOLERANCE_S = 1e-6
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

    Edges are found to a microsecond. Between samples of equal sign the extrema that come near zero are searched as
    well, so that a window (or a gap) shorter than the step is not lost.

    Args:
        value: the tracks as functions of time, continuous and smooth on the scale of the step.
        samples: their values at ``t_s``, shape (P, T).
        t_s: increasing times, shape (T,).
    """
    peaks = _hidden_extrema(value, samples, t_s)
    brackets = _concatenate(_sign_changes(samples, t_s), _around_peaks(*peaks, t_s))
    edge_s = _roots(value, brackets)
    lit_first, lit_last = np.flatnonzero(samples[:, 0] > 0), np.flatnonzero(samples[:, -1] > 0)
    start = _sorted(
        np.append(lit_first, brackets.track[brackets.rises]),
        np.append(np.full(lit_first.size, t_s[0]), edge_s[brackets.rises]),
    )
    end = _sorted(
        np.append(lit_last, brackets.track[~brackets.rises]),
        np.append(np.full(lit_last.size, t_s[-1]), edge_s[~brackets.rises]),
    )
    keep = end[1] > start[1]
    return Windows(start[0][keep], start[1][keep], end[1][keep])


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
    """Time and value of the largest value in brackets that hold one peak each, by golden section to about 0.1 ms."""
    a_s, b_s = left_s.copy(), right_s.copy()
    c_s, d_s = b_s - _GOLDEN * (b_s - a_s), a_s + _GOLDEN * (b_s - a_s)
    at_c, at_d = value(track, c_s), value(track, d_s)
    for _ in range(30):
        lower = at_c > at_d
        a_s, b_s = np.where(lower, a_s, c_s), np.where(lower, d_s, b_s)
        new_s = np.where(lower, b_s - _GOLDEN * (b_s - a_s), a_s + _GOLDEN * (b_s - a_s))
        at_new = value(track, new_s)
        c_s, d_s = np.where(lower, new_s, d_s), np.where(lower, c_s, new_s)
        at_c, at_d = np.where(lower, at_new, at_d), np.where(lower, at_c, at_new)
    best = at_c > at_d
    return np.where(best, c_s, d_s), np.where(best, at_c, at_d)


def _hidden_extrema(
    value: TrackFunction, samples: FloatArray, t_s: FloatArray
) -> tuple[IntArray, FloatArray, NDArray[np.bool_]]:
    """Track, time and kind (True: a peak above zero) of extrema that cross zero between samples that do not."""
    last = t_s.size - 1
    padded = np.pad(samples, ((0, 0), (1, 1)), mode="edge")
    left, right = padded[:, :-2], padded[:, 2:]
    if last > 1:
        # A parabola rises above its highest sample by at most an eighth of the second difference, and at either end of
        # the times by at most a half; the whole of it is allowed.
        reach = np.pad(np.abs(np.diff(samples, n=2, axis=1)), ((0, 0), (1, 1)), mode="edge")
    else:
        reach = np.full_like(samples, np.inf)
    near = np.abs(samples) <= reach
    sign = np.where(samples > 0, -1.0, 1.0)  # below zero look for a peak, above it for a trough
    extremal = (sign * (samples - left) >= 0) & (sign * (samples - right) >= 0)
    track, k = np.nonzero(near & extremal)
    signs = sign[track, k]
    when_s, top = maximum_between(
        lambda which, t: signs[which] * value(track[which], t),
        np.arange(track.size),
        t_s[np.maximum(k - 1, 0)],
        t_s[np.minimum(k + 1, last)],
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


def _sign_changes(samples: FloatArray, t_s: FloatArray) -> _Brackets:
    above = samples > 0
    track, k = np.nonzero(above[:, 1:] != above[:, :-1])
    return _Brackets(track, t_s[k], t_s[k + 1], above[track, k + 1])


def _concatenate(a: _Brackets, b: _Brackets) -> _Brackets:
    return _Brackets(
        np.append(a.track, b.track),
        np.append(a.left_s, b.left_s),
        np.append(a.right_s, b.right_s),
        np.append(a.rises, b.rises),
    )


def _roots(value: TrackFunction, brackets: _Brackets) -> FloatArray:
    """One root a bracket, by the Illinois form of false position with a bisection every fourth turn."""
    a_s, b_s = brackets.left_s.copy(), brackets.right_s.copy()
    at_a, at_b = value(brackets.track, a_s), value(brackets.track, b_s)
    stayed = np.zeros(a_s.size, dtype=np.int64)  # the end that did not move last time: -1 left, 1 right
    turn = 0
    while (open_ := np.flatnonzero(b_s - a_s > _EDGE_TOLERANCE_S)).size:
        turn += 1
        a, b, fa, fb = a_s[open_], b_s[open_], at_a[open_], at_b[open_]
        halve = (fb == fa) | (turn % 4 == 0)
        x = np.where(halve, 0.5 * (a + b), (a * fb - b * fa) / np.where(halve, 1.0, fb - fa))
        # Staying a little inside closes the bracket from the other side once the point has settled at one end.
        x = np.clip(x, a + 0.4 * _EDGE_TOLERANCE_S, b - 0.4 * _EDGE_TOLERANCE_S)
        fx = value(brackets.track[open_], x)
        # The side is known, also where rounding gives an end next to its edge the other sign.
        left_moves = (fx > 0) != brackets.rises[open_]
        a_s[open_], b_s[open_] = np.where(left_moves, x, a), np.where(left_moves, b, x)
        # An end that stays twice has its value halved, which pulls the next point towards it.
        stays = np.where(left_moves, 1, -1)
        weight = np.where(stays == stayed[open_], 0.5, 1.0)
        at_a[open_], at_b[open_] = np.where(left_moves, fx, weight * fa), np.where(left_moves, weight * fb, fx)
        stayed[open_] = stays
    return 0.5 * (a_s + b_s)


def _sorted(track: IntArray, t_s: FloatArray) -> tuple[IntArray, FloatArray]:
    order = np.lexsort((t_s, track))
    return track[order], t_s[order]
