"""How the range of links develops: on the grid's points, at extrema, and cubic in between.

Squared range and its rate are known exactly from the states of both ends; the cubic Hermite polynomial through them is
good to some metres between points 60 s apart in low orbit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orbital_train.orbit.grid import StateGrid
from orbital_train.windows.intervals import spans
from orbital_train.windows.plan import FloatArray, IntArray

RANGE_ERROR_M = 30.0  # of a turning point on the cubics, in the worst case
_POINTS = 1 << 19  # worked on at once, to bound memory


@dataclass(frozen=True, kw_only=True)
class LinkTimes:
    """Links (L,) between nodes a and b, each over ``[start_s, end_s]``."""

    a: IntArray
    b: IntArray
    start_s: FloatArray
    end_s: FloatArray

    def only(self, rows: IntArray | slice) -> LinkTimes:
        """Some of them."""
        return LinkTimes(a=self.a[rows], b=self.b[rows], start_s=self.start_s[rows], end_s=self.end_s[rows])


@dataclass(frozen=True, kw_only=True)
class RangePoints:
    """Squared range of links at moments, in columns (M,), sorted by (link, time), two or more a link."""

    link: IntArray
    t_s: FloatArray
    squared_m2: FloatArray
    slope_m2ps: FloatArray  # its derivative

    def sections(self) -> IntArray:
        """Points that another one of the same link follows."""
        return np.flatnonzero(self.link[:-1] == self.link[1:])


def range_points(grid: StateGrid, links: LinkTimes) -> RangePoints:
    """Ranges at both ends of every link and at the points of the grid in between."""
    moments = _moments(grid, links)
    d_m, w_mps = _relative(grid, links, moments)
    return RangePoints(link=moments.link, t_s=moments.t_s, squared_m2=_dot(d_m, d_m), slope_m2ps=2.0 * _dot(d_m, w_mps))


@dataclass(frozen=True)
class _Moments:
    """Both ends of links and the points of the grid in between, in columns (M,)."""

    link: IntArray
    k: IntArray  # point of the grid, at inner moments
    t_s: FloatArray
    inner: NDArray[np.bool_]

    def only(self, rows: IntArray) -> _Moments:
        return _Moments(self.link[rows], self.k[rows], self.t_s[rows], self.inner[rows])


def _moments(grid: StateGrid, links: LinkTimes) -> _Moments:
    first = np.searchsorted(grid.t_s, links.start_s, side="right")
    last = np.searchsorted(grid.t_s, links.end_s, side="left")
    link, k = spans(first - 1, last + 1)
    at_start, at_end = k < first[link], k >= last[link]
    k = np.clip(k, 0, grid.t_s.size - 1)
    t_s = np.where(at_start, links.start_s[link], np.where(at_end, links.end_s[link], grid.t_s[k]))
    return _Moments(link, k, t_s, ~(at_start | at_end))


def _relative(grid: StateGrid, links: LinkTimes, moments: _Moments) -> tuple[FloatArray, FloatArray]:
    """Separation and relative velocity, each (M, 3)."""
    a, b, k = links.a[moments.link], links.b[moments.link], moments.k
    d_m, w_mps = grid.r_m[b, k] - grid.r_m[a, k], grid.v_mps[b, k] - grid.v_mps[a, k]
    ends = np.flatnonzero(~moments.inner)
    d_m[ends], w_mps[ends] = _apart(grid, a[ends], b[ends], moments.t_s[ends])
    return d_m, w_mps


def more_points(grid: StateGrid, links: LinkTimes, points: RangePoints, link: IntArray, t_s: FloatArray) -> RangePoints:
    """The same points and these as well."""
    d_m, w_mps = _apart(grid, links.a[link], links.b[link], t_s)
    all_link, all_s = np.append(points.link, link), np.append(points.t_s, t_s)
    order = np.lexsort((all_s, all_link))
    return RangePoints(
        link=all_link[order],
        t_s=all_s[order],
        squared_m2=np.append(points.squared_m2, _dot(d_m, d_m))[order],
        slope_m2ps=np.append(points.slope_m2ps, 2.0 * _dot(d_m, w_mps))[order],
    )


def quartic_ranges_m(grid: StateGrid, links: LinkTimes, points: RangePoints, at: IntArray, x: FloatArray) -> FloatArray:
    """Ranges (X, K) at parts x (X,) of sections (K,): the cubics, bent so that they go through the middle as well.

    Good to a millimetre where the cubics are good to a metre.
    """
    c0, c1, c2, c3, length_s = cubics(points, at)
    middle_m = range_m(grid, links, points.link[at], points.t_s[at] + 0.5 * length_s)
    bend_m2 = middle_m**2 - (c0 + 0.5 * (c1 + 0.5 * (c2 + 0.5 * c3)))
    x = x[:, None]
    return np.sqrt(c0 + x * (c1 + x * (c2 + x * c3)) + bend_m2 * (4.0 * x * (1.0 - x)) ** 2)


def range_m(grid: StateGrid, links: LinkTimes, link: IntArray, t_s: FloatArray) -> FloatArray:
    """Range of these links (K,) at these times (K,)."""
    d_m, _ = _apart(grid, links.a[link], links.b[link], t_s)
    return np.sqrt(_dot(d_m, d_m))


def turning_points(points: RangePoints) -> tuple[IntArray, FloatArray, FloatArray]:
    """Sections (K,) in which the range turns between its ends, when (K,), and the squared range there."""
    at = points.sections()
    at = at[points.slope_m2ps[at] * points.slope_m2ps[at + 1] < 0]
    c0, c1, c2, c3, length_s = cubics(points, at)
    # Root of c1 + 2 c2 x + 3 c3 x² at which the slope turns away from c1's sign, in a form without cancellation.
    root = np.sqrt(np.maximum(4.0 * c2 * c2 - 12.0 * c3 * c1, 0.0))
    x = np.clip(2.0 * c1 / (-2.0 * c2 + np.sign(c1) * root), 0.0, 1.0)
    return at, points.t_s[at] + x * length_s, c0 + x * (c1 + x * (c2 + x * c3))


def cubics(points: RangePoints, at: IntArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Coefficients of the squared range over these sections as cubics of the part gone by, and their lengths."""
    length_s = points.t_s[at + 1] - points.t_s[at]
    left, rise = points.squared_m2[at], points.squared_m2[at + 1] - points.squared_m2[at]
    slope, next_slope = points.slope_m2ps[at] * length_s, points.slope_m2ps[at + 1] * length_s
    return left, slope, 3.0 * rise - 2.0 * slope - next_slope, slope + next_slope - 2.0 * rise, length_s


