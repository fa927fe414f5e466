"""Pairwise all-reduce by halving and doubling: log2 N stages in which pairs of nodes exchange halves of what each still
adds up, and log2 N stages back, in which they exchange what is complete.

Partners are at distances 1, 2, 4, ... in a chain of near neighbours, and the first exchange, of the largest halves, is
the nearest. Of a number of nodes that is no power of two the rest first give all that they have to one node each, and
get all back at the end (Thakur, Rabenseifner and Gropp, "Optimization of collective communication operations in MPICH",
2005). Exchanging all that a node has in each of log2 N stages (recursive doubling) would form every sum at many nodes
at once, and is later wherever messages take longer than light.
"""

from __future__ import annotations

from orbital_train.schedule.collectives.plan import MOST_NODES, Collective, Draft, Wanted
from orbital_train.schedule.routes import earliest_arrivals


def pairwise(wanted: Wanted, by_us: int) -> Collective | None:
    """The plan; None where it is not done by ``by_us``."""
    if not 2 <= len(wanted.ready_us) <= MOST_NODES:
        return None
    nodes = wanted.chain
    parts = 1 << (len(nodes).bit_length() - 1)
    draft = Draft(wanted, nodes, parts, by_us)
    rest = [(parts + k, k) for k in range(len(nodes) - parts)]
    everything = range(parts)
    done = (
        all(_send(wanted, draft, a, b, everything) for a, b in rest)
        and all(_halve(wanted, draft, distance) for distance in _distances(parts))
        and all(_double(wanted, draft, distance) for distance in reversed(_distances(parts)))
        and all(_send(wanted, draft, b, a, everything) for a, b in rest)
    )
    return draft.finished("pairwise") if done else None


def _distances(parts: int) -> list[int]:
    return [1 << k for k in range(parts.bit_length() - 1)]


def _halve(wanted: Wanted, draft: Draft, distance: int) -> bool:
    """Each node gives its partner the half that the partner goes on adding up: numbers alike in one more bit."""
    parts = len(draft.has_us[0])
    pairs = [(p, p ^ distance) for p in range(parts)]
    return all(_send(wanted, draft, p, q, range(q % (2 * distance), parts, 2 * distance)) for p, q in pairs)


def _double(wanted: Wanted, draft: Draft, distance: int) -> bool:
    """Each node gives its partner all that is complete at it."""
    parts = len(draft.has_us[0])
    pairs = [(p, p ^ distance) for p in range(parts)]
    return all(_send(wanted, draft, p, q, range(p % (2 * distance), parts, 2 * distance)) for p, q in pairs)


def _send(wanted: Wanted, draft: Draft, source: int, dest: int, parts: range) -> bool:
    """Send parts from one place to another, all along the way that is best for them together."""
    a, b = draft.nodes[source], draft.nodes[dest]
    ready_us = {a: max(draft.has_us[source][part] for part in parts)}
    bits = sum(draft.bits(source, part) for part in parts)
    found = earliest_arrivals(wanted.network, draft.bookings, ready_us, bits, (b,), wanted.avoid)
    route = found.route(b)
    if route is None:
        return False
    edges = [wanted.network.out[hop.source][hop.dest] for hop in route]
    return all(draft.move(edges, source, dest, part) for part in parts)
