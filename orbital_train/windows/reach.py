"""The largest range of links, block of time by block of time."""

from __future__ import annotations

import numpy as np

from orbital_train.windows.blocks import StateBlock
from orbital_train.windows.plan import FloatArray, IntArray

_CHUNK = 4096


def largest_range_m(block: StateBlock, a: IntArray, b: IntArray, start_s: FloatArray, end_s: FloatArray) -> FloatArray:
    """Largest range of each link in the part of its time that lies in a block, shape (L,); 0 where none does.

    It is the largest of the ranges at start and end, at the points of the grid, and at the peaks of the parabolas
    through the squared range at three points: good to some metres, which is 1e-8 s of light time.
    """
    range_m = np.zeros(a.size)
    for begin in range(0, a.size, _CHUNK):
        rows = slice(begin, begin + _CHUNK)
        at_points = _at_points(block, a[rows], b[rows], start_s[rows], end_s[rows])
        ends = [_at_moment(block, a[rows], b[rows], t_s[rows]) for t_s in (start_s, end_s)]
        range_m[rows] = np.sqrt(np.maximum(at_points, np.maximum(*ends)))
    return range_m


def _at_points(block: StateBlock, a: IntArray, b: IntArray, start_s: FloatArray, end_s: FloatArray) -> FloatArray:
    """Largest squared range at points of the grid, and of peaks between them, that fall in each link's time."""
    begin, end = max(block.first - 1, block.origin), min(block.last + 2, block.end)
    t_s = block.grid_s[begin:end]
    d_m = block.of(b, begin, end)[0] - block.of(a, begin, end)[0]
    squared = (d_m * d_m).sum(-1)
    own = (t_s >= block.grid_s[block.first]) & (t_s <= block.grid_s[block.last])
    inside = (t_s >= start_s[:, None]) & (t_s <= end_s[:, None]) & own
    largest = np.where(inside, squared, 0.0).max(axis=1)
    left, middle, right = squared[:, :-2], squared[:, 1:-1], squared[:, 2:]
    bend = 2.0 * middle - left - right
    slope = right - left
    # A parabola's peak is this far from its middle point; others are nearer to another point's parabola.
    peaks = (bend > 0) & (np.abs(slope) <= bend)
    shift = np.where(peaks, 0.5 * slope / np.where(peaks, bend, 1.0), 0.0)
    when_s = t_s[1:-1] + shift * block.step_s
    peaks &= (when_s >= start_s[:, None]) & (when_s <= end_s[:, None])
    top = np.where(peaks, middle + 0.25 * slope * shift, 0.0)
    return np.asarray(np.maximum(largest, top.max(axis=1, initial=0.0)))


def _at_moment(block: StateBlock, a: IntArray, b: IntArray, t_s: FloatArray) -> FloatArray:
    """Squared range at one moment a link, shape (L,); 0 where the moment is not in the block."""
    squared = np.zeros(a.size)
    k = np.clip(np.searchsorted(block.grid_s, t_s, side="left") - 1, 0, None)
    rows = np.flatnonzero((k >= block.first) & (k < block.last))
    x = (t_s[rows] - block.grid_s[k[rows]]) / block.step_s
    d_m = block.segment(b[rows], k[rows]).at(x)[0] - block.segment(a[rows], k[rows]).at(x)[0]
    squared[rows] = (d_m * d_m).sum(-1)
    return squared
