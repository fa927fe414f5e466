"""The contact plan as a network that exists in time: which node can send to which, when, and how fast."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from orbital_train.windows.plan import ContactPlan, IntArray

FAR_US = 1 << 62  # after everything
INFINITE_BPS = 0  # stands for a rate without limit


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """Stretches of contacts in columns, sorted by (source, dest, start); those of one pair never overlap.

    ``later_us`` is the earliest at which anything can arrive that leaves in a later segment of the same pair.
    """

    start_us: list[int]
    end_us: list[int]
    rate_bps: list[int]
    owlt_us: list[int]
    contact: list[int]
    later_us: list[int]


class Edge(NamedTuple):
    """All contacts from one node to one other: the segments from ``first`` up to, not including, ``stop``.

    Where contacts of the pair overlap, the fastest that is open counts at each moment (then the one of the shorter
    light time, then the lower contact id), so that which one is used depends on the time alone.
    """

    id: int  # dense
    source: int
    dest: int
    first: int
    stop: int
    segments: Segments

    def windows_us(self) -> list[tuple[int, int, int]]:
        """(start, end, light time) of every segment, by start."""
        s, own = self.segments, slice(self.first, self.stop)
        return list(zip(s.start_us[own], s.end_us[own], s.owlt_us[own], strict=True))


class Piece(NamedTuple):
    """A part of a message on one row of the contact plan; at an infinite rate it takes no time."""

    contact: int
    start_us: int
    end_us: int
    bits: int


class Hop(NamedTuple):
    """A whole message over one edge, its pieces by start; it is at ``dest`` from ``arrival_us`` on."""

    source: int
    dest: int
    start_us: int
    end_us: int
    arrival_us: int
    pieces: tuple[Piece, ...]
    edge: int  # its id


Route = tuple[Hop, ...]


class Network:
    """The contact plan in whole microseconds and bits per second. Immutable.

    Windows and rates are rounded inwards, light time up; what is then shorter than a microsecond or slower than a bit
    per second is left out. ``out[i]`` has the edge to every node that node i ever sends to, ``into[i]`` the edge from
    every node that it hears from.
    """

    def __init__(self, plan: ContactPlan) -> None:
        self.nodes, self.node_names = len(plan.node_names), plan.node_names
        self.horizon_us = math.floor(plan.horizon_s * 1e6)
        self.out: list[dict[int, Edge]] = [{} for _ in range(self.nodes)]
        self.into: list[dict[int, Edge]] = [{} for _ in range(self.nodes)]
        rows = _without_overlaps(_rows(plan))
        source, dest, start_us, end_us, rate_bps, owlt_us, contact = rows
        self.segments = Segments(
            start_us=start_us.tolist(),
            end_us=end_us.tolist(),
            rate_bps=rate_bps.tolist(),
            owlt_us=owlt_us.tolist(),
            contact=contact.tolist(),
            later_us=_later_us(rows).tolist(),
        )
        last = ~_same_pair_next(rows)
        stops = (np.flatnonzero(last) + 1).tolist()
        ends = zip(source[last].tolist(), dest[last].tolist(), [0, *stops], stops, strict=False)
        for number, (i, j, first, stop) in enumerate(ends):
            self.out[i][j] = self.into[j][i] = Edge(number, i, j, first, stop, self.segments)


# Rows are a table (7, S) of these: source, dest, start_us, end_us, rate_bps, owlt_us, contact.


def _rows(plan: ContactPlan) -> IntArray:
    """What can be used of each contact."""
    ideal = np.isinf(plan.rate_bps)
    rows = np.stack(
        [
            plan.source,
            plan.dest,
            np.ceil(plan.start_s * 1e6).astype(np.int64),
            np.floor(plan.end_s * 1e6).astype(np.int64),
            np.where(ideal, INFINITE_BPS, np.floor(np.where(ideal, 0.0, plan.rate_bps))).astype(np.int64),
            np.ceil(plan.owlt_s * 1e6).astype(np.int64),
            plan.contact_id,
        ]
    )
    return _sorted(rows[:, (rows[2] < rows[3]) & (ideal | (plan.rate_bps >= 1))])


def _sorted(rows: IntArray) -> IntArray:
    return rows[:, np.lexsort((rows[2], rows[1], rows[0]))]


def _same_pair_next(rows: IntArray) -> np.ndarray:
    """Which rows are followed by one of the same pair of nodes, (S,)."""
    same = (np.diff(rows[:2], axis=1) == 0).all(axis=0)
    return np.append(same, np.zeros(min(1, rows.shape[1]), dtype=bool))


def _without_overlaps(rows: IntArray) -> IntArray:
    """At each moment only the best contact of each pair."""
    same = _same_pair_next(rows)
    overlaps = same & (rows[3] > np.append(rows[2, 1:], 0))
    if not overlaps.any():
        return rows
    pair = np.append(0, np.cumsum(~same[:-1]))
    mixed = np.isin(pair, pair[overlaps])
    parts = [rows[:, ~mixed]]
    for number in np.unique(pair[overlaps]):
        own = rows[:, pair == number]
        parts.append(np.array(list(_best_contacts(own.T.tolist())), dtype=np.int64).T)
    return _sorted(np.concatenate(parts, axis=1))


def _best_contacts(rows: list[list[int]]) -> Iterator[list[int]]:
    """Segments of one pair, from its contacts by start."""
    cuts = sorted({time_us for row in rows for time_us in row[2:4]})
    waiting = iter(rows)
    open_now: list[tuple[float, int, int, list[int]]] = []
    following = next(waiting, None)
    segment: list[int] | None = None
    for start_us, end_us in itertools.pairwise(cuts):
        while following is not None and following[2] <= start_us:
            rate_bps, owlt_us, contact = following[4:]
            speed_bps = math.inf if rate_bps == INFINITE_BPS else rate_bps
            heapq.heappush(open_now, (-speed_bps, owlt_us, contact, following))
            following = next(waiting, None)
        while open_now and open_now[0][3][3] <= start_us:
            heapq.heappop(open_now)
        best = open_now[0][3] if open_now else None
        if segment is not None and best is not None and (segment[3], segment[6]) == (start_us, best[6]):
            segment[3] = end_us
            continue
        if segment is not None:
            yield segment
        segment = None if best is None else [*best[:2], start_us, end_us, *best[4:]]
    if segment is not None:
        yield segment


def _later_us(rows: IntArray) -> IntArray:
    """See :class:`Segments`, (S,)."""
    same = _same_pair_next(rows)
    later_us = np.where(same, np.append((rows[2] + rows[5])[1:], 0), FAR_US)
    while True:
        # Nearly always the next segment is the earliest; each pass looks one further.
        earlier_us = np.where(same, np.minimum(later_us, np.append(later_us[1:], FAR_US)), FAR_US)
        if np.array_equal(earlier_us, later_us):
            return later_us
        later_us = earlier_us
