"""Plans for bringing many outer gradients to one site as one: sums are formed wherever messages meet.

A tree of latest departures towards the site is a plan of that kind: whatever reaches a node by its own latest departure
goes on in the node's one message. Each contact of the tree therefore carries one message, however many contribute.
Where sums grow with what is in them (:meth:`~orbital_train.schedule.workload.Workload.sum_bits`), the tree is planned
for the largest, and a message that turns out to be smaller leaves as much later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from orbital_train.schedule.network import Hop
from orbital_train.schedule.routes import Departures


def gather_by(
    departures: Departures, site: int, deadline_us: int, nodes: Iterable[int], sum_bits: Callable[[int], int]
) -> tuple[tuple[tuple[int, int], ...], tuple[Hop, ...]]:
    """When each of these nodes takes its outer gradient, and the legs by which the sum gets to the site in time.

    Args:
        departures: latest departures of the largest sum for arrival at ``site`` by ``deadline_us``.
        site: where the outer gradients meet.
        deadline_us: when; the site's own is taken then.
        nodes: whose; all can leave in time.
        sum_bits: size of a message by how many outer gradients are in it.
    """
    wanted = tuple(nodes)
    legs: dict[int, Hop] = {}
    for node in wanted:
        while node != site and node not in legs:
            legs[node] = departures.leg(node)
            node = legs[node].dest
    depth: dict[int, int] = {site: 0}
    for node in legs:
        _depth(node, legs, depth)
    holds = dict.fromkeys(legs, 0) | dict.fromkeys(wanted, 1)
    for node in sorted(legs, key=lambda node: -depth[node]):
        if (bits := sum_bits(holds[node])) < departures.bits:
            legs[node] = departures.leg(node, bits)
        holds[legs[node].dest] = holds.get(legs[node].dest, 0) + holds[node]
    # Messages that take no time leave at the same moment: those from farther away go first.
    order = sorted(legs, key=lambda node: (legs[node].start_us, -depth[node], node))
    # A node that passes on others' alone has none to take.
    snapshots = ((node, deadline_us if node == site else legs[node].start_us) for node in wanted)
    return tuple(snapshots), tuple(legs[node] for node in order)


def _depth(node: int, legs: dict[int, Hop], depth: dict[int, int]) -> None:
    """Note how many legs a node is from the site."""
    path = []
    while node not in depth:
        path.append(node)
        node = legs[node].dest
    depth |= {earlier: below for below, earlier in enumerate(reversed(path), start=depth[node] + 1)}
