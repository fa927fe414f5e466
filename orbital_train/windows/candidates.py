"""Who could link to whom: the closest nodes in position and velocity that have a free terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from orbital_train.windows.plan import FloatArray, IntArray

_CHUNK = 1 << 16  # nodes searched for at once


@dataclass(frozen=True)
class Pairs:
    """Pairs of nodes, a < b, in columns of shape (K,), sorted, none twice."""

    a: IntArray
    b: IntArray

    def only(self, rows: IntArray) -> Pairs:
        """Some of them."""
        return Pairs(self.a[rows], self.b[rows])


def close_pairs(
    r_m: FloatArray, v_mps: FloatArray, pool: IntArray, seekers: IntArray, count: int, slowness_s: float
) -> Pairs:
    """Pairs of each seeker with its closest nodes in the pool.

    Close is meant in position and velocity together: distance² + (slowness · relative speed)². Nearest in position
    alone would find mostly satellites of other planes that rush by: at a million satellites hundreds of them for each
    one that can be tracked. A line of sight across the motion turns at speed / distance, so with slowness = 1 / (2 ·
    limit of that turn) whoever crosses the line of sight at distance d and can be tracked is found before anyone beyond
    1.12 d. Only satellites that move along the line of sight are found later than others at their distance.

    Args:
        r_m: positions, shape (N, 3).
        v_mps: velocities, shape (N, 3).
        pool: nodes that may be found, shape (P,), increasing.
        seekers: those of them that look for a partner, shape (S,).
        count: how many each finds.
        slowness_s: weight of velocity against position.
    """
    where = np.searchsorted(pool, seekers)
    if count >= pool.size - 1:
        every = np.arange(pool.size)
        return _pairs(pool, [(where.repeat(pool.size), np.tile(every, where.size))], len(r_m))
    points = np.concatenate([r_m[pool], slowness_s * v_mps[pool]], axis=1)
    tree = cKDTree(points, balanced_tree=False, compact_nodes=False)
    found = []
    for begin in range(0, where.size, _CHUNK):
        rows = where[begin : begin + _CHUNK]
        _, other = tree.query(points[rows], k=count + 1, workers=2)
        found.append((rows.repeat(count + 1), other.ravel()))
    return _pairs(pool, found, len(r_m))


def _pairs(pool: IntArray, found: Sequence[tuple[IntArray, IntArray]], nodes: int) -> Pairs:
    keys = []
    for row, other in found:
        apart = row != other
        one, two = pool[row[apart]], pool[other[apart]]
        keys.append(np.minimum(one, two) * nodes + np.maximum(one, two))
    key = np.sort(np.concatenate(keys))
    # Much faster than np.unique, which hashes.
    return Pairs(*np.divmod(key[np.diff(key, prepend=-1) > 0], nodes))
