"""How many whole messages the links can carry, when the last ones leave, and the narrowest cuts between nodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from orbital_train.orbit.arrays import BoolArray, FloatArray, IntArray
from orbital_train.windows.plan import ContactPlan

_ROUNDING = 1e-9  # relative: a volume of exactly so many messages must not count as one less
_HALVINGS = 60


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What ordered pairs of nodes can carry, in columns of shape (P,), one row for each pair with a contact."""

    nodes: int
    source: IntArray
    dest: IntArray
    messages: FloatArray  # whole messages, over all windows of the pair; inf for ideal links
    last_us: IntArray  # the last moment at which a message can leave whole and still arrive; -1: never

    def leaving(self) -> FloatArray:
        """Messages that can leave each node, (N,)."""
        return np.asarray(np.bincount(self.source, weights=self.messages, minlength=self.nodes), dtype=np.float64)

    def arriving(self) -> FloatArray:
        """Messages that can arrive at each node, (N,)."""
        return np.asarray(np.bincount(self.dest, weights=self.messages, minlength=self.nodes), dtype=np.float64)

    def last_departure_us(self) -> IntArray:
        """When the last message can leave each node, for any other, (N,); -1: never."""
        last_us = np.full(self.nodes, -1, dtype=np.int64)
        np.maximum.at(last_us, self.source, self.last_us)
        return last_us


def pair_capacity(plan: ContactPlan, bits: int, until_us: int) -> Capacity:
    """What each pair of nodes can carry by ``until_us``, light time included.

    A message may be split over several windows of its pair, and over parallel links: only volumes count.
    """
    end_s = np.minimum(plan.end_s, (until_us + 1) / 1e6 - plan.owlt_s)  # what takes no time may arrive at the very end
    row = np.flatnonzero(end_s > plan.start_s)
    key, pair = np.unique(plan.source[row] * len(plan.node_names) + plan.dest[row], return_inverse=True)
    start_s, end_s, rate_bps = plan.start_s[row], end_s[row], plan.rate_bps[row]
    volume_bits = np.bincount(pair, weights=rate_bps * (end_s - start_s), minlength=key.size)
    messages = np.floor(volume_bits / bits * (1.0 + _ROUNDING))
    last_s = _last_starts_s(pair, key.size, start_s, end_s, np.minimum(rate_bps, bits * 1e9), bits)
    return Capacity(
        nodes=len(plan.node_names),
        source=key // len(plan.node_names),
        dest=key % len(plan.node_names),
        messages=messages,
        last_us=np.where(messages > 0, np.ceil(last_s * 1e6) + 1, -1).astype(np.int64),
    )


def _last_starts_s(
    pair: IntArray, pairs: int, start_s: FloatArray, end_s: FloatArray, rate_bps: FloatArray, bits: int
) -> FloatArray:
    """The last time from which each pair can still carry a message, by bisection; never too early."""
    low_s, high_s = np.zeros(pairs), np.zeros(pairs)
    np.maximum.at(high_s, pair, end_s)
    for _ in range(_HALVINGS):
        middle_s = (low_s + high_s) / 2.0
        left_s = np.maximum(0.0, end_s - np.maximum(start_s, middle_s[pair]))
        volume_bits = np.bincount(pair, weights=rate_bps * left_s, minlength=pairs)
        enough = volume_bits * (1.0 + _ROUNDING) >= bits
        low_s, high_s = np.where(enough, middle_s, low_s), np.where(enough, high_s, middle_s)
    return high_s


def narrowest_cuts(capacity: Capacity, group: IntArray, most: int) -> FloatArray:
    """How many messages can pass between any two groups of nodes, at most: their minimum cut, (G, G); inf to itself.

    Each link counts in its better direction, so that G - 1 maximum flows give all cuts (Gusfield 1990, SIAM J. Comput.
    19(1), the form without contractions of the tree of Gomory and Hu).

    Args:
        capacity: of the pairs of nodes.
        group: which group each node belongs to, (N,), from 0 on; one of a group hears what any of it hears.
        most: messages above which a count does not matter.
    """
    groups = int(group.max()) + 1
    most = min(most, np.iinfo(np.int32).max // max(1, groups))
    a, b = group[capacity.source], group[capacity.dest]
    between = np.zeros((groups, groups))
    np.add.at(between, (a, b), np.minimum(capacity.messages, most) * (a != b))
    limits = np.minimum(np.maximum(between, between.T), most).astype(np.int32)
    return _all_cuts(csr_array(limits))


def _all_cuts(limits: csr_array) -> FloatArray:
    groups = limits.shape[0]
    cuts = np.full((groups, groups), np.inf)
    parent = np.zeros(groups, dtype=np.int64)
    for i in range(1, groups):
        value, near = _cut(limits, i, int(parent[i]))
        cuts[i, :i] = np.minimum(value, cuts[parent[i], :i])
        cuts[:i, i] = cuts[i, :i]
        later = np.arange(groups) > i
        parent[later & near & (parent == parent[i])] = i
    return cuts


def _cut(limits: csr_array, source: int, sink: int) -> tuple[int, BoolArray]:
    """The value of a minimum cut, and which side of it the source is on."""
    flow = maximum_flow(limits, source, sink)
    left = csr_array(limits - flow.flow)
    left.eliminate_zeros()
    near = np.zeros(limits.shape[0], dtype=bool)
    near[breadth_first_order(left, source, return_predecessors=False)] = True
    return int(flow.flow_value), near
