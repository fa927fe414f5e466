"""One message over one edge, in as many pieces as its windows and what is booked there make of it.

A message that leaves at a time t and is to be received by a deadline D can use the free stretches of its edge from t
on, each up to D less the light time of its contact. Call what they carry together B(t, D): it can only fall with t and
rise with D. The earliest arrival is the smallest D with B(t, D) >= bits, and the latest departure the largest t: so
they are each other's inverse, and a later start never gives an earlier arrival, which is what Dijkstra's algorithm
needs of :mod:`orbital_train.schedule.routes`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from orbital_train.schedule.bookings import Bookings, Boundaries
from orbital_train.schedule.network import FAR_US, INFINITE_BPS, Edge, Hop, Piece

US_PER_S = 1_000_000

Part = tuple[int, int, int, int]  # segment, start_us, end_us, bits


def first_hop(edge: Edge, bookings: Bookings, ready_us: int, bits: int) -> Hop | None:
    """The hop of a message that is ready at ``ready_us`` that is received first; None if the edge never carries it."""
    parts = first_parts(edge, bookings.taken.get(edge.id, []), ready_us, bits)
    return None if parts is None else _hop(edge, parts)


def last_hop(edge: Edge, bookings: Bookings, deadline_us: int, bits: int) -> Hop | None:
    """The hop that starts last of those that are received by ``deadline_us``; None if there is none."""
    parts = last_parts(edge, bookings.taken.get(edge.id, []), deadline_us, bits)
    return None if parts is None else _hop(edge, parts)


def first_parts(
    edge: Edge, taken: Boundaries, ready_us: int, bits: int, deadline_us: int = FAR_US
) -> list[Part] | None:
    """The parts of the message that is received first; None if that is not by ``deadline_us``."""
    parts = _greedy(edge, taken, ready_us, bits, deadline_us)
    if parts is None:
        return None
    received_us, (last, _, end_us, _) = arrival_us(edge, parts), parts[-1]
    if received_us == end_us + edge.segments.owlt_us[last] and received_us <= edge.segments.later_us[last]:
        return parts
    # Light time falls from one segment to a later one. Then it can be better to leave the end of the former unused.
    sooner_us = range(ready_us, received_us)
    sooner = bisect_left(sooner_us, True, key=lambda by_us: _greedy(edge, taken, ready_us, bits, by_us) is not None)
    return _greedy(edge, taken, ready_us, bits, ready_us + sooner)


def _greedy(edge: Edge, taken: Boundaries, ready_us: int, bits: int, deadline_us: int) -> list[Part] | None:
    """Parts that use every free stretch from ``ready_us`` on, as far as it is received by the deadline."""
    s, parts = edge.segments, []
    for k in range(bisect_left(s.end_us, ready_us, edge.first, edge.stop), edge.stop):
        last_us = deadline_us - s.owlt_us[k]
        if s.start_us[k] > last_us:
            if s.start_us[k] > deadline_us:
                break
            continue
        whole = ((max(s.start_us[k], ready_us), s.end_us[k]),)
        for start_us, end_us in _free_from(taken, s.start_us[k], s.end_us[k], ready_us) if taken else whole:
            part = _part(k, s.rate_bps[k], start_us, min(end_us, last_us), bits)
            if part is not None:
                parts.append(part)
                bits -= part[3]
                if not bits:
                    return parts
    return None


def last_parts(edge: Edge, taken: Boundaries, deadline_us: int, bits: int, since_us: int = 0) -> list[Part] | None:
    """The parts, by start, of the message that starts last and is received by ``deadline_us``.

    None if none is; it may be None as well if that one starts before ``since_us``.
    """
    s, parts = edge.segments, []
    for k in range(bisect_right(s.start_us, deadline_us, edge.first, edge.stop) - 1, edge.first - 1, -1):
        last_us = min(s.end_us[k], deadline_us - s.owlt_us[k])
        if s.end_us[k] < since_us:
            break
        if last_us < s.start_us[k]:
            continue
        whole = ((s.start_us[k], last_us),)
        for start_us, end_us in _free_back_from(taken, s.start_us[k], s.end_us[k], last_us) if taken else whole:
            part = _part(k, s.rate_bps[k], start_us, end_us, bits, late=True)
            if part is not None:
                parts.append(part)
                bits -= part[3]
                if not bits:
                    return parts[::-1]
    return None


def _part(segment: int, rate_bps: int, start_us: int, end_us: int, bits: int, late: bool = False) -> Part | None:
    """As much of a message as a free stretch carries, or all of it at its beginning, or end if ``late``."""
    if end_us < start_us:
        return None
    if rate_bps == INFINITE_BPS:
        at_us = end_us if late else start_us
        return segment, at_us, at_us, bits
    fits = rate_bps * (end_us - start_us) // US_PER_S
    if fits >= bits:
        length_us = -(-bits * US_PER_S // rate_bps)
        return (segment, end_us - length_us, end_us, bits) if late else (segment, start_us, start_us + length_us, bits)
    return (segment, start_us, end_us, fits) if fits else None


def _free_from(taken: Boundaries, start_us: int, end_us: int, ready_us: int) -> Iterator[tuple[int, int]]:
    """Free stretches of a segment from ``ready_us`` on, by start.

    A message that takes no time may leave at the very end of a stretch: one that ends at ``ready_us`` counts.
    """
    i = bisect_left(taken, max(start_us, ready_us))
    i += i % 2
    while True:
        free_us = max(start_us, taken[i - 1]) if i else start_us
        busy_us = min(end_us, taken[i]) if i < len(taken) else end_us
        if free_us < busy_us:
            yield max(free_us, ready_us), busy_us
        if i >= len(taken) or taken[i] >= end_us:
            return
        i += 2


def _free_back_from(taken: Boundaries, start_us: int, end_us: int, last_us: int) -> Iterator[tuple[int, int]]:
    """Free stretches of a segment up to ``last_us``, the latest first; one that begins then counts."""
    i = bisect_right(taken, last_us)
    i -= i % 2
    while True:
        free_us = max(start_us, taken[i - 1]) if i else start_us
        busy_us = min(end_us, taken[i]) if i < len(taken) else end_us
        if free_us < busy_us:
            yield free_us, min(busy_us, last_us)
        if i == 0 or taken[i - 1] <= start_us:
            return
        i -= 2


def arrival_us(edge: Edge, parts: list[Part]) -> int:
    """When the last bit of all parts is received."""
    owlt_us = edge.segments.owlt_us
    return max([end_us + owlt_us[k] for k, _, end_us, _ in parts])


def _hop(edge: Edge, parts: list[Part]) -> Hop:
    contact = edge.segments.contact
    pieces = tuple([Piece(contact[k], start_us, end_us, bits) for k, start_us, end_us, bits in parts])
    return Hop(edge.source, edge.dest, parts[0][1], parts[-1][2], arrival_us(edge, parts), pieces, edge.id)
