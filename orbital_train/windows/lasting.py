"""How long pairs stay good: the first moment at which any of the conditions of a link fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orbital_train.windows.blocks import Segment, StateBlock
from orbital_train.windows.geometry import PairFunction
from orbital_train.windows.plan import FloatArray, IntArray

EDGE_TOLERANCE_S = 1e-3
_CHUNK = 4096  # pairs evaluated at once: their states stay in the processor's cache


def good_until_s(
    block: StateBlock, conditions: Sequence[PairFunction], a: IntArray, b: IntArray, first: int, last: int
) -> FloatArray:
    """When pairs that are good at one point of the grid first fail.

    Edges are found to a millisecond, on the good side. Between points that are both good, troughs that come near zero
    are searched as well, so that a short gap is not lost.

    Args:
        block: states from one point before ``first`` (where there is one) to one after ``last`` (where there is one).
        conditions: what must be positive.
        a: one end of each pair, shape (K,).
        b: the other end.
        first: point of the grid at which all pairs are good.
        last: point up to which they are followed.

    Returns:
        Seconds since the start, shape (K,); infinite where nothing fails up to ``last``.
    """
    until_s = np.full(a.size, np.inf)
    for begin in range(0, a.size, _CHUNK):
        rows = slice(begin, begin + _CHUNK)
        until_s[rows] = _chunk_until_s(block, conditions, a[rows], b[rows], first, last)
    return until_s


def good_at(
    block: StateBlock, conditions: Sequence[PairFunction], a: IntArray, b: IntArray, k: int
) -> NDArray[np.bool_]:
    """Which pairs meet all conditions at one point of the grid, shape (K,)."""
    good = np.zeros(a.size, dtype=np.bool_)
    for begin in range(0, a.size, _CHUNK):
        rows = np.arange(begin, min(begin + _CHUNK, a.size))
        for condition in conditions:
            states = (*block.of(a[rows], k, k + 1), *block.of(b[rows], k, k + 1))
            rows = rows[condition(block.grid_s[k : k + 1], *states)[:, 0] > 0]
        good[rows] = True
    return good


@dataclass(frozen=True)
class _Cells:
    """Intervals of the grid in which one condition of a pair may fail, in columns of shape (C,)."""

    pair: IntArray
    k: IntArray  # point at which the interval begins
    before: FloatArray  # value of the condition there, and at its end
    after: FloatArray


def _chunk_until_s(
    block: StateBlock, conditions: Sequence[PairFunction], a: IntArray, b: IntArray, first: int, last: int
) -> FloatArray:
    begin, end = max(first - 1, block.origin), min(last + 2, block.end)
    t_s = block.grid_s[begin:end]
    states = (*block.of(a, begin, end), *block.of(b, begin, end))
    until_s = np.full(a.size, np.inf)
    for condition in conditions:
        cells = _cells(condition(t_s, *states), begin, first, last)
        # A pair that fails several times is done with at the first.
        cells = _only(cells, block.grid_s[cells.k] < until_s[cells.pair])
        if cells.pair.size:
            np.minimum.at(until_s, cells.pair, _failure_s(block, condition, a[cells.pair], b[cells.pair], cells))
    return until_s


def _cells(value: FloatArray, begin: int, first: int, last: int) -> _Cells:
    """Intervals that end below zero, and those whose trough may reach it, up to each pair's first certain failure."""
    # Second differences at both ends of every interval; where the grid ends, that of the other end stands in.
    bend = np.diff(value, n=2, axis=1) if value.shape[1] > 2 else np.zeros_like(value[:, :1])
    bend = np.pad(bend, ((0, 0), (1, 1)), mode="edge")
    own = slice(first - begin, last - begin + 1)
    value, bend = value[:, own], bend[:, own]
    left, right = value[:, :-1], value[:, 1:]
    falls = right <= 0
    # A parabola dips below its ends by at most an eighth of its second difference; four times that is allowed.
    dips = np.minimum(left, right) <= 0.5 * np.maximum(np.maximum(bend[:, :-1], bend[:, 1:]), 0.0)
    failed = np.cumsum(falls, axis=1) - falls > 0
    pair, j = np.nonzero((falls | dips) & ~failed)
    return _Cells(pair, j + first, left[pair, j], right[pair, j])


def _only(cells: _Cells, rows: NDArray[np.bool_]) -> _Cells:
    return _Cells(cells.pair[rows], cells.k[rows], cells.before[rows], cells.after[rows])


