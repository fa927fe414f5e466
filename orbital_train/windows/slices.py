"""Links whose rate follows their range, as consecutive slices of constant rate that carry the same volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from orbital_train.orbit.grid import StateGrid
from orbital_train.windows.intervals import spans
from orbital_train.windows.plan import FloatArray, IntArray
from orbital_train.windows.ranges import (
    RANGE_ERROR_M,
    LinkTimes,
    RangePoints,
    batches,
    cubics,
    largest_range_m,
    more_points,
    quartic_ranges_m,
    range_points,
    turning_points,
)
from orbital_train.windows.rates import LARGEST_SPREAD, RateLaw, rate_at_bps, slice_edges_m

_NEWTON_STEPS = 12


@dataclass(frozen=True, kw_only=True)
class Slices:
    """Parts of links in columns (S,), sorted by (link, time), without gaps in a link."""

    link: IntArray
    start_s: FloatArray
    end_s: FloatArray
    rate_bps: FloatArray  # the mean over the slice, so that it carries what the link does
    range_m: FloatArray  # the largest in the slice


def rate_slices(grid: StateGrid, links: LinkTimes, law: RateLaw, modem_bps: float, max_range_m: float) -> Slices:
    """Cut links where their rate has changed by the largest spread; a link that never does is one slice.

    The edges are where the range passes through the law's own. Between edges, points of the grid and turning points the
    range is smooth and goes one way, and the rate is integrated by Gauss and Legendre's rule of three points.
    """
    edges_m = slice_edges_m(law, modem_bps, max_range_m)
    largest_m = largest_range_m(grid, links)
    # Before the first edge the rate is constant, and nothing has to be integrated.
    near = largest_m < edges_m.min(initial=np.inf) - RANGE_ERROR_M
    whole = whole_slices(links, largest_m, rate_at_bps(law, modem_bps, largest_m))
    parts = [_only(whole, np.flatnonzero(near))]
    far = np.flatnonzero(~near)
    for rows in batches(grid, links.only(far)):
        cut = _batch(grid, links.only(far[rows]), law, modem_bps, edges_m)
        parts.append(replace(cut, link=far[rows][cut.link]))
    return sorted_slices(parts)


def whole_slices(links: LinkTimes, largest_m: FloatArray, rate_bps: FloatArray) -> Slices:
    """Every link as one slice."""
    rows = np.arange(rate_bps.size)
    return Slices(link=rows, start_s=links.start_s, end_s=links.end_s, rate_bps=rate_bps, range_m=largest_m)


def sorted_slices(parts: Sequence[Slices]) -> Slices:
    """Slices of different links as one."""
    joined = Slices(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Slices)})
    return _only(joined, np.lexsort((joined.start_s, joined.link)))


def _only(of: Slices, rows: IntArray) -> Slices:
    return Slices(**{f.name: getattr(of, f.name)[rows] for f in fields(Slices)})


def _batch(grid: StateGrid, links: LinkTimes, law: RateLaw, modem_bps: float, edges_m: FloatArray) -> Slices:
    points = range_points(grid, links)
    at, when_s, _ = turning_points(points)
    points = more_points(grid, links, points, points.link[at], when_s)
    points = more_points(grid, links, points, *_crossings(points, edges_m**2))
    at = points.sections()
    at = at[points.t_s[at + 1] > points.t_s[at]]
    link, begin_s, length_s = points.link[at], points.t_s[at], points.t_s[at + 1] - points.t_s[at]
    x, weight = np.polynomial.legendre.leggauss(3)
    node_m = quartic_ranges_m(grid, links, points, at, 0.5 * (1.0 + x))
    node_bps = rate_at_bps(law, modem_bps, node_m)
    largest_m = np.sqrt(np.maximum(points.squared_m2[at], points.squared_m2[at + 1]))
    level = np.searchsorted(edges_m, node_m[1])
    level[_nearly_constant(link, rate_at_bps(law, modem_bps, np.sqrt(points.squared_m2)), at)] = 0
    first = np.flatnonzero((np.diff(link, prepend=-1) != 0) | (np.diff(level, prepend=-1) != 0))
    last = np.append(first[1:], at.size) - 1
    start_s, end_s = begin_s[first], points.t_s[at[last] + 1]
    return Slices(
        link=link[first],
        start_s=start_s,
        end_s=end_s,
        rate_bps=np.add.reduceat(0.5 * length_s * (weight @ node_bps), first) / (end_s - start_s),
        range_m=np.maximum.reduceat(largest_m, first),
    )


def _nearly_constant(link: IntArray, point_bps: FloatArray, at: IntArray) -> NDArray[np.bool_]:
    """Sections, in the order of links, of links whose rate is within the largest spread all the time."""
    low_bps, high_bps = np.minimum(point_bps[at], point_bps[at + 1]), np.maximum(point_bps[at], point_bps[at + 1])
    first = np.flatnonzero(np.diff(link, prepend=-1))
    spread = np.maximum.reduceat(high_bps, first) / np.minimum.reduceat(low_bps, first)
    return np.repeat(spread <= LARGEST_SPREAD, np.diff(first, append=link.size))


def _crossings(points: RangePoints, edges_m2: FloatArray) -> tuple[IntArray, FloatArray]:
    """Links and times at which the squared range passes through an edge; in every section it goes one way."""
    at = points.sections()
    level = np.searchsorted(edges_m2, points.squared_m2)
    which, edge = spans(np.minimum(level[at], level[at + 1]), np.maximum(level[at], level[at + 1]))
    at, goal_m2 = at[which], edges_m2[edge]
    c0, c1, c2, c3, length_s = cubics(points, at)
    rises = points.squared_m2[at + 1] > points.squared_m2[at]
    left, right = np.zeros(at.size), np.ones(at.size)
    x = (goal_m2 - c0) / (points.squared_m2[at + 1] - c0)
    for _ in range(_NEWTON_STEPS):
        off_m2 = c0 + x * (c1 + x * (c2 + x * c3)) - goal_m2
        beyond = (off_m2 > 0) == rises
        left, right = np.where(beyond, left, x), np.where(beyond, x, right)
        slope = c1 + x * (2.0 * c2 + 3.0 * x * c3)
        x = x - np.divide(off_m2, slope, out=np.full_like(x, np.inf), where=slope != 0)
        # Outside the bracket, as near a turning point, halve it instead.
        x = np.where((x >= left) & (x <= right), x, 0.5 * (left + right))
    return points.link[at], points.t_s[at] + x * length_s
