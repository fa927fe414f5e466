"""All-reduce on trees: everything is added up on its way to one site, and the sum goes from there to all."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from orbital_train.schedule.collectives.plan import MOST_NODES, Collective, Move, Wanted
from orbital_train.schedule.gather import gather_by
from orbital_train.schedule.routes import Arrivals, Departures, earliest_arrivals, latest_departures

SAMPLE = 16  # nodes by which sites of a large fleet are compared
TRIED = 16  # sites for which the plan is made; of a large fleet a quarter of that


def tree(wanted: Wanted) -> Collective | None:
    """The plan at the site at which the last node has the sum first; None where some node reaches no site.

    The sum is complete as early as it can be: at the latest of the nodes' earliest arrivals. Towards that time every
    message leaves as late as it may, and is added up with those that come its way.
    """
    found = [(back, there, site) for site, since_us in _sites(wanted) for there, back in _at(wanted, site, since_us)]
    if not found:
        return None
    soonest_us = min(_last_us(wanted, back) for back, _, _ in found)
    plans = [_plan(wanted, *row) for row in found if _last_us(wanted, row[0]) == soonest_us]
    return min(plans, key=lambda plan: (plan.rank(), plan.site))


def _sites(wanted: Wanted) -> list[tuple[int, int]]:
    """Sites to try, and from when on at the earliest all can be there: the soonest first."""
    nodes = sorted(wanted.ready_us)
    sample = [nodes[k] for k in np.linspace(0, len(nodes) - 1, min(SAMPLE, len(nodes))).round().astype(int).tolist()]
    arrivals = [_arrivals(wanted, node) for node in sample]
    rows = []
    for site in wanted.sites:
        at_us = [found.arrival_us.get(site, math.inf) for found in arrivals]
        if site not in wanted.avoid and max(at_us) < math.inf:
            rows.append((int(max(at_us)), site))
    rows.sort()
    return [(site, at_us) for at_us, site in rows[: TRIED if len(nodes) <= MOST_NODES else TRIED // 4]]


def _arrivals(wanted: Wanted, node: int, until: Sequence[int] = ()) -> Arrivals:
    """Of the largest sum."""
    ready_us, bits = {node: wanted.ready_us[node]}, wanted.sum_bits(len(wanted.ready_us))
    return earliest_arrivals(wanted.network, wanted.bookings, ready_us, bits, until, wanted.avoid)


def _at(wanted: Wanted, site: int, since_us: int) -> list[tuple[Departures, Arrivals]]:
    """The way to a site and the way back; none where some node has none."""
    there = _there(wanted, site, since_us)
    if there is None:
        return []
    # Whatever goes there has arrived before anything goes back: the two never meet on an edge.
    source = {site: there.leave_us[site]}
    back = earliest_arrivals(wanted.network, wanted.bookings, source, wanted.message_bits, avoid=wanted.avoid)
    return [(there, back)] if all(node in back.arrival_us for node in wanted.ready_us) else []


def _there(wanted: Wanted, site: int, since_us: int) -> Departures | None:
    """Latest departures for the smallest deadline that all can meet.

    A departure is the inverse of an arrival: a node that would have to leave before it is ready cannot be there before
    its earliest arrival. So the deadline is put off to that of the worst such node until there is none.
    """
    deadline_us, ready_us, bits = since_us, wanted.ready_us, wanted.sum_bits(len(wanted.ready_us))
    while True:
        found = latest_departures(wanted.network, wanted.bookings, site, deadline_us, bits, avoid=wanted.avoid)
        late_us = {i: t - found.leave_us.get(i, -1) for i, t in ready_us.items() if found.leave_us.get(i, -1) < t}
        if not late_us:
            return found
        worst = max(late_us, key=lambda node: (late_us[node], -node))
        arrival_us = _arrivals(wanted, worst, (site,)).arrival_us.get(site)
        if arrival_us is None:
            return None
        assert arrival_us > deadline_us
        deadline_us = arrival_us


def _last_us(wanted: Wanted, back: Arrivals) -> int:
    return max(back.arrival_us[node] for node in wanted.ready_us)


def _plan(wanted: Wanted, back: Arrivals, there: Departures, site: int) -> Collective:
    nodes = sorted(wanted.ready_us)
    snapshots, legs = gather_by(there, site, there.leave_us[site], nodes, wanted.sum_bits)
    spread = back.branches(nodes)
    return Collective(
        name="tree",
        parts=1,
        site=site,
        snapshots=snapshots,
        moves=(*(Move(0, False, (hop,)) for hop in legs), *(Move(0, True, (hop,)) for hop in spread)),
        complete_us=tuple((node, back.arrival_us[node]) for node in nodes),
    )
