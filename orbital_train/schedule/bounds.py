"""What any policy can merge in a scenario, at most: energy, the last departures, and what the links carry.

``docs/algorithms-bounds.md`` has the definitions and the proofs. In short:

- A step is trained before it is merged, and :mod:`orbital_train.schedule.most_training` bounds what energy allows.
- The global model is one. When its last version is made, some training node, the *place*, holds every version before
  it that was made at a training node. So each merged step of any other node has left that node, in a message with its
  outer gradient or with the version that it went into: it was trained before the node's last departure.
- Contributions to different versions are in different messages, also where sums are formed on the way. So a node makes
  no more of them than messages can pass the narrowest cut between it and the place; relays hold what arrives there.
- Where contributions hold H steps on average, steps are at most H times the contributions that the links allow.

Contributions are counted in whole models: one of a fragment is its share of one. Relaxed are: when messages are sent
and how long they take, that results come back, that links are shared by messages of several nodes, the energy of
sending, and faults.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from orbital_train.orbit.arrays import FloatArray, IntArray
from orbital_train.schedule.capacity import Capacity, narrowest_cuts, pair_capacity
from orbital_train.schedule.most_training import most_steps
from orbital_train.schedule.ops.merging import Merge
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.trace import Trace

MOST_CUT = 300  # nodes up to which cuts between all of them are found; above, only those around single nodes
_ROUNDING = 1e-9  # relative: H is itself a quotient of whole numbers

Term = Literal["energy", "last departure", "contributions", "no link"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What energy and links allow the M training nodes by some time."""

    nodes: tuple[int, ...]  # indices into the contact plan's nodes
    energy_steps: IntArray  # (M,) by the end
    departure_steps: IntArray  # (M,) by the last departure
    contributions: FloatArray  # (M, M) of whole models: the most of a node (column) that count for a place (row)
    own_contributions: FloatArray  # (M,) the same of a place itself, merged with those of others


@dataclass(frozen=True, kw_only=True)
class Bound:
    """An upper bound on merged steps of the fleet, and the place for which it is highest.

    Without mean inner steps it bounds every step that is merged; with them those that are merged with others
    (:func:`merged_with_others`).
    """

    mean_inner_steps: float | None  # of a contribution
    steps: int  # merged by the fleet, whatever the mean of each node
    even_steps: int  # the same where no node's own mean is above ``mean_inner_steps``
    place: int  # the training node at which the bound is reached
    nodes: tuple[int, ...]
    energy_steps: IntArray  # (M,) each node's own limits: by energy,
    departure_steps: IntArray  # by its last departure too; 0 where nothing can get from it to the place
    contributions: FloatArray  # most contributions of whole models; may be inf


def find_limits(scenario: Scenario, until_us: int | None = None) -> Limits:
    """What energy and links allow by ``until_us``, or by the horizon. The budget is not looked at."""
    until_us = scenario.horizon_us if until_us is None else until_us
    group = np.array(scenario.training_nodes)
    workload = scenario.workload
    capacity = pair_capacity(scenario.contacts, workload.fragment_bits, until_us)
    nodes = scenario.build_nodes()
    settings = [nodes[i].setting for i in scenario.training_nodes]
    energy = [most_steps(setting, until_us) for setting in settings]
    last_us = capacity.last_departure_us()[group].tolist()
    departure = [most_steps(setting, max(0, at_us)) for setting, at_us in zip(settings, last_us, strict=True)]
    contributions, to_relays = _contributions(capacity, group, max(1, *energy) * workload.fragments)
    return Limits(
        nodes=scenario.training_nodes,
        energy_steps=np.array(energy),
        departure_steps=np.minimum(departure, energy),
        contributions=contributions / workload.fragments,
        own_contributions=(capacity.arriving()[group] + to_relays) / workload.fragments,
    )


