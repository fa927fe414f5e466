"""The coarse half of a search for windows: where sampled functions change sign, or may have between samples.

Samples of a *track* stand in *runs* of consecutive points of one grid of times. A run may cover the whole grid, or
only a part of it; windows are cut at the ends of runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from orbital_train.windows.plan import FloatArray, IntArray

_BLOCK = 1 << 17  # samples scanned at once: they stay in the processor's cache
_SHARPER = 4.0  # times as far as the largest second difference around it a sharp turn may reach
_LEVEL = 0.25  # a slope below this part of the mean over a step is nearly level

_Places = Callable[[IntArray], tuple[IntArray, IntArray]]
"""Track and point of the grid of samples by their place in the flat array."""


@dataclass(frozen=True)
class Scan:
    """What is worth a closer look, in columns of five lengths."""

    begin_track: IntArray  # runs that begin above zero, at the point begin_k
    begin_k: IntArray
    end_track: IntArray  # runs that end above zero, at the point end_k
    end_k: IntArray
    change_track: IntArray  # a change of sign between the points change_k and change_k + 1
    change_k: IntArray
    change_rises: NDArray[np.bool_]
    change_part: FloatArray  # where between the two, in [0, 1], by the cubic through four samples
    change_slope: FloatArray  # its slope there, a step
    turn_track: IntArray  # an extremum around the point turn_k that may reach over zero
    turn_k: IntArray
    turn_is_peak: NDArray[np.bool_]  # it is a peak below zero, else a trough above it
    flat_track: IntArray  # a step, from the point flat_k on, in which a track may turn though no sample shows it
    flat_k: IntArray
    flat_begin: FloatArray  # the samples at both ends of it; its changes of sign are not among those above
    flat_end: FloatArray


def scan_grid(samples: FloatArray) -> Scan:
    """Scan samples over a whole grid, shape (P, T); tracks are the rows."""
    points = samples.shape[1]
    rows = max(1, _BLOCK // points)
    return joined_scans([scan_rows(samples[i : i + rows], i) for i in range(0, max(1, len(samples)), rows)])


def scan_rows(samples: FloatArray, first_track: int, *, sharp: bool = False) -> Scan:
    """Scan samples over a whole grid, shape (R, T), of tracks numbered from ``first_track``.

    Tracks that may be ``sharp`` turn within few samples, and reach further beyond them.
    """
    points = samples.shape[1]
    adjoin = np.ones(samples.size, dtype=np.bool_)
    adjoin[points - 1 :: points] = False

    def places(i: IntArray) -> tuple[IntArray, IntArray]:
        row, k = np.divmod(i, points)
        return row + first_track, k

    return _scan(samples.ravel(), adjoin[:-1], places, points - 1, sharp=sharp)


def scan_runs(values: FloatArray, track: IntArray, k: IntArray, last: int) -> Scan:
    """Scan samples that stand in runs, sorted by (track, k), all of shape (M,); ``last`` is the grid's last point."""
    adjoin = (np.diff(track) == 0) & (np.diff(k) == 1)
    return _scan(values, adjoin, lambda i: (track[i], k[i]), last)


def joined_scans(parts: Sequence[Scan]) -> Scan:
    """Several scans of different tracks as one."""
    return Scan(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Scan)))


def _scan(values: FloatArray, adjoin: NDArray[np.bool_], places: _Places, last: int, *, sharp: bool = False) -> Scan:
    if not values.size:
        return _nothing()
    above = values > 0
    change = np.flatnonzero((above[1:] != above[:-1]) & adjoin)
    four = _four(values, adjoin, change)
    flat = _flats(values, adjoin, change[_uneven(four)])
    if flat.size:
        once = ~np.isin(change, flat)
        change, four = change[once], four[:, once]
    begins, ends = np.flatnonzero(~np.append(False, adjoin)), np.flatnonzero(~np.append(adjoin, False))
    at_first, at_last = begins[places(begins)[1] == 0], ends[places(ends)[1] == last]
    turn = _turns(values, adjoin, np.append(at_first, at_last), sharp)
    return Scan(
        *places(begins[above[begins]]),
        *places(ends[above[ends]]),
        *places(change),
        above[change + 1],
        *_crossing(*four),
        *places(turn),
        ~above[turn],
        *places(flat),
        values[flat],
        values[flat + 1],
    )


def _four(values: FloatArray, adjoin: NDArray[np.bool_], i: IntArray) -> FloatArray:
    """The samples i - 1 to i + 2, shape (4, K); where a run ends the straight line is continued."""
    left, right = values[i], values[i + 1]
    before = np.where(_adjoins(adjoin, i - 1), values[i - 1], 2.0 * left - right)
    after = np.where(_adjoins(adjoin, i + 1), values[np.minimum(i + 2, values.size - 1)], 2.0 * right - left)
    return np.stack([before, left, right, after])


