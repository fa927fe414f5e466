"""Groups of nodes that are linked well among themselves: planes, clusters."""

from __future__ import annotations

import math

from orbital_train.schedule.network import INFINITE_BPS, Edge, Network

Groups = tuple[tuple[int, ...], ...]

STRONG = 0.5  # of what the best link of either end carries


def groups_of(network: Network, nodes: tuple[int, ...]) -> Groups:
    """The nodes in groups, each by its lowest node: those that strong links join, over however many.

    A link is strong if it carries, both ways and over the whole plan, at least half of what the best link of either of
    its ends does. A link that is seldom up, or slow, beside others that are not joins nothing. A node without links to
    others of these is a group of its own.
    """
    among = set(nodes)
    carried = {(i, j): _carried_bits(network, i, j) for i in nodes for j in network.out[i] if j in among and i < j}
    best = dict.fromkeys(nodes, 0.0)
    for (i, j), bits in carried.items():
        best[i], best[j] = max(best[i], bits), max(best[j], bits)
    root = {i: i for i in nodes}

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for (i, j), bits in carried.items():
        if bits > 0 and bits >= STRONG * max(best[i], best[j]):
            a, b = sorted((find(i), find(j)))
            root[b] = a
    found: dict[int, list[int]] = {}
    for i in sorted(nodes):
        found.setdefault(find(i), []).append(i)
    return tuple(tuple(group) for group in found.values())


def _carried_bits(network: Network, i: int, j: int) -> float:
    """Bits that a link can carry over the whole plan, the way it carries fewer."""
    back = network.out[j].get(i)
    return min(_edge_bits(network.out[i][j]), _edge_bits(back)) if back else 0.0


def _edge_bits(edge: Edge) -> float:
    s = edge.segments
    bits = 0.0
    for k in range(edge.first, edge.stop):
        rate_bps = math.inf if s.rate_bps[k] == INFINITE_BPS else s.rate_bps[k]
        bits += rate_bps * (s.end_us[k] - s.start_us[k]) / 1e6
    return bits