def largest_range_m(grid: StateGrid, links: LinkTimes) -> FloatArray:
    """Largest range of each link (L,), to some metres, which is 1e-8 s of light time."""
    largest_m = np.empty(links.start_s.size)
    for rows in batches(grid, links):
        largest_m[rows] = _largest_m(grid, links.only(rows))
    return largest_m


def batches(grid: StateGrid, links: LinkTimes) -> Iterator[slice]:
    """Runs of links whose points fit into memory together."""
    points = np.cumsum(3.0 + (links.end_s - links.start_s) / (grid.t_s[1] - grid.t_s[0]))
    batch = (points // _POINTS).astype(np.int64)
    edges = np.flatnonzero(np.diff(batch, prepend=-1))
    for first, last in itertools.pairwise([*edges.tolist(), batch.size]):
        yield slice(first, last)


def _largest_m(grid: StateGrid, links: LinkTimes) -> FloatArray:
    """The largest at all moments, and at turning points beside those that are no smaller than their neighbours."""
    moments = _moments(grid, links)
    squared_m2 = _squared_m2(grid, links, moments)
    largest_m2 = np.maximum.reduceat(squared_m2, np.flatnonzero(np.diff(moments.link, prepend=-1)))
    other_link, rise_m2 = np.diff(moments.link) != 0, np.diff(squared_m2)
    top = np.flatnonzero(np.append(True, other_link | (rise_m2 >= 0)) & np.append(other_link | (rise_m2 <= 0), True))
    at = np.unique(np.concatenate([top[top > 0] - 1, top[top < squared_m2.size - 1]]))
    at = at[~other_link[at]]
    ends = np.stack([at, at + 1], axis=-1).ravel()
    d_m, w_mps = _relative(grid, links, moments.only(ends))
    sections = RangePoints(
        link=np.repeat(np.arange(at.size), 2),
        t_s=moments.t_s[ends],
        squared_m2=squared_m2[ends],
        slope_m2ps=2.0 * _dot(d_m, w_mps),
    )
    turns, _, turn_m2 = turning_points(sections)
    np.maximum.at(largest_m2, moments.link[at[turns // 2]], turn_m2)
    return np.sqrt(largest_m2)


def _squared_m2(grid: StateGrid, links: LinkTimes, moments: _Moments) -> FloatArray:
    a, b = links.a[moments.link], links.b[moments.link]
    d_m = grid.r_m[b, moments.k] - grid.r_m[a, moments.k]
    ends = np.flatnonzero(~moments.inner)
    d_m[ends], _ = _apart(grid, a[ends], b[ends], moments.t_s[ends])
    return _dot(d_m, d_m)


def _apart(grid: StateGrid, a: IntArray, b: IntArray, t_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    ra_m, va_mps = grid.at(a, t_s)
    rb_m, vb_mps = grid.at(b, t_s)
    return rb_m - ra_m, vb_mps - va_mps


def _dot(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("ij,ij->i", a, b))
