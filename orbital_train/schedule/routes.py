"""Paths that exist in time: store and forward over booked contacts.

Contacts are edges that exist for a while; a message goes from node to node as a whole, in pieces where no window has
room for all of it (:mod:`orbital_train.schedule.hops`). The earliest arrival is found by Dijkstra's algorithm on
arrival times (contact graph routing, CCSDS 734.3-B), which is right because a later start never gives an earlier
arrival; the latest departure by the same algorithm backwards in time. Equal times take fewer hops, then the neighbour
of the lower index.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping

from orbital_train.schedule.bookings import Bookings, Boundaries, is_free
from orbital_train.schedule.hops import US_PER_S, arrival_us, first_hop, first_parts, last_hop, last_parts
from orbital_train.schedule.network import Edge, Hop, Network, Route

# A label orders what is found by time, then by hops: the time is shifted by room for a million hops.
_SHIFT = 20
_HOPS = (1 << _SHIFT) - 1
_CLOSED = -1  # better than anything that can be found
_NOTHING: Boundaries = []


class Arrivals:
    """The tree of earliest arrivals. Hops are made when they are asked for, as the bookings were during the search."""

    def __init__(self, arrival_us: dict[int, int], into: dict[int, Edge], bookings: Bookings, bits: int) -> None:
        self.arrival_us = arrival_us  # of every node that is reached, and of the sources
        self._into = into
        self._bookings = bookings.fork()
        self._bits = bits

    def route(self, dest: int) -> Route | None:
        """All hops to a node, none to one that had the message first; None if it is not reached."""
        if dest not in self.arrival_us:
            return None
        hops: list[Hop] = []
        while dest in self._into:
            hops.append(self._hop(self._into[dest]))
            dest = hops[-1].source
        return tuple(reversed(hops))

    def branches(self, nodes: Iterable[int]) -> list[Hop]:
        """The hops that lead to these nodes, by start; a hop comes after the one that it goes on from."""
        seen: set[int] = set()
        hops: list[Hop] = []
        for node in nodes:
            path: list[Hop] = []
            while node in self._into and node not in seen:
                seen.add(node)
                path.append(self._hop(self._into[node]))
                node = path[-1].source
            hops += reversed(path)
        return sorted(hops, key=lambda hop: hop.start_us)

    def _hop(self, edge: Edge) -> Hop:
        hop = first_hop(edge, self._bookings, self.arrival_us[edge.source], self._bits)
        assert hop is not None
        return hop


class Departures:
    """The tree of latest departures. Hops are made when they are asked for, as the bookings were during the search."""

    def __init__(self, leave_us: dict[int, int], out_of: dict[int, Edge], bookings: Bookings, bits: int) -> None:
        self.leave_us = leave_us  # of every node that can make it, and the deadline of the destination
        self.bits = bits  # that they are of
        self._out_of = out_of
        self._bookings = bookings.fork()

    def route(self, source: int) -> Route | None:
        """All hops from a node to the destination, none from itself; None if it cannot make it."""
        if source not in self.leave_us:
            return None
        hops: list[Hop] = []
        while source in self._out_of:
            hops.append(self.leg(source))
            source = hops[-1].dest
        return tuple(hops)

    def leg(self, source: int, bits: int | None = None) -> Hop:
        """The next hop of a node that can make it, for a message of this size if it is not larger."""
        edge = self._out_of[source]
        hop = last_hop(edge, self._bookings, self.leave_us[edge.dest], self.bits if bits is None else bits)
        assert hop is not None
        return hop


def earliest_arrivals(
    net: Network,
    bookings: Bookings,
    ready_us: Mapping[int, int],
    bits: int,
    until: Collection[int] = (),
    avoid: Collection[int] = (),
) -> Arrivals:
    """The earliest arrival of a message at every node that can have it before the horizon.

    Args:
        net: the contacts.
        bookings: what is taken.
        ready_us: the nodes that have the message, and from when on each of them has.
        bits: size of the message.
        until: stop when the arrival at any of these nodes is known; others may be missing or not the earliest.
        avoid: nodes that neither send nor receive.
    """
    s, taken, work = net.segments, bookings.taken, bits * US_PER_S
    start, end, rate, owlt, later = s.start_us, s.end_us, s.rate_bps, s.owlt_us, s.later_us
    best = [net.horizon_us + 1 << _SHIFT] * net.nodes
    for node in avoid:
        best[node] = _CLOSED
    heap = [(at_us << _SHIFT, node) for node, at_us in ready_us.items() if best[node] != _CLOSED]
    for label, node in heap:
        best[node] = label
    heapq.heapify(heap)
    into: dict[int, Edge] = {}
    while heap:
        label, here = heapq.heappop(heap)
        if best[here] != label:
            continue
        if here in until:
            break
        here_us, hops = label >> _SHIFT, (label & _HOPS) + 1
        for dest, edge in net.out[here].items():
            if best[dest] <= label:
                continue
            number, _, _, first, stop, _ = edge
            k = bisect_left(end, here_us, first, stop)
            if k == stop:
                continue
            # Nearly always a message fits the first window, and nothing is in its way.
            leave_us = start[k] if start[k] > here_us else here_us
            sent_us = leave_us - -work // rate[k] if rate[k] else leave_us
            heard_us = sent_us + owlt[k]
            fits = sent_us <= end[k] and heard_us <= later[k]
            busy = taken.get(number, _NOTHING)
            if not fits or (busy and busy[-1] > leave_us and not is_free(busy, leave_us, sent_us)):
                parts = first_parts(edge, busy, here_us, bits, best[dest] >> _SHIFT)
                if parts is None:
                    continue
                heard_us = arrival_us(edge, parts)
            found = (heard_us << _SHIFT) + hops
            if found < best[dest] or (found == best[dest] and here < into[dest].source):
                best[dest], into[dest] = found, edge
                heapq.heappush(heap, (found, dest))
    known = [*ready_us, *into]
    return Arrivals({node: best[node] >> _SHIFT for node in known if best[node] != _CLOSED}, into, bookings, bits)


def latest_departures(
    net: Network,
    bookings: Bookings,
    dest: int,
    deadline_us: int,
    bits: int,
    until: Collection[int] = (),
    avoid: Collection[int] = (),
) -> Departures:
    """How late a message may become ready at each node and still be at ``dest`` by ``deadline_us``.

    Args:
        net: the contacts.
        bookings: what is taken.
        dest: where the message is to be.
        deadline_us: when; one after the horizon counts as the horizon.
        bits: size of the message.
        until: stop when the departure from any of these nodes is known; others may be missing or not the latest.
        avoid: nodes that neither send nor receive.
    """
    deadline_us = min(deadline_us, net.horizon_us)
    s, taken, work = net.segments, bookings.taken, bits * US_PER_S
    start, end, rate, owlt = s.start_us, s.end_us, s.rate_bps, s.owlt_us
    best = [deadline_us + 1 << _SHIFT] * net.nodes  # labels count the time back from the deadline
    best[dest] = 0
    for node in avoid:
        best[node] = _CLOSED
    heap = [(0, dest)]
    out_of: dict[int, Edge] = {}
    while heap:
        label, here = heapq.heappop(heap)
        if best[here] != label:
            continue
        if here in until:
            break
        by_us, hops = deadline_us - (label >> _SHIFT), (label & _HOPS) + 1
        for source, edge in net.into[here].items():
            if best[source] <= label:
                continue
            number, _, _, first, stop, _ = edge
            k = bisect_right(start, by_us, first, stop) - 1
            if k < first:
                continue
            sent_us = min(by_us - owlt[k], end[k])
            leave_us = sent_us + -work // rate[k] if rate[k] else sent_us
            busy = taken.get(number, _NOTHING)
            if leave_us < start[k] or (busy and busy[-1] > leave_us and not is_free(busy, leave_us, sent_us)):
                since_us = deadline_us - (best[source] >> _SHIFT)
                parts = last_parts(edge, busy, by_us, bits, since_us)
                if parts is None:
                    continue
                leave_us = parts[0][1]
            found = (deadline_us - leave_us << _SHIFT) + hops
            if found < best[source] or (found == best[source] and here < out_of[source].dest):
                best[source], out_of[source] = found, edge
                heapq.heappush(heap, (found, source))
    known = [dest, *out_of]
    leave = {node: deadline_us - (best[node] >> _SHIFT) for node in known if best[node] != _CLOSED}
    return Departures(leave, out_of, bookings, bits)