def _crossing(
    before: FloatArray, left: FloatArray, right: FloatArray, after: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Part of a step and slope a step where the cubic through four samples is zero between the middle two."""
    c3 = (after - before) / 6.0 + 0.5 * (left - right)
    c2 = 0.5 * (before + right) - left
    c1 = right - left - c2 - c3
    x = left / (left - right)
    for _ in range(3):
        slope = c1 + x * (2.0 * c2 + 3.0 * x * c3)
        slope = np.where(slope == 0.0, right - left, slope)
        x = np.clip(x - (left + x * (c1 + x * (c2 + x * c3))) / slope, 0.0, 1.0)
    return x, c1 + x * (2.0 * c2 + 3.0 * x * c3)


def _nothing() -> Scan:
    place, number = np.empty(0, dtype=np.int64), np.empty(0)
    at, flag = (place, place), place > 0
    return Scan(*at, *at, *at, flag, number, number, *at, flag, *at, number, number)


def _uneven(four: FloatArray) -> NDArray[np.bool_]:
    """Whether one of the three steps between four samples is more than twice another, shape (K,)."""
    steps = np.abs(np.diff(four, axis=0))
    return np.asarray(steps.max(axis=0) > 2.0 * steps.min(axis=0))


def _flats(values: FloatArray, adjoin: NDArray[np.bool_], change: IntArray) -> IntArray:
    """First samples of steps in which a track may turn, and turn back, between four samples that only rise or only
    fall: the cubic through them is level there, or nearly so.

    Args:
        values: the samples.
        adjoin: which of them follow each other.
        change: changes of sign beside which to look: without one between four samples, no turn between them reaches
            zero. Three steps of nearly one length have no level part either, so that few changes are worth it.
    """
    i = np.sort(np.concatenate([change - 1, change, change + 1]))
    i = i[np.diff(i, prepend=-2) > 0]  # much faster than np.unique, which hashes
    i = i[_adjoins(adjoin, i - 1) & _adjoins(adjoin, i) & _adjoins(adjoin, i + 1)]
    before, own, after = (values[i + d + 1] - values[i + d] for d in (-1, 0, 1))
    falls = own <= 0
    monotone = ((before <= 0) == falls) & ((after <= 0) == falls)
    # Its slope is c + x (b + x a), x from 0 to 1, here made to rise.
    sign = np.where(falls, -1.0, 1.0)
    a = sign * 0.5 * (before - 2.0 * own + after)
    b = sign * 0.5 * (after - before) - a
    c = sign * own - 0.5 * b - a / 3.0
    x = np.where(a > 0, np.clip(-b / np.where(a > 0, 2.0 * a, 1.0), 0.0, 1.0), 0.0)
    least = np.minimum(c + x * (b + x * a), np.minimum(c, c + b + a))
    return np.asarray(i[monotone & (least <= _LEVEL * np.abs(own))])


def _turns(values: FloatArray, adjoin: NDArray[np.bool_], grid_ends: IntArray, sharp: bool) -> IntArray:
    """Samples around which a track, without a change of sign there, may reach over zero."""
    falls = np.diff(values) <= 0
    inner = np.flatnonzero((falls[1:] != falls[:-1]) & adjoin[1:] & adjoin[:-1]) + 1
    i = np.append(inner, grid_ends)
    # Beyond an end of the grid the sample stands for its own neighbour.
    left, right = i - _adjoins(adjoin, i - 1), i + _adjoins(adjoin, i)
    sign = np.where(values[i] > 0, -1.0, 1.0)  # below zero look for a peak, above it for a trough
    extremal = (sign * (values[i] - values[left]) >= 0) & (sign * (values[i] - values[right]) >= 0)
    i, left, right = i[extremal], left[extremal], right[extremal]
    middle = np.where(left == i, right, np.where(right == i, left, i))
    return i[np.abs(values[i]) <= _reach(values, adjoin, middle, sharp)]


def _adjoins(adjoin: NDArray[np.bool_], i: IntArray) -> NDArray[np.bool_]:
    """Whether sample ``i + 1`` follows sample ``i`` in a run; False where there is no such sample."""
    inside = (i >= 0) & (i < adjoin.size)
    return inside & adjoin[np.clip(i, 0, max(0, adjoin.size - 1))] if adjoin.size else inside


def _reach(values: FloatArray, adjoin: NDArray[np.bool_], i: IntArray, sharp: bool) -> FloatArray:
    """How far a track may reach beyond a sample, or one beside it at an end of a run, before the next one.

    A parabola rises above its highest sample by at most an eighth of the second difference, and at either end of the
    grid by at most a half of that of the nearest inner sample; the whole of it is allowed. A sharp turn may bend more
    at the samples beside the highest.
    """
    bend = _bend(values, adjoin, i)
    reach = (
        _SHARPER * np.fmax(bend, np.fmax(_bend(values, adjoin, i - 1), _bend(values, adjoin, i + 1))) if sharp else bend
    )
    return np.where(np.isnan(bend), np.inf, reach)


def _bend(values: FloatArray, adjoin: NDArray[np.bool_], i: IntArray) -> FloatArray:
    """Size of the second difference around samples; no number where one of the three is not of the run."""
    before, own, after = (values.take(i + d, mode="clip") for d in (-1, 0, 1))
    return np.where(_adjoins(adjoin, i - 1) & _adjoins(adjoin, i), np.abs(before - 2.0 * own + after), np.nan)
