"""Sun exclusion: a receiver that looks too close to the Sun hears nothing, unless the Earth hides the Sun from it.

A link listens at both ends, so it is blinded when either receiver is. That ends the link: its terminals are free, and
the next one pays the acquisition again.

The Sun's direction is taken from the Earth's centre, 0.003 degrees off in low orbit and 0.016 at geostationary height.
It is hidden where the whole disc is behind the oblate Earth, which is the umbra.
"""

from __future__ import annotations

import numpy as np

from orbital_train.orbit.constants import EARTH_FLATTENING, EARTH_RADIUS_M, SUN_RADIUS_M
from orbital_train.orbit.grid import StateGrid
from orbital_train.orbit.sun import SunPositions
from orbital_train.windows.geometry import PairFunction, dot
from orbital_train.windows.intervals import of_tracks, renamed, spans
from orbital_train.windows.pairs import pair_windows
from orbital_train.windows.plan import FloatArray, IntArray
from orbital_train.windows.search import Windows, intersect, positive_windows

_STRETCH = np.array([1.0, 1.0, 1.0 / (1.0 - EARTH_FLATTENING)])  # makes a sphere of the Earth, as in shadow.py
_PATH_OVER_ARC = 1.2
_QUARTERS = np.linspace(0.0, 1.0, 5)


def sun_function(sun: SunPositions, exclusion_deg: float) -> PairFunction:
    """No receiver blinded, as one pair function: for searches that take nothing but functions.

    It has a kink where the Earth's shadow ends a gap. :func:`glare_windows` has none and finds every gap.
    """
    looks_at_sun = _facing_function(sun, exclusion_deg)

    def good(t_s: FloatArray, ra_m: FloatArray, va: FloatArray, rb_m: FloatArray, vb: FloatArray) -> FloatArray:
        sun_m = sun(t_s)
        receiver_m = np.where((dot(rb_m - ra_m, sun_m) > 0)[..., None], ra_m, rb_m)
        # Halved, the shadow never decides where the Sun is abeam and the receiver changes.
        return np.maximum(-looks_at_sun(t_s, ra_m, va, rb_m, vb), 0.5 * _hidden(receiver_m, sun_m))

    return good


def glare_windows(grid: StateGrid, pairs: IntArray, sun: SunPositions, exclusion_deg: float) -> Windows:
    """When a receiver of a pair of satellites, shape (P, 2), is blinded; tracks are rows of ``pairs``."""
    facing = pair_windows(grid, pairs, _facing_function(sun, exclusion_deg), sharp=True)
    if not len(facing):
        return facing
    a, b = pairs[facing.track].T
    middle_s = 0.5 * (facing.start_s + facing.end_s)
    ahead_m = grid.positions_m(b, middle_s) - grid.positions_m(a, middle_s)
    receiver, which = np.unique(np.where((ahead_m * sun(middle_s)).sum(-1) > 0, a, b), return_inverse=True)
    own = Windows(np.arange(len(facing)), facing.start_s, facing.end_s)
    return renamed(intersect(own, of_tracks(_lit_windows(grid, receiver, sun), which)), facing.track)


def pass_glare(grid: StateGrid, pairs: IntArray, seen: Windows, sun: SunPositions, exclusion_deg: float) -> Windows:
    """When receivers on the ground are blinded during passes; tracks are rows of ``pairs`` (satellite, site).

    Looking down, a satellite never has the Sun behind a site. A pass moves quickly against the sky, so the steps of the
    grid in which it may come near the Sun are looked at in quarters.
    """
    step_s = float(grid.t_s[1] - grid.t_s[0])
    first = np.clip((seen.start_s / step_s).astype(np.int64), 0, grid.t_s.size - 2)
    last = np.clip(np.ceil(seen.end_s / step_s).astype(np.int64), first + 1, grid.t_s.size - 1)
    row, k = spans(first, last + 1)
    satellite, site = pairs[seen.track[row]].T
    up = _unit(grid.r_m[satellite, k] - grid.r_m[site, k])
    off_rad = np.arccos(np.clip((up * _unit(sun(grid.t_s))[k]).sum(-1), -1.0, 1.0))
    turn_rad = np.arccos(np.clip((up[:-1] * up[1:]).sum(-1), -1.0, 1.0))
    # By the triangle's inequality at both ends; the path is a little longer than the arc between them.
    near = off_rad[:-1] + off_rad[1:] - _PATH_OVER_ARC * turn_rad <= 2.0 * np.radians(exclusion_deg)
    piece = np.flatnonzero(near & (row[:-1] == row[1:]))
    track, begin_s = seen.track[row[piece]], grid.t_s[k[piece]]
    facing = _facing_function(sun, exclusion_deg)

    def value(which: IntArray, x_s: FloatArray) -> FloatArray:
        t_s = begin_s[which] + x_s
        satellite, site = pairs[track[which]].T
        return facing(t_s, *grid.at(site, t_s), *grid.at(satellite, t_s))

    x_s = _QUARTERS * step_s
    pieces = np.arange(piece.size)
    samples = value(np.repeat(pieces, x_s.size), np.tile(x_s, piece.size)).reshape(-1, x_s.size)
    blind = positive_windows(value, samples, x_s)
    moved = Windows(blind.track, begin_s[blind.track] + blind.start_s, begin_s[blind.track] + blind.end_s)
    return renamed(moved, track)


def _facing_function(sun: SunPositions, exclusion_deg: float) -> PairFunction:
    """Positive while the line between two nodes is within the exclusion of the Sun, in either direction."""
    cos_squared = np.cos(np.radians(exclusion_deg)) ** 2

    def facing(t_s: FloatArray, ra_m: FloatArray, _va: FloatArray, rb_m: FloatArray, _vb: FloatArray) -> FloatArray:
        d_m = rb_m - ra_m
        along_m = dot(d_m, _unit(sun(t_s)))
        return np.asarray(along_m * along_m / dot(d_m, d_m) - cos_squared)

    return facing


def _hidden(r_m: FloatArray, sun_m: FloatArray) -> FloatArray:
    """Positive where the Earth hides the whole Sun, in Earth radii.

    In stretched axes, with p the way towards the Sun and q = √(r² - 1) the distance to the horizon, the angle from
    nadir to the Sun is below the Earth's apparent radius E less the Sun's S if -p > r cos(E - S) = q cos S + sin S.
    """
    at = r_m * (_STRETCH / EARTH_RADIUS_M)
    sun_rad = np.arcsin(SUN_RADIUS_M / np.sqrt(dot(sun_m, sun_m)))
    towards = dot(at, _unit(sun_m * _STRETCH))
    horizon = np.sqrt(np.maximum(dot(at, at) - 1.0, 0.0))
    return np.asarray(-towards - horizon * np.cos(sun_rad) - np.sin(sun_rad))


def _lit_windows(grid: StateGrid, node: IntArray, sun: SunPositions) -> Windows:
    """When these satellites (K,) see any of the Sun; tracks are their places in the list."""

    def value(track: IntArray, t_s: FloatArray) -> FloatArray:
        return -_hidden(grid.positions_m(node[track], t_s), sun(t_s))

    sun_m = sun(grid.t_s)
    samples = np.stack([-_hidden(grid.r_m[i], sun_m) for i in node])
    return positive_windows(value, samples, grid.t_s)


def _unit(v: FloatArray) -> FloatArray:
    return np.asarray(v / np.sqrt(dot(v, v))[..., None])
