"""What quorum promises: merges when K of M have come and a grace window is over; late ones are in the next merge."""

from __future__ import annotations

from dataclasses import replace

from orbital_train.schedule.faults import FaultPlan, Outage, SlowDown
from orbital_train.schedule.ops.merging import Merge, Snapshot
from orbital_train.schedule.ops.nodes import Adopt, Step
from orbital_train.schedule.policies.quorum import Quorum
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.validate import validate
from tests.unit.schedule.scenarios import rolling_night, scenario

S = 1_000_000
STAR = [(i, 4, 0.0, 20_000.0) for i in range(4)]  # four nodes around site 4
QUORUM = Quorum(inner_steps=20, quorum=3, site=4, grace=0.0)


def star(**given: object) -> Scenario:
    return scenario(**{"nodes": 5, "windows": STAR, "training_nodes": (0, 1, 2, 3), "budget_steps": 1200, **given})  # type: ignore[arg-type]


def slowed(*factors: float) -> Scenario:
    """Steps of the nodes take so many times as long."""
    slow = (SlowDown(node=i, start_us=0, end_us=20_000 * S, factor=factor) for i, factor in enumerate(factors))
    return replace(star(), faults=FaultPlan(slow_downs=tuple(slow)))


def flown(fleet: Scenario, policy: Quorum = QUORUM) -> Trace:
    trace = simulate(fleet, policy)
    validate(trace, fleet)
    return trace


def last_step_us(trace: Trace) -> int:
    return max(op.end_us for op in trace.of_kind(Step))


def arrivals_us(trace: Trace) -> dict[str, int]:
    return {t.value: t.arrival_us for t in trace.transfers if t.dest == 4}


def test_a_merge_takes_place_when_the_quorum_is_there_and_nobody_waits() -> None:
    trace = flown(slowed(1.0, 1.0, 1.0, 1.5))
    come_us = arrivals_us(trace)
    early = [m for m in trace.of_kind(Merge) if m.end_us < last_step_us(trace)]
    assert len(early) > 10
    for merge in early:
        times_us = sorted(come_us[c.snapshot] for c in merge.contributions)
        assert len(times_us) >= 3
        assert merge.end_us == times_us[-1]
    assert trace.merged_steps == 1200
    drain_us = trace.end_us - last_step_us(trace)
    assert all(account.waiting_us <= drain_us + 15 * S for account in trace.accounts[:4])


def test_who_comes_late_is_in_the_next_merge_and_stale() -> None:
    """Messages take 32 s; node 3 sends its own 20 s after the others, before it has heard of their merge."""
    trace = flown(replace(star(rate_bps=1e6), faults=slowed(1.0, 1.0, 1.0, 1.1).faults))
    first, second = list(trace.of_kind(Merge))[:2]
    assert sorted(c.node for c in first.contributions) == [0, 1, 2]
    assert {c.node: c.staleness for c in second.contributions} == {0: 0, 1: 0, 2: 0, 3: 1}


def test_where_all_come_together_all_are_in_one_merge() -> None:
    trace = flown(star(), replace(QUORUM, quorum=1))
    early = [m for m in trace.of_kind(Merge) if m.end_us < last_step_us(trace)]
    assert {len(m.contributions) for m in early} == {4}


def test_the_grace_window_is_a_share_of_the_usual_spread_and_at_most_a_round() -> None:
    """Nodes 2 and 3 take 1.2 and 1.4 times as long: contributions come 200, 240 and 280 s after the start."""
    fleet = slowed(1.0, 1.0, 1.2, 1.4)
    for grace, waits_s in ((0.0, 0.0), (0.5, 20.0), (0.9, 36.0)):
        trace = flown(fleet, replace(QUORUM, grace=grace))
        come_us = arrivals_us(trace)
        merge = next(trace.of_kind(Merge))
        last_us = max(come_us[c.snapshot] for c in merge.contributions)
        assert len(merge.contributions) == 3
        assert merge.end_us - last_us == waits_s * S
    patient = next(flown(fleet, replace(QUORUM, grace=1.0)).of_kind(Merge))
    assert len(patient.contributions) == 4, "40 s after the third comes the fourth"
    endless = flown(fleet, replace(QUORUM, quorum=2, grace=1e9))
    assert next(endless.of_kind(Merge)).end_us <= 1_000 * S


def test_nodes_that_are_known_to_be_down_do_not_count() -> None:
    outages = tuple(Outage(node=i, start_us=100 * S, end_us=None, loses_state=True, cause="radiation") for i in (2, 3))
    trace = flown(replace(star(budget_steps=600), faults=FaultPlan(outages=outages)))
    merges = list(trace.of_kind(Merge))
    assert {c.node for m in merges for c in m.contributions} == {0, 1}
    assert len(merges) > 5


def test_all_adopt_every_version_and_keep_what_they_have_trained() -> None:
    trace = flown(star(dark=rolling_night(4, 20_000.0)), replace(QUORUM, quorum=2, grace=0.5))
    versions = {m.to_version for m in trace.of_kind(Merge) if m.end_us < last_step_us(trace) - 60 * S}
    for node in range(4):
        assert versions <= {op.version for op in trace.of_kind(Adopt) if op.node == node}
    assert {op.mode for op in trace.of_kind(Adopt)} == {"keep"}


def test_a_site_that_alone_holds_the_model_sends_its_parameters() -> None:
    trace = flown(star(), replace(QUORUM, home=(4,)))
    assert trace.merged_steps == 1200
    assert {op.codec for op in trace.of_kind(Adopt)} == {"bf16"}


def test_contributions_on_their_way_to_a_site_that_fails_are_refused_and_sent_elsewhere() -> None:
    lost = FaultPlan(outages=(Outage(node=0, start_us=500 * S, end_us=None, loses_state=True, cause="radiation"),))
    trace = flown(replace(scenario(4, budget_steps=1200), faults=lost), replace(QUORUM, site=0))
    assert {m.site for m in trace.of_kind(Merge)} == {0, 1}
    done = {op.node: sum(o.steps for o in trace.of_kind(Snapshot) if o.node == op.node) for op in trace.of_kind(Step)}
    assert set(done) == {0, 1, 2, 3}
    assert trace.merged_steps > 1100


def test_what_waits_for_a_quorum_when_the_run_ends_is_merged_without_one() -> None:
    """Two of four have contributed and train on; the others never get that far."""
    fleet = replace(slowed(1.0, 1.5, 1000.0, 1000.0), budget_steps=52)
    trace = flown(fleet)
    assert trace.merged_steps == 52
    assert trace.end_us < 400 * S
