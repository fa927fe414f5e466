"""Which stretches of which edges are taken, by messages or by what blocks an edge."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from orbital_train.schedule.network import Edge, Hop, Route

Boundaries = list[int]
"""Disjoint intervals as start, end, start, end, ..., rising; never changed in place, so that copies may share them."""


class Bookings:
    """Copying is cheap, so that a plan can be tried out: copies share what neither has changed."""

    def __init__(self) -> None:
        self.taken: dict[int, Boundaries] = {}  # by the edge's id; not to be changed from outside
        self._blocked: dict[int, Boundaries] = {}  # of these, what no message gives back
        self._shared = False  # another copy holds these very dictionaries
        self._added = 0  # hops since what is past was last forgotten everywhere

    def fork(self) -> Bookings:
        """An independent copy."""
        copy = Bookings()
        copy.taken, copy._blocked = self.taken, self._blocked
        copy._shared = self._shared = True
        return copy

    def add(self, booked: Hop | Route, now_us: int) -> None:
        """Book what takes any time of a hop or of all hops of a route; what ended by ``now_us`` is forgotten."""
        self._own()
        for hop in _hops(booked):
            for start_us, end_us in _lasting(hop):
                taken = self.taken.get(hop.edge, [])
                assert is_free(taken, start_us, end_us), "two messages at once on one edge"
                past = bisect_right(taken, now_us) // 2 * 2
                self.taken[hop.edge] = _union(taken[past:] if past else taken, start_us, end_us)
            self._added += 1
        if self._added > len(self.taken):
            self._forget(now_us)

    def remove(self, booked: Hop | Route) -> None:
        """Give back what a hop or all hops of a route have booked; what is blocked stays blocked."""
        self._own()
        for hop in _hops(booked):
            for start_us, end_us in _lasting(hop):
                self.taken[hop.edge] = _difference(self.taken.get(hop.edge, []), start_us, end_us)
            blocked = self._blocked.get(hop.edge, [])
            for start_us, end_us in zip(blocked[::2], blocked[1::2], strict=True):
                self.taken[hop.edge] = _union(self.taken[hop.edge], start_us, end_us)

    def block(self, edge: Edge, start_us: int, end_us: int) -> None:
        """Let an edge carry nothing during this interval, at whatever rate; what was booked there stays booked."""
        self._own()
        for intervals in (self.taken, self._blocked):
            intervals[edge.id] = _union(intervals.get(edge.id, []), start_us, end_us)

    def _own(self) -> None:
        if self._shared:
            self.taken, self._blocked = dict(self.taken), dict(self._blocked)
            self._shared = False

    def _forget(self, now_us: int) -> None:
        """Drop edges on which nothing is booked any more: done rarely enough to cost nothing per hop."""
        self.taken, self._blocked = (
            {edge: taken for edge, taken in intervals.items() if taken and taken[-1] > now_us}
            for intervals in (self.taken, self._blocked)
        )
        self._added = 0


def is_free(taken: Boundaries, start_us: int, end_us: int) -> bool:
    """Whether nothing of an interval is taken; never said of one of no length, which may end a free stretch."""
    i = bisect_right(taken, start_us)
    return start_us < end_us and i % 2 == 0 and (i == len(taken) or end_us <= taken[i])


def _hops(booked: Hop | Route) -> Route:
    return (booked,) if isinstance(booked, Hop) else booked


def _lasting(hop: Hop) -> list[tuple[int, int]]:
    """What a hop takes of its edge: at an infinite rate, nothing."""
    return [(start_us, end_us) for _, start_us, end_us, _ in hop.pieces if start_us < end_us]


def _union(intervals: Boundaries, start_us: int, end_us: int) -> Boundaries:
    i, j = bisect_left(intervals, start_us), bisect_right(intervals, end_us)
    return intervals[:i] + [start_us][i % 2 :] + [end_us][j % 2 :] + intervals[j:]


def _difference(intervals: Boundaries, start_us: int, end_us: int) -> Boundaries:
    i, j = bisect_left(intervals, start_us), bisect_right(intervals, end_us)
    return intervals[:i] + [start_us][: i % 2] + [end_us][: j % 2] + intervals[j:]
