"""Which satellites of a constellation fly: chosen by name, by plane and by count, in this order."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from orbital_train.errors import InputError
from orbital_train.orbit.arrays import IntArray


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A choice of satellites; by default all of them."""

    names: tuple[str, ...] = ()  # shell patterns; a satellite is taken if any fits; none given takes all
    only_planes: tuple[int, ...] = ()  # plane numbers, before any renumbering; none given takes all
    limit: int | None = None  # at most so many
    spread: bool = False  # with a limit: evenly spread over those that are left, and not the first ones


def named(selection: Selection, names: tuple[str, ...]) -> IntArray:
    """Indices of the satellites whose names fit, in order.

    Raises:
        InputError: a pattern fits none (key ``fleet.names``).
    """
    if not selection.names:
        return np.arange(len(names))
    taken = np.zeros(len(names), dtype=np.bool_)
    for pattern in selection.names:
        hits = np.array([fnmatchcase(name, pattern) for name in names])
        if not hits.any():
            problem = f"no satellite has a name like this; they look like {names[0]!r}"
            raise InputError("fleet.names", pattern, problem)
        taken |= hits
    return np.flatnonzero(taken)


def in_planes(selection: Selection, plane: IntArray) -> IntArray:
    """Indices of the satellites in the planes asked for, cut to the limit, in order; ``plane`` has shape (N,).

    Raises:
        InputError: there is no such plane, or the limit is below 1 (keys ``fleet.only_planes``, ``fleet.limit``).
    """
    if selection.limit is not None and selection.limit < 1:
        raise InputError("fleet.limit", selection.limit, "accepted is 1 or more")
    known = np.unique(plane)
    if missing := sorted(set(selection.only_planes) - set(known.tolist())):
        problem = f"no satellite is in plane {missing[0]}; they are numbered {known[0]} to {known[-1]}"
        raise InputError("fleet.only_planes", list(selection.only_planes), problem)
    wanted = np.isin(plane, selection.only_planes) if selection.only_planes else np.ones(plane.size, dtype=np.bool_)
    left = np.flatnonzero(wanted)
    if selection.limit is None or selection.limit >= left.size:
        return left
    if selection.spread:
        return left[np.arange(selection.limit) * left.size // selection.limit]
    return left[: selection.limit]


def renumbered(plane: IntArray, slot: IntArray) -> tuple[IntArray, IntArray]:
    """The same order of planes and slots, numbered from 0 without gaps; each of shape (N,)."""
    _, dense = np.unique(plane, return_inverse=True)
    order = np.lexsort((slot, dense))
    first = np.searchsorted(dense[order], np.arange(dense.max() + 1))
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size) - first[dense[order]]
    return dense.astype(np.int64), rank
