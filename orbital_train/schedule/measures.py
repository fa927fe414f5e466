"""What a trace amounts to: the figures by which policies are compared. All counted from its operations."""

from __future__ import annotations

from dataclasses import dataclass

from orbital_train.schedule.losses import fault_lost_steps
from orbital_train.schedule.ops.merging import Merge, Mix
from orbital_train.schedule.power import US_PER_H
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.values import GLOBAL


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Duty and goodput have the same denominator for every policy: see DESIGN terms in ``docs/architecture.md``."""

    simulated_s: float
    budget_steps: int
    merged_steps: int
    trained_steps: int
    lost_steps: int  # trained and never merged
    fault_lost_steps: int  # of these, what failures cost
    merged_tokens_per_h: float  # of simulated time
    duty: float  # steps that energy allows / steps in constant sunlight
    goodput: float  # merged steps / steps that energy allows
    merges: int  # in gossip: of one node's slow weights with another's; the other's steps are the contribution
    # Of contributions of nodes; where there are groups, those to their groups' models.
    mean_inner_steps: float | None  # of a contribution; None where nothing was merged
    mean_staleness: float | None
    max_staleness: int | None
    mean_contributors: float
    link_bytes: float  # over all hops, of the flown model
    lost_transfers: int  # that did not get through
    training_fraction: float  # of the nodes' time
    waiting_fraction: float
    no_energy_fraction: float
    down_fraction: float
    restoring_fraction: float  # up again, without a model
    unserved_wh: float  # essential loads that no energy was left for


def measure(trace: Trace) -> Measures:
    """Count a trace."""
    nodes = [account for account in trace.accounts if account.trains]
    allowed = sum(a.steps_allowed for a in nodes)
    powered = sum(a.steps_always_powered for a in nodes)
    trained = sum(a.steps for a in nodes)
    merges: list[Merge] = list(trace.of_kind(Merge))
    mixes: list[Mix] = list(trace.of_kind(Mix))
    of_nodes = [merge for merge in merges if merge.scope != GLOBAL] if trace.grouped else merges
    merged = [c for merge in of_nodes for c in merge.contributions]
    taken_in = [c for mix in mixes for c in mix.contributions if c.node != mix.node]
    contributions = [c for c in (*merged, *taken_in) if c.weight]
    time_us = max(1, trace.end_us * len(nodes))
    return Measures(
        simulated_s=trace.end_us / 1e6,
        budget_steps=trace.budget_steps,
        merged_steps=trace.merged_steps,
        trained_steps=trained,
        lost_steps=trained - trace.merged_steps,
        fault_lost_steps=fault_lost_steps(trace),
        merged_tokens_per_h=trace.merged_steps * trace.tokens_per_step / max(1, trace.end_us) * US_PER_H,
        duty=allowed / max(1, powered),
        goodput=trace.merged_steps / max(1, allowed),
        merges=len(merges) + len(mixes),
        mean_inner_steps=_mean([c.steps for c in contributions]),
        mean_staleness=_mean([c.staleness for c in contributions]),
        max_staleness=max((c.staleness for c in contributions), default=None),
        mean_contributors=len(contributions) / max(1, len(of_nodes) + len(mixes)),
        link_bytes=sum(t.bits for t in trace.transfers) / 8,
        lost_transfers=sum(t.lost for t in trace.transfers),
        training_fraction=sum(a.training_us for a in nodes) / time_us,
        waiting_fraction=sum(a.waiting_us for a in nodes) / time_us,
        no_energy_fraction=sum(a.no_energy_us for a in nodes) / time_us,
        down_fraction=sum(a.down_us for a in nodes) / time_us,
        restoring_fraction=sum(a.restoring_us for a in nodes) / time_us,
        unserved_wh=sum(a.unserved_wh for a in nodes),
    )


def _mean(values: list[int]) -> float | None:
    return sum(values) / len(values) if values else None
