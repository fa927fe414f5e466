"""Who can reach whom, and how soon: delays of a message over the contact plan, by earliest arrivals.

The delay from one node to another depends on when the message is ready. Arrivals never get earlier for a message that
is ready later, so the delay is longest just after a contact was missed: only those moments need to be tried.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from orbital_train.schedule.bookings import Bookings
from orbital_train.schedule.hops import last_hop
from orbital_train.schedule.network import Edge, Network
from orbital_train.schedule.routes import earliest_arrivals, latest_departures
from orbital_train.windows.plan import FloatArray

ALL_PAIRS = 100  # nodes up to which messages of all of them are followed
ALL_STARTS = 12  # nodes up to which every start time in the orbit is covered
_SAMPLE = 12  # nodes followed where there are more
_STARTS, _FEW_STARTS = 8, 4  # start times tried where there are more nodes, and where they are sampled, too


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Delays of one message from S of the nodes to all N; where source and destination are the same they are 0."""

    bits: int
    sources: tuple[int, ...]
    starts: int | None  # start times tried in one orbit, evenly; None where all were covered
    first_s: FloatArray  # (S, N) for a message that is ready at the start; inf: never before the horizon
    worst_s: FloatArray  # (S, N) longest for any start time in one orbit; inf: from some of them not before the horizon

    @property
    def pairs(self) -> np.ndarray:
        """Which entries are pairs of two nodes, (S, N)."""
        return np.asarray(np.array(self.sources)[:, None] != np.arange(self.first_s.shape[1]))


def find_reach(network: Network, bits: int, period_s: float) -> Reach:
    """Follow a message of this size from every node, or from an even sample of a large fleet.

    Args:
        network: the contacts.
        bits: size of the message.
        period_s: one orbit; start times within it, and before the horizon, are tried.
    """
    period_us = min(math.ceil(period_s * 1e6), network.horizon_us)
    sources = _evenly(network.nodes, network.nodes if network.nodes <= ALL_PAIRS else _SAMPLE)
    starts = None
    if network.nodes > ALL_STARTS:
        starts = _STARTS if network.nodes <= ALL_PAIRS else _FEW_STARTS
        tried = {source: [period_us * k // starts for k in range(starts)] for source in sources}
    else:
        tried = _critical_starts_us(network, bits, period_us)
    delays = [np.array([_delays_s(network, source, t_us, bits) for t_us in tried[source]]) for source in sources]
    return Reach(
        bits=bits,
        sources=sources,
        starts=starts,
        first_s=np.array([d[0] for d in delays]),
        worst_s=np.array([d.max(axis=0) for d in delays]),
    )


def _evenly(nodes: int, count: int) -> tuple[int, ...]:
    return tuple(int(i) for i in np.linspace(0, nodes - 1, count).round())


def _delays_s(network: Network, source: int, ready_us: int, bits: int) -> FloatArray:
    """From one node to all, (N,)."""
    delays_us = np.full(network.nodes, np.inf)
    arrivals_us = earliest_arrivals(network, Bookings(), {source: ready_us}, bits).arrival_us
    delays_us[list(arrivals_us)] = np.array(list(arrivals_us.values())) - ready_us
    return np.asarray(delays_us / 1e6)


def _critical_starts_us(network: Network, bits: int, period_us: int) -> dict[int, list[int]]:
    """For every node the start times of the longest delays in one orbit: 0, and those at which a contact is missed.

    A contact is missed as a whole when it ends, and with the end of a message when that does not fit any more. Both
    count: the end then follows in the next contact, which may be slower. A contact that opens only after every message
    of this orbit has arrived is missed by none of them.
    """
    nodes, free = range(network.nodes), Bookings()
    last_us = period_us + 1e6 * max(float(_delays_s(network, i, period_us, bits).max()) for i in nodes)
    starts_us: dict[int, set[int]] = {node: {0} for node in nodes}
    for source in nodes:
        missed_us = {t for edge in network.out[source].values() for t in _missed_us(edge, bits, last_us)}
        for leave_us in missed_us:
            for node, ready_us in latest_departures(network, free, source, leave_us, bits).leave_us.items():
                starts_us[node].update(t for t in (ready_us, ready_us + 1) if t < period_us)
    return {node: sorted(times) for node, times in starts_us.items()}


def _missed_us(edge: Edge, bits: int, last_us: float) -> Iterator[int]:
    """When each contact of an edge that opens by ``last_us`` ends, and when a message that ends with it must begin."""
    for start_us, end_us, owlt_us in edge.windows_us():
        if start_us <= last_us:
            yield end_us
            hop = last_hop(edge, Bookings(), end_us + owlt_us, bits)
            if hop is not None:
                yield hop.start_us
