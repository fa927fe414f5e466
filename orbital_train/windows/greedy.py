"""Greedy choice of links: the shortest first, each node with no more than it has terminals for."""

from __future__ import annotations

import numpy as np

from orbital_train.windows.plan import FloatArray, IntArray


def shortest_first(a: IntArray, b: IntArray, distance_m: FloatArray, free: IntArray) -> IntArray:
    """Rows of the pairs that are taken when they are gone through in the order of (distance, a, b).

    Args:
        a: one end of each pair, shape (K,), no pair twice.
        b: the other end.
        distance_m: compared to a metre, so that rounding errors do not decide between equals.
        free: how many more links each node takes, shape (N,).

    Returns:
        The rows that are taken, in that order. In every round all pairs that are among the first so many of what is
        left at both ends are taken together: whatever stands before them cannot fill either end.
    """
    order = np.lexsort((b, a, np.rint(distance_m)))
    free = free.copy()
    taken = []
    while order.size:
        left_a, left_b = a[order], b[order]
        best = (_place(left_a, left_b) < np.stack([free[left_a], free[left_b]])).all(axis=0)
        rows = order[best]
        taken.append(rows)
        np.subtract.at(free, a[rows], 1)
        np.subtract.at(free, b[rows], 1)
        order = order[~best]
        order = order[(free[a[order]] > 0) & (free[b[order]] > 0)]
    rows = np.concatenate(taken) if taken else np.empty(0, dtype=np.int64)
    return rows[np.lexsort((b[rows], a[rows], np.rint(distance_m[rows])))]


def _place(a: IntArray, b: IntArray) -> IntArray:
    """Place of every pair among those of its end a, and of its end b, in their present order, shape (2, K)."""
    node = np.concatenate([a, b])
    row = np.tile(np.arange(a.size), 2)
    by_node = np.lexsort((row, node))
    return np.asarray(count_within(node[by_node])[np.argsort(by_node, kind="stable")].reshape(2, -1))


def count_within(group: IntArray) -> IntArray:
    """0, 1, 2, … within every run of equal values, shape of ``group``."""
    rows = np.arange(group.size)
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    return np.asarray(rows - np.repeat(starts, np.diff(starts, append=group.size)), dtype=np.int64)
