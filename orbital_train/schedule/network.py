"""Paths that exist in time: store and forward over booked contacts.

Contacts are edges that exist for a while; a message needs a whole free stretch of one contact for each hop. The
earliest arrival is found by Dijkstra's algorithm on arrival times (contact graph routing, CCSDS 734.3-B), which is
right because a later start never gives an earlier end. Equal arrivals take fewer hops.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from orbital_train.windows.plan import ContactPlan


@dataclass(frozen=True, slots=True)
class Hop:
    """One message on one contact; it is at ``dest`` from ``arrival_us`` on."""

    contact: int
    source: int
    dest: int
    start_us: int
    end_us: int
    arrival_us: int


Route = tuple[Hop, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Contact:
    id: int
    source: int
    dest: int
    start_us: int
    end_us: int
    rate_bps: float
    owlt_us: int


class Network:
    """The contact plan in integer microseconds (windows rounded inwards, light time up). Immutable."""

    def __init__(self, plan: ContactPlan) -> None:
        self.nodes = len(plan.node_names)
        self.horizon_us = math.floor(plan.horizon_s * 1e6)
        self.out: list[dict[int, _Edges]] = [{} for _ in range(self.nodes)]
        self.into: list[dict[int, _Edges]] = [{} for _ in range(self.nodes)]
        for contact in _contacts(plan):
            edges = self.out[contact.source].setdefault(contact.dest, _Edges())
            edges.add(contact)
            self.into[contact.dest][contact.source] = edges


def _contacts(plan: ContactPlan) -> Iterator[_Contact]:
    """The contacts that are usable for at least a microsecond, by start."""
    columns = (plan.source, plan.dest, plan.start_s, plan.end_s, plan.rate_bps, plan.owlt_s)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for c, (source, dest, start_s, end_s, rate_bps, owlt_s) in enumerate(rows):
        start_us, end_us = math.ceil(start_s * 1e6), math.floor(end_s * 1e6)
        if start_us < end_us:
            yield _Contact(
                id=c,
                source=source,
                dest=dest,
                start_us=start_us,
                end_us=end_us,
                rate_bps=rate_bps,
                owlt_us=math.ceil(owlt_s * 1e6),
            )


class _Edges:
    """Contacts from one node to another, by start."""

    def __init__(self) -> None:
        self.contacts: list[_Contact] = []
        self.last_end_us: list[int] = []  # running maximum of the ends

    def add(self, contact: _Contact) -> None:
        self.contacts.append(contact)
        self.last_end_us.append(max(contact.end_us, self.last_end_us[-1] if self.last_end_us else 0))

    def scan_from(self, at_us: int) -> int:
        """Index of the first contact that can still be open at ``at_us``.

        A message that takes no time may leave at the very end of a contact.
        """
        return bisect_left(self.last_end_us, at_us)

    def scan_back_from(self, at_us: int) -> int:
        """Index of the last contact that opens by ``at_us``; -1 if there is none."""
        return bisect_right(self.contacts, at_us, key=lambda contact: contact.start_us) - 1


class Bookings:
    """Which stretches of which contacts are taken; copying is cheap, so that a plan can be tried out."""

    def __init__(self, taken: Mapping[int, tuple[tuple[int, int], ...]] | None = None) -> None:
        self._taken = dict(taken or {})

    def fork(self) -> Bookings:
        """An independent copy."""
        return Bookings(self._taken)

    def add(self, route: Route, now_us: int) -> None:
        """Book every hop of a route that takes any time; what ended by ``now_us`` is forgotten."""
        for hop in _lasting(route):
            intervals = [taken for taken in self._taken.get(hop.contact, ()) if taken[1] > now_us]
            insort(intervals, (hop.start_us, hop.end_us))
            self._taken[hop.contact] = tuple(intervals)

    def remove(self, route: Route) -> None:
        """Free every hop of a route that was booked and has not begun."""
        for hop in _lasting(route):
            intervals = list(self._taken[hop.contact])
            intervals.remove((hop.start_us, hop.end_us))
            self._taken[hop.contact] = tuple(intervals)

    def first_fit(self, contact: _Contact, ready_us: int, bits: int) -> tuple[int, int] | None:
        """The earliest free stretch for ``bits`` that starts at or after ``ready_us``."""
        length_us = _length_us(contact, bits)
        start_us = max(ready_us, contact.start_us)
        for taken_start_us, taken_end_us in self._taken.get(contact.id, ()):
            if start_us + length_us <= taken_start_us:
                break
            start_us = max(start_us, taken_end_us)
        return (start_us, start_us + length_us) if start_us + length_us <= contact.end_us else None

    def last_fit(self, contact: _Contact, deadline_us: int, bits: int) -> tuple[int, int] | None:
        """The latest free stretch for ``bits`` that is received by ``deadline_us``."""
        length_us = _length_us(contact, bits)
        end_us = min(deadline_us - contact.owlt_us, contact.end_us)
        for taken_start_us, taken_end_us in reversed(self._taken.get(contact.id, ())):
            if end_us - length_us >= taken_end_us:
                break
            end_us = min(end_us, taken_start_us)
        return (end_us - length_us, end_us) if end_us - length_us >= contact.start_us else None


def _lasting(route: Route) -> Iterator[Hop]:
    """Hops that take up their contact: at an infinite rate they take no time, and nothing of it."""
    return (hop for hop in route if hop.start_us < hop.end_us)


def _length_us(contact: _Contact, bits: int) -> int:
    return 0 if math.isinf(contact.rate_bps) else math.ceil(bits / contact.rate_bps * 1e6)


def earliest_arrivals(
    net: Network, bookings: Bookings, source: int, ready_us: int, bits: int, until: Collection[int] = ()
) -> dict[int, Route]:
    """The route of earliest arrival from ``source`` to every other node that can be reached before the horizon.

    Args:
        net: the contacts.
        bookings: what is taken.
        source: node that has the message from ``ready_us`` on.
        ready_us: see ``source``.
        bits: size of the message.
        until: stop when the route to any of these nodes is known; others may be missing or not the earliest.
    """
    best: dict[int, tuple[int, int]] = {source: (ready_us, 0)}
    via: dict[int, Hop] = {}
    heap = [(ready_us, 0, source)]
    while heap:
        here_us, hops, here = heapq.heappop(heap)
        if best[here] != (here_us, hops):
            continue
        if here in until:
            break
        for dest in net.out[here]:
            hop = _first_hop(net.out[here][dest], bookings, here_us, bits)
            if hop is not None and (hop.arrival_us, hops + 1) < best.get(dest, (net.horizon_us + 1, 0)):
                best[dest] = (hop.arrival_us, hops + 1)
                via[dest] = hop
                heapq.heappush(heap, (hop.arrival_us, hops + 1, dest))
    return {dest: _trace_back(via, source, dest) for dest in sorted(via)}


def _first_hop(edges: _Edges, bookings: Bookings, ready_us: int, bits: int) -> Hop | None:
    best: Hop | None = None
    for contact in edges.contacts[edges.scan_from(ready_us) :]:
        if best is not None and contact.start_us >= best.arrival_us:
            break
        fit = bookings.first_fit(contact, ready_us, bits)
        if fit is not None:
            hop = Hop(contact.id, contact.source, contact.dest, *fit, fit[1] + contact.owlt_us)
            if best is None or hop.arrival_us < best.arrival_us:
                best = hop
    return best


def _trace_back(via: dict[int, Hop], source: int, dest: int) -> Route:
    hops: list[Hop] = []
    while dest != source:
        hops.append(via[dest])
        dest = via[dest].source
    return tuple(reversed(hops))


def latest_departures(
    net: Network, bookings: Bookings, dest: int, deadline_us: int, bits: int, until: Collection[int] = ()
) -> dict[int, int]:
    """How late a message may become ready at each node and still be at ``dest`` by ``deadline_us``.

    Dijkstra's algorithm backwards in time; nodes that cannot make it are absent. It stops when the answer for any node
    of ``until`` is known; others may then be missing or not the latest.
    """
    best: dict[int, int] = {dest: deadline_us}
    heap = [(-deadline_us, dest)]
    while heap:
        minus_us, here = heapq.heappop(heap)
        if best[here] != -minus_us:
            continue
        if here in until:
            break
        for source, edges in net.into[here].items():
            leave_us = _last_start_us(edges, bookings, -minus_us, bits)
            if leave_us is not None and leave_us > best.get(source, -1):
                best[source] = leave_us
                heapq.heappush(heap, (-leave_us, source))
    return best


def _last_start_us(edges: _Edges, bookings: Bookings, deadline_us: int, bits: int) -> int | None:
    best_us: int | None = None
    for k in range(edges.scan_back_from(deadline_us), -1, -1):
        if best_us is not None and edges.last_end_us[k] <= best_us:
            break
        fit = bookings.last_fit(edges.contacts[k], deadline_us, bits)
        if fit is not None and (best_us is None or fit[0] > best_us):
            best_us = fit[0]
    return best_us
