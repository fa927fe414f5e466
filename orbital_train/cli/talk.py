"""Whether every node of a fleet can exchange messages with others; where one cannot, what would fit its best link."""

from __future__ import annotations

import math
from bisect import bisect_left

from orbital_train.errors import InputError
from orbital_train.schedule.bookings import Bookings
from orbital_train.schedule.hops import US_PER_S
from orbital_train.schedule.network import INFINITE_BPS, Edge, Network
from orbital_train.schedule.routes import earliest_arrivals, latest_departures
from orbital_train.schedule.scenario import Scenario


def check_talk(scenario: Scenario) -> None:
    """Every training node must be able to send a message to another one and to hear from another, at least once.

    A message is one of a fragment, where the model is synchronised in several.

    Raises:
        InputError: one cannot; its best link is named, and the largest message that would do.
    """
    nodes, bits = frozenset(scenario.training_nodes), scenario.workload.fragment_bits
    if len(nodes) == 1:
        return
    network = Network(scenario.contacts)
    for i in sorted(nodes):
        others = nodes - {i}
        if not _can_talk(network, i, others, bits):
            raise InputError(
                "links",
                scenario.contacts.node_names[i],
                f"can never talk to any other node of the fleet: {_why(scenario, network, i, others)}",
            )


def _can_talk(network: Network, node: int, others: frozenset[int], bits: int) -> bool:
    return _can_send(network, node, others, bits) and _can_hear(network, node, others, bits)


def _can_send(network: Network, node: int, others: frozenset[int], bits: int) -> bool:
    said = earliest_arrivals(network, Bookings(), {node: 0}, bits, others).arrival_us
    return not others.isdisjoint(said)


def _can_hear(network: Network, node: int, others: frozenset[int], bits: int) -> bool:
    heard = latest_departures(network, Bookings(), node, network.horizon_us, bits, others).leave_us
    return not others.isdisjoint(heard)


def _why(scenario: Scenario, network: Network, node: int, others: frozenset[int]) -> str:
    names, workload = scenario.contacts.node_names, scenario.workload
    out, into = network.out[node], network.into[node]
    if not out and not into:
        return "it has no contact at all within the horizon"
    if not _can_send(network, node, others, workload.fragment_bits):
        edges, to_or_from = out, "to"
    else:
        edges, to_or_from = into, "from"
    if not edges:
        return f"it has no contact {to_or_from} any node within the horizon"
    best = max(edges, key=lambda other: (_volume_bits(edges[other]), -other))
    link = f"its best link, {to_or_from} {names[best]}, carries {_gb(_volume_bits(edges[best]))} within the horizon"
    # The largest message that gets through, by whatever way, is found by halving.
    sizes = range(1, workload.fragment_bits)
    fits = bisect_left(sizes, True, key=lambda bits: not _can_talk(network, node, others, bits))
    what = "message" if workload.fragments == 1 else f"message of one of {workload.fragments} fragments"
    if not fits:
        return f"{link}, but nothing of any size gets through"
    per_parameter = fits * workload.fragments / workload.parameters
    return (
        f"a {what} is {_gb(workload.fragment_bits)}, and {link}; one of {_gb(fits)} would fit,"
        f" {_rounded_down(per_parameter):g} bits a parameter"
    )


def _volume_bits(edge: Edge) -> int:
    """What all windows of an edge carry; never infinite where something does not fit."""
    s, own = edge.segments, range(edge.first, edge.stop)
    assert all(s.rate_bps[k] != INFINITE_BPS for k in own), "a link without limit carries any message"
    return sum(s.rate_bps[k] * (s.end_us[k] - s.start_us[k]) // US_PER_S for k in own)


def _gb(bits: int) -> str:
    return f"{_rounded_down(bits / 8e9):g} GB"


def _rounded_down(value: float) -> float:
    """To three digits: what is said to fit does."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 2) if value else 1.0
    return math.floor(value / unit * (1 + 1e-12)) * unit
