"""Who can reach whom, and how soon: delays of a message over the contact plan, by earliest arrivals.

The delay from one node to another depends on when the message is ready. Arrivals never get earlier for a message that
is ready later, so the delay is longest just after a contact was missed: only those moments need to be tried.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from orbital_train.schedule.network import Bookings, Network, earliest_arrivals, latest_departures
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
    delays_us[source] = 0.0
    for dest, route in earliest_arrivals(network, Bookings(), source, ready_us, bits).items():
        delays_us[dest] = route[-1].arrival_us - ready_us
    return np.asarray(delays_us / 1e6)


def _critical_starts_us(network: Network, bits: int, period_us: int) -> dict[int, list[int]]:
    """For every node the start times of the longest delays in one orbit: 0, and right after each missed contact.

    A contact that opens only after every message of this orbit has arrived is missed by none of them.
    """
    nodes, free = range(network.nodes), Bookings()
    last_us = period_us + 1e6 * max(float(_delays_s(network, i, period_us, bits).max()) for i in nodes)
    starts_us: dict[int, set[int]] = {node: {0} for node in nodes}
    for source in nodes:
        contacts = [c for edges in network.out[source].values() for c in edges.contacts if c.start_us <= last_us]
        fits = (free.last_fit(contact, network.horizon_us + contact.owlt_us, bits) for contact in contacts)
        for leave_us in {fit[0] for fit in fits if fit is not None}:
            for node, ready_us in latest_departures(network, free, source, leave_us, bits).items():
                if ready_us + 1 < period_us:
                    starts_us[node].add(ready_us + 1)
    return {node: sorted(times) for node, times in starts_us.items()}
