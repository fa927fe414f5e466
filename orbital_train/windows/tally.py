"""What a contact plan amounts to, also one in a file that is too long to be read at once.

:func:`~orbital_train.windows.writer.write_contacts` writes contacts in the order in which they end. Read from the last
to the first, the time that a contact adds to the time in which its node is linked is known at once: what of it lies
before the earliest start so far.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orbital_train.windows.columns import rows_from_the_last
from orbital_train.windows.greedy import count_within
from orbital_train.windows.measures import Linked, linked
from orbital_train.windows.plan import ContactPlan, FloatArray, IntArray


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Contacts counted: by their nodes, and by their lengths."""

    linked: Linked
    lengths: IntArray  # how many contacts last k to k + 1 seconds, by k

    @property
    def contacts(self) -> int:
        """How many there are, one way."""
        return int(self.lengths.sum())

    def length_s(self, share: float) -> float:
        """The length that this share of the contacts does not exceed, down to a whole second."""
        return float(np.searchsorted(np.cumsum(self.lengths), max(1.0, share * self.contacts)))


def tally_plan(plan: ContactPlan) -> Tally:
    """Count the contacts of a plan in memory."""
    return Tally(linked=linked(plan), lengths=_by_length(plan.start_s, plan.end_s, plan.horizon_s))


def tally_file(path: Path, nodes: int, horizon_s: float) -> Tally:
    """Count the contacts of a file that ``write_contacts`` wrote, of so many nodes and this length."""
    count, open_s, union_s = np.zeros(nodes, dtype=np.int64), np.zeros(nodes), np.zeros(nodes)
    first_s = np.full(nodes, np.inf)  # earliest start of what was read so far
    lengths = _by_length(np.empty(0), np.empty(0), horizon_s)
    for rows in rows_from_the_last(path, ("source", "start_s", "end_s")):
        source, start_s, end_s = rows["source"], rows["start_s"], rows["end_s"]
        count += np.bincount(source, minlength=nodes)
        open_s += np.bincount(source, weights=end_s - start_s, minlength=nodes)
        lengths += _by_length(start_s, end_s, horizon_s)
        for once in _one_of_each(source):
            node = source[once]
            union_s[node] += np.maximum(np.minimum(end_s[once], first_s[node]) - start_s[once], 0.0)
            first_s[node] = np.minimum(first_s[node], start_s[once])
    shares = Linked(contacts=count, duty=union_s / horizon_s, open_links=open_s / horizon_s)
    return Tally(linked=shares, lengths=lengths)


def _one_of_each(node: IntArray) -> Iterator[IntArray]:
    """The first row of every node, then the second of every node that has one, and so on."""
    by_node = np.argsort(node, kind="stable")
    place = count_within(node[by_node])
    order = np.argsort(place, kind="stable")
    yield from np.split(by_node[order], np.cumsum(np.bincount(place))[:-1])


def _by_length(start_s: FloatArray, end_s: FloatArray, horizon_s: float) -> IntArray:
    return np.bincount((end_s - start_s).astype(np.int64), minlength=int(horizon_s) + 1)