@dataclass(frozen=True)
class _Paths:
    """One condition over one interval for each of C pairs, as a function of the part of the interval gone by."""

    condition: PairFunction
    begin_s: FloatArray
    a: Segment
    b: Segment

    def at(self, x: FloatArray) -> FloatArray:
        return self.condition(self.begin_s + x * self.a.step_s, *self.a.at(x), *self.b.at(x))

    def take(self, rows: IntArray) -> _Paths:
        return _Paths(self.condition, self.begin_s[rows], self.a.take(rows), self.b.take(rows))


def _failure_s(block: StateBlock, condition: PairFunction, a: IntArray, b: IntArray, cells: _Cells) -> FloatArray:
    """When each cell first fails, shape (C,); infinite where it does not after all."""
    paths = _Paths(condition, block.grid_s[cells.k], block.segment(a, cells.k), block.segment(b, cells.k))
    low, high, at_low, at_high = _bracket(paths, cells)
    fails = np.flatnonzero(at_high <= 0)
    until_s = np.full(cells.k.size, np.inf)
    x = _last_good(paths.take(fails), low[fails], high[fails], at_low[fails], at_high[fails])
    until_s[fails] = paths.begin_s[fails] + x * block.step_s
    return until_s


def _bracket(paths: _Paths, cells: _Cells) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Parts of the interval, good and bad, around the first failure, and the values there.

    Where nothing fails, both values are positive.
    """
    x = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    inner = [paths.at(np.full(cells.k.size, part)) for part in x[1:-1]]
    value = np.stack([cells.before, *inner, cells.after], axis=1)
    rows = np.arange(cells.k.size)
    lowest = np.clip(value.argmin(axis=1), 1, 3)
    vertex = _vertex(x[lowest], 0.25, *(value[rows, lowest + d] for d in (-1, 0, 1)))
    at_vertex = paths.at(vertex)
    x_all = np.concatenate([np.broadcast_to(x, value.shape), vertex[:, None]], axis=1)
    value = np.concatenate([value, at_vertex[:, None]], axis=1)
    order = np.argsort(x_all, axis=1, kind="stable")
    x_all, value = np.take_along_axis(x_all, order, 1), np.take_along_axis(value, order, 1)
    bad = np.maximum((value[:, 1:] <= 0).argmax(axis=1) + 1, 1)
    return x_all[rows, bad - 1], x_all[rows, bad], value[rows, bad - 1], value[rows, bad]


def _vertex(x: FloatArray, h: float, left: FloatArray, middle: FloatArray, right: FloatArray) -> FloatArray:
    """Where the parabola through three values has its trough, not beyond its outer points."""
    bend = left - 2.0 * middle + right
    shift = np.where(bend > 0, 0.5 * (left - right) / np.where(bend > 0, bend, 1.0), 0.0)
    return np.asarray(x + h * np.clip(shift, -1.0, 1.0))


def _last_good(paths: _Paths, low: FloatArray, high: FloatArray, at_low: FloatArray, at_high: FloatArray) -> FloatArray:
    """The good end of each bracket once it is narrow, by the Illinois form of false position."""
    tolerance = EDGE_TOLERANCE_S / paths.a.step_s
    low, high, at_low, at_high = low.copy(), high.copy(), at_low.copy(), at_high.copy()
    open_ = np.flatnonzero(high - low > tolerance)
    still = paths.take(open_)
    stayed = np.zeros(low.size, dtype=np.int64)  # the end that did not move last time: -1 the good one, 1 the bad one
    turn = 0
    while open_.size:
        turn += 1
        a, b, fa, fb = low[open_], high[open_], at_low[open_], at_high[open_]
        x = 0.5 * (a + b) if turn % 4 == 0 else (a * fb - b * fa) / (fb - fa)
        # Staying a little inside closes the bracket from the other side once the point has settled at one end.
        x = np.clip(x, a + 0.4 * tolerance, b - 0.4 * tolerance)
        fx = still.at(x)
        good = fx > 0
        low[open_], high[open_] = np.where(good, x, a), np.where(good, b, x)
        # An end that stays twice has its value halved, which pulls the next point towards it.
        stays = np.where(good, 1, -1)
        weight = np.where(stays == stayed[open_], 0.5, 1.0)
        at_low[open_], at_high[open_] = np.where(good, fx, weight * fa), np.where(good, weight * fb, fx)
        stayed[open_] = stays
        narrow = high[open_] - low[open_] <= tolerance
        if narrow.any():
            kept = np.flatnonzero(~narrow)
            open_, still = open_[kept], still.take(kept)
    return low
