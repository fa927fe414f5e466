"""Which pairs of planes must be compared to find the closest two: far fewer than all of them.

The planes of a shell are turned copies of each other, if they have one altitude, inclination and number of satellites
and are evenly spaced in node and in phase. What two of them are to each other depends only on how many planes lie
between them. Such *runs* are found in the planes themselves; a plane like no other is a run of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orbital_train.orbit.arrays import FloatArray, IntArray
from orbital_train.orbit.shells import Planes

_SAME_RAD = 1e-12  # steps that differ by less are equal: over a thousand planes it is a millimetre


@dataclass(frozen=True, kw_only=True)
class PlaneRuns:
    """Runs of planes, in columns of shape (R,)."""

    first: IntArray  # number of the first plane
    length: IntArray
    step_rad: FloatArray  # (R, 2) from a plane to the next, in node and in argument of latitude


def plane_runs(planes: Planes) -> PlaneRuns:
    """The runs that planes fall into, in their order."""
    step_rad = np.diff(np.stack([planes.raan_rad, planes.argument_rad], axis=-1), axis=0)
    alike = np.ones(len(step_rad), dtype=np.bool_)
    for column in (planes.satellites, planes.axis_m, planes.inclination_rad):
        alike &= column[1:] == column[:-1]
    turned = np.abs(np.diff(step_rad, axis=0)).max(axis=-1) > _SAME_RAD
    alike[1:] &= ~(turned & alike[:-1])
    first = np.flatnonzero(np.append(True, ~alike))
    length = np.diff(np.append(first, planes.axis_m.size))
    own = np.vstack([step_rad, np.full(2, np.nan)])[first]
    return PlaneRuns(first=first, length=length, step_rad=own)


def pairs_within(runs: PlaneRuns) -> tuple[IntArray, IntArray]:
    """The first plane of every run with each of its others: they stand for all pairs inside it."""
    row, plane = _members(runs.first, runs.length)
    other = plane != runs.first[row]
    return runs.first[row[other]], plane[other]


def pairs_between(runs: PlaneRuns, one: IntArray, two: IntArray) -> tuple[IntArray, IntArray]:
    """Pairs that stand for all those of a plane in run ``one`` and a plane in run ``two``, each of shape (K,).

    Where both runs have the same steps, the first plane of either with all of the other.
    """
    same = (np.abs(runs.step_rad[one] - runs.step_rad[two]) <= _SAME_RAD).all(axis=-1)
    one_like, two_like, one, two = one[same], two[same], one[~same], two[~same]
    row, plane = _members(runs.first[two_like], runs.length[two_like])
    back, other = _members(runs.first[one_like], runs.length[one_like])
    into, each = _members(runs.first[one], runs.length[one])
    onto, every = _members(runs.first[two[into]], runs.length[two[into]])
    p = np.concatenate([runs.first[one_like[row]], other, each[onto]])
    q = np.concatenate([plane, runs.first[two_like[back]], every])
    return np.minimum(p, q), np.maximum(p, q)


def _members(first: IntArray, length: IntArray) -> tuple[IntArray, IntArray]:
    """Planes of several runs, one after the other, and the place among these runs of the one that each belongs to."""
    row = np.repeat(np.arange(first.size), length)
    begin = np.cumsum(length) - length
    return row, np.arange(row.size) - begin[row] + first[row]
