"""Which pairs of satellites may link."""

from __future__ import annotations

import numpy as np

from orbital_train.errors import InputError
from orbital_train.orbit.fleet import Fleet
from orbital_train.windows.plan import IntArray


def topology_pairs(fleet: Fleet, topology: str) -> IntArray:
    """Pairs of satellites that a topology lets link, shape (P, 2), each with the lower index first, sorted.

    - ``all_visible``: every pair.
    - ``nearest``: none here; they are found while links are made, by :mod:`orbital_train.windows.nearest`.
    - ``ring``: neighbours in a plane, closed; a plane of two is one pair.
    - ``grid``: the ring, and the same slot in the planes on either side. Across a Walker delta's last gap the slot is
      shifted by the phasing, where the same phase is; there is no link across a Walker star's seam, where planes
      counter-rotate.

    Raises:
        InputError: a grid of satellites from a file, whose slots do not correspond (key ``links.topology``).
    """
    if topology == "all_visible":
        return np.stack(np.triu_indices(len(fleet), 1), axis=-1).astype(np.int64)
    if topology == "nearest":
        return np.empty((0, 2), dtype=np.int64)
    if topology == "ring":
        return ring_pairs(fleet)
    if fleet.pattern == "file":
        problem = "satellites from a file have no common slots; accepted for them is 'ring', 'nearest' or 'all_visible'"
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


def _sorted_pairs(pairs: IntArray) -> IntArray:
    return np.unique(np.sort(pairs, axis=-1), axis=0)
