"""Which pairs of satellites may link."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np

from orbital_train.errors import InputError
from orbital_train.orbit.fleet import Fleet
from orbital_train.windows.plan import IntArray

# Fleets whose satellites of equal slot in neighbouring planes do not stay together.
_NO_SLOTS = {
    "file": "satellites from a file",
    "layered": "planes at different altitudes",
    "subset": "satellites selected from a constellation",
}


def topology_pairs(fleet: Fleet, topology: str, named: Sequence[tuple[str, str]] = ()) -> IntArray:
    """Pairs of satellites that a topology lets link, shape (P, 2), each with the lower index first, sorted.

    - ``all_visible``: every pair.
    - ``explicit``: the pairs of ``named``.
    - ``ground_relay``: none; satellites meet through ground sites only.
    - ``nearest``: none here; they are found while links are made, by :mod:`orbital_train.windows.nearest`.
    - ``ring``: neighbours in a plane, closed; a plane of two is one pair.
    - ``grid``: the ring, and the same slot in the planes on either side. Across a Walker delta's last gap the slot is
      shifted by the phasing, where the same phase is; there is no link across a Walker star's seam, where planes
      counter-rotate. In a formation-flying cluster: direct neighbours in the rows and columns of its lattice.

    Raises:
        InputError: the fleet has no such neighbours (key ``links.topology``), or a named pair is not one of two
            satellites, each pair once (key ``links.pairs``).
    """
    if topology == "explicit":
        return _named_pairs(fleet, named)
    if named:
        raise InputError("links.pairs", f"{len(named)} pairs", f"are for topology 'explicit', not {topology!r}")
    if topology == "all_visible":
        return np.stack(np.triu_indices(len(fleet), 1), axis=-1).astype(np.int64)
    if topology in ("nearest", "ground_relay"):
        return np.empty((0, 2), dtype=np.int64)
    if fleet.pattern == "cluster":
        if topology == "ring":
            problem = "a cluster has no closed rings; accepted for it is 'grid', 'nearest', 'all_visible' or 'explicit'"
            raise InputError("links.topology", topology, problem)
        return _lattice_pairs(fleet)
    if topology == "ring":
        return ring_pairs(fleet)
    if fleet.pattern in _NO_SLOTS:
        problem = (
            f"{_NO_SLOTS[fleet.pattern]} have no common slots; accepted for them is 'ring', 'nearest', 'all_visible', "
            "'explicit' or 'ground_relay'"
        )
        raise InputError("links.topology", topology, problem)
    return _sorted_pairs(np.concatenate([ring_pairs(fleet), _cross_plane_pairs(fleet)]))


def ring_pairs(fleet: Fleet) -> IntArray:
    """Neighbours in every plane, closed, shape (P, 2)."""
    pairs = []
    for plane in range(int(fleet.plane.max()) + 1):
        members = np.flatnonzero(fleet.plane == plane)
        ordered = members[np.argsort(fleet.slot[members], kind="stable")]
        if ordered.size > 1:
            pairs.append(np.stack([ordered, np.roll(ordered, -1)], axis=-1))
    return _sorted_pairs(np.concatenate(pairs)) if pairs else np.empty((0, 2), dtype=np.int64)


def _cross_plane_pairs(fleet: Fleet) -> IntArray:
    """Same slot, next plane; a generated fleet's node index is plane · slots + slot."""
    planes = int(fleet.plane.max()) + 1
    slots = len(fleet) // planes
    node = np.arange(len(fleet)).reshape(planes, slots)
    pairs = [np.stack([node[p], node[p + 1]], axis=-1) for p in range(planes - 1)]
    if fleet.pattern == "delta" and planes > 1:
        pairs.append(np.stack([node[-1], np.roll(node[0], -fleet.phasing)], axis=-1))
    return np.concatenate(pairs) if pairs else np.empty((0, 2), dtype=np.int64)


def _lattice_pairs(fleet: Fleet) -> IntArray:
    """Satellites one row or one column apart; plane and slot are the rows and columns of the lattice."""
    node = {place: i for i, place in enumerate(zip(fleet.plane.tolist(), fleet.slot.tolist(), strict=True))}
    pairs = [
        (i, node[beside])
        for (row, column), i in node.items()
        for beside in ((row + 1, column), (row, column + 1))
        if beside in node
    ]
    return _sorted_pairs(np.array(pairs, dtype=np.int64).reshape(-1, 2))


def _named_pairs(fleet: Fleet, named: Sequence[tuple[str, str]]) -> IntArray:
    if not named:
        raise InputError("links.pairs", [], "topology 'explicit' needs at least one pair of satellite names")
    node = {name: i for i, name in enumerate(fleet.names)}
    seen: set[tuple[int, int]] = set()
    for pair in named:
        for name in pair:
            if name not in node:
                raise InputError("links.pairs", list(pair), f"{name!r} is no satellite{_near(name, fleet.names)}")
        low, high = sorted(node[name] for name in pair)
        if low == high:
            raise InputError("links.pairs", list(pair), "a satellite does not link to itself; give two names")
        if (low, high) in seen:
            raise InputError("links.pairs", list(pair), "is given twice; a pair links in both directions")
        seen.add((low, high))
    return _sorted_pairs(np.array(sorted(seen), dtype=np.int64))


def _near(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; their names look like {names[0]!r}"


def _sorted_pairs(pairs: IntArray) -> IntArray:
    return np.unique(np.sort(pairs, axis=-1), axis=0)
