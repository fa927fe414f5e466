"""When each two nodes of a contact plan are linked, and when they acquire each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orbital_train.windows.plan import ContactPlan, FloatArray, IntArray


class PairTimes:
    """Contacts and acquisitions by pair of nodes (a < b), whatever their direction."""

    def __init__(self, contacts: ContactPlan) -> None:
        self.names = contacts.node_names
        low, high = np.minimum(contacts.source, contacts.dest), np.maximum(contacts.source, contacts.dest)
        pair = low * len(self.names) + high
        order = np.lexsort((contacts.start_s, pair))
        self._start_s, self._end_s = contacts.start_s[order], contacts.end_s[order]
        self._rows = _groups(pair[order])
        new = _acquisitions(contacts)
        new = new[np.lexsort((contacts.start_s[new], pair[new]))]
        self._acquire_s, self._up_s = contacts.acquire_start_s[new], contacts.start_s[new]
        self._down_s = _link_ends_s(contacts)[new]
        self._new = _groups(pair[new])

    def pairs(self) -> list[tuple[int, int]]:
        """All that are ever linked, in order."""
        return [divmod(pair, len(self.names)) for pair in self._rows]

    def linked(self, a: int, b: int, start_s: FloatArray, end_s: FloatArray) -> NDArray[np.bool_]:
        """During which of these stretches of time the pair has a contact."""
        own = self._rows[a * len(self.names) + b]
        last_end_s = np.maximum.accumulate(self._end_s[own])
        first = np.searchsorted(last_end_s, start_s, side="right")  # contact that may still be open
        return first < np.searchsorted(self._start_s[own], end_s)

    def acquired(self, a: int, b: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """When data begins to flow after each acquisition of the pair, when that link ends, and how long it took."""
        own = self._new.get(a * len(self.names) + b, slice(0, 0))
        return self._up_s[own], self._down_s[own], self._up_s[own] - self._acquire_s[own]

    def acquisition_s(self, node: int, other: int | None = None) -> float:
        """The longest acquisition of a pair, or of any link of a node; 0 where the plan has none."""
        pairs = self.pairs() if other is None else [(node, other)]
        return max((float(self.acquired(*p)[2].max(initial=0.0)) for p in pairs if node in p), default=0.0)


def _groups(sorted_keys: IntArray) -> dict[int, slice]:
    """The rows of each key."""
    keys, first, count = np.unique(sorted_keys, return_index=True, return_counts=True)
    rows = zip(keys.tolist(), first.tolist(), (first + count).tolist(), strict=True)
    return {key: slice(i, j) for key, i, j in rows}


def _acquisitions(contacts: ContactPlan) -> IntArray:
    """The row with which each link begins; of links that are acquired at all."""
    paid = np.flatnonzero(contacts.start_s > contacts.acquire_start_s)
    return paid[np.unique(contacts.link_id[paid], return_index=True)[1]]


def _link_ends_s(contacts: ContactPlan) -> FloatArray:
    """When the link of each contact ends."""
    links, of = np.unique(contacts.link_id, return_inverse=True)
    end_s = np.zeros(links.size)
    np.maximum.at(end_s, of, contacts.end_s)
    return end_s[of]