def _contributions(capacity: Capacity, group: IntArray, most: int) -> tuple[FloatArray, FloatArray]:
    """Messages of each training node (column) that can count for each place (row), and that can reach relays."""
    m, leaving = group.size, capacity.leaving()[group]
    relays = m < capacity.nodes
    if m > MOST_CUT:
        return np.broadcast_to(leaving, (m, m)), leaving * relays
    label = np.full(capacity.nodes, m)  # all relays are one
    label[group] = np.arange(m)
    cuts = narrowest_cuts(capacity, label, most)
    to_relays = cuts[:m, m] if relays else np.zeros(m)
    # What crosses neither of two cuts reaches neither the place nor the relays.
    return np.minimum(leaving, cuts[:m, :m] + to_relays), to_relays


def bound(limits: Limits, mean_inner_steps: float | None = None) -> Bound:
    """The most steps that any policy merges; where it is given, contributions hold ``mean_inner_steps`` on average."""
    places = [_at_place(limits, z, mean_inner_steps) for z in range(len(limits.nodes))]
    totals = [total for total, _, _, _ in places]
    best = int(np.argmax(totals))
    _, _, departure, contributions = places[best]
    return Bound(
        mean_inner_steps=mean_inner_steps,
        steps=totals[best],
        even_steps=max(even for _, even, _, _ in places),
        place=limits.nodes[best],
        nodes=limits.nodes,
        energy_steps=limits.energy_steps,
        departure_steps=departure,
        contributions=contributions,
    )


def bound_of_pairs(limits: Limits) -> int:
    """The same in gossip, which has no one model: every merged step has left its node for some other one."""
    return int(limits.departure_steps.sum())


def most_merged(limits: Limits, trace: Trace) -> int:
    """The bound that is for a trace's policy."""
    return bound_of_pairs(limits) if trace.own else bound(limits).steps


def _at_place(limits: Limits, z: int, mean: float | None) -> tuple[int, int, IntArray, FloatArray]:
    """Steps for any means and for even ones; steps and contributions of each node, (M,)."""
    contributions = limits.contributions[z].copy()
    contributions[z] = limits.own_contributions[z]
    steps = np.where(contributions > 0, limits.departure_steps, 0)
    steps[z] = limits.energy_steps[z]
    if mean is None:
        return int(steps.sum()), int(steps.sum()), steps, contributions
    carried = np.minimum(contributions, steps)  # a contribution holds a step at least
    total = min(int(steps.sum()), _whole(mean * float(carried.sum())))
    even = _whole(float(np.minimum(steps, mean * carried).sum()))
    return total, even, steps, contributions


def _whole(value: float) -> int:
    return math.floor(value * (1.0 + _ROUNDING))


def binding_terms(found: Bound) -> tuple[Term, ...]:
    """Which term limits each training node, in the order of ``found.nodes``."""
    return tuple(_term(found, i) for i in range(len(found.nodes)))


def _term(found: Bound, i: int) -> Term:
    steps, contributions = int(found.departure_steps[i]), float(found.contributions[i])
    if contributions == 0 and found.nodes[i] != found.place:
        return "no link"
    if found.mean_inner_steps is not None and found.mean_inner_steps * contributions < steps:
        return "contributions"
    return "energy" if steps == found.energy_steps[i] else "last departure"


def merged_with_others(trace: Trace) -> tuple[int, float | None]:
    """Whole steps that were merged, and how many a contribution held, but for merges of a node's own at its own place.

    Such a merge needs no link, and nobody learns from anybody: it only cuts a node's training into pieces. The mean is
    None where no other merge was made, and where nodes are in groups: a group's one message brings steps of all.
    """
    if trace.grouped:
        return trace.merged_steps, None
    with_others = [[c for c in merge.contributions if c.steps] for merge in trace.of_kind(Merge) if not _alone(merge)]
    steps, contributions = sum(c.steps for row in with_others for c in row), sum(map(len, with_others))
    return steps // trace.fragments, steps / contributions if contributions else None


def _alone(merge: Merge) -> bool:
    return {c.node for c in merge.contributions if c.steps} <= {merge.site}


def ceiling(limit: float, baseline: float) -> float:
    """How many times as much as a baseline anything can merge; inf where it merges nothing."""
    return limit / baseline if baseline > 0 else math.inf


def gap_closed(limit: float, baseline: float, ours: float) -> float | None:
    """The share of the gap between a baseline and the bound that ours closes; None where there is no gap."""
    return (ours - baseline) / (limit - baseline) if limit > baseline else None
