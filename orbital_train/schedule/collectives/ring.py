"""Ring all-reduce: N parts go round a ring of N nodes in 2 (N - 1) stages, first added up on the way, then complete.

Every link of the ring carries one part in each stage, so that 2 (N - 1) / N messages go over each, however many nodes
there are (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", 2009).
"""

from __future__ import annotations

from collections.abc import Mapping

from orbital_train.schedule.collectives.plan import MOST_NODES, Collective, Draft, Wanted
from orbital_train.schedule.hops import first_hop

LOOKS = 50  # at places of each node in the search for a ring; beyond that there is none to be found


def ring(wanted: Wanted, by_us: int) -> Collective | None:
    """The plan on a ring of direct contacts; None where no ring is found on which all is done by ``by_us``."""
    count = len(wanted.ready_us)
    order = _order(wanted, by_us) if 2 <= count <= MOST_NODES else None
    if order is None:
        return None
    draft = Draft(wanted, order, count, by_us)
    edges = [(wanted.network.out[order[p - 1]][order[p]],) for p in range(count)]
    for stage in range(2 * count - 2):
        for p in range(count):
            if not draft.move(edges[(p + 1) % count], p, (p + 1) % count, (p - stage) % count):
                return None
    return draft.finished("ring")


def _order(wanted: Wanted, by_us: int) -> list[int] | None:
    """Nodes in an order in which each can soon send to the next, and the last to the first.

    Links are taken by how soon they carry a part of the message: those that are soonest first, and then up to twice as
    late again and again, until there is a ring.
    """
    delay_us = _delays_us(wanted)
    # Each node needs a link out and one in, and where there are more than two nodes not from the same one.
    need = min(2, len(delay_us) - 1)
    if any(len(to) < need for to in delay_us.values()):
        return None
    within_us = max(sorted(to.values())[need - 1] for to in delay_us.values())
    patience_us = by_us - min(wanted.ready_us.values())
    while within_us <= patience_us:
        joined = {a: {b: t for b, t in to.items() if t <= within_us} for a, to in delay_us.items()}
        order = _closed_path(joined, wanted.chain[0])
        if order is not None or within_us >= max(max(to.values()) for to in delay_us.values()):
            return order
        within_us = max(2 * within_us, 1)
    return None


def _delays_us(wanted: Wanted) -> dict[int, dict[int, int]]:
    """How long a part takes from each node that is ready to each other that it has a link to."""
    bits = -(-wanted.message_bits // len(wanted.ready_us))
    delay_us: dict[int, dict[int, int]] = {}
    for node, ready_us in sorted(wanted.ready_us.items()):
        delay_us[node] = {}
        for dest, edge in sorted(wanted.network.out[node].items()):
            hop = first_hop(edge, wanted.bookings, ready_us, bits) if dest in wanted.ready_us else None
            if hop is not None:
                delay_us[node][dest] = hop.arrival_us - ready_us
    return delay_us


def _closed_path(joined: Mapping[int, Mapping[int, int]], first: int) -> list[int] | None:
    """A ring through all nodes, by depth-first search; None if there is none, or none is found soon.

    The next node is the one with the fewest ways on (Warnsdorff's rule), then of the shortest delay.
    """
    path, left = [first], LOOKS * len(joined)
    choices = [_next(joined, path)]
    while choices and left:
        left -= 1
        if not choices[-1]:
            choices.pop()
            path.pop()
            continue
        path.append(choices[-1].pop())
        if len(path) == len(joined) and first in joined[path[-1]]:
            return path
        choices.append(_next(joined, path))
    return None


def _next(joined: Mapping[int, Mapping[int, int]], path: list[int]) -> list[int]:
    """Nodes that a path can go on to, the best last."""
    seen, here = set(path), joined[path[-1]]
    ways = {node: sum(b not in seen for b in joined[node]) for node in here if node not in seen}
    return sorted(ways, key=lambda node: (ways[node], here[node], node), reverse=True)
