"""A model that is synchronised in fragments: what is sent, counted and adopted of each on its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orbital_train.schedule.known import Decision, Gather, Gathered, Hold, MergeNow, Send, Train
from orbital_train.schedule.measures import measure
from orbital_train.schedule.ops.merging import Merge, Snapshot
from orbital_train.schedule.ops.nodes import Adopt, Step
from orbital_train.schedule.ops.run import Evaluate
from orbital_train.schedule.policies.link_aware import LinkAware
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.validate import validate
from tests.unit.schedule.scenarios import WORKLOAD, ops, rolling_night, scenario
from tests.unit.schedule.scripted import Scripted

S = 1_000_000
END_S = 1000.0


def pair(fragments: int, budget_steps: int = 1000) -> Scenario:
    """Two nodes, ten seconds a step; the whole model takes a second on their link."""
    fleet = scenario(2, windows=[(0, 1, 0.0, END_S)], horizon_s=END_S, rate_bps=32e6, owlt_s=0.0, power=None)
    work = replace(WORKLOAD, fragments=fragments)
    return replace(fleet, workload=work, budget_steps=budget_steps, evaluate_every_steps=1)


def contribute(*nodes: int, fragment: int) -> list[Send]:
    return [Send((node, fragment), node, fragment, 0) for node in nodes]


def merge(*nodes: int, fragment: int) -> list[MergeNow]:
    return [MergeNow(fragment, tuple((node, fragment) for node in nodes))]


def run(fleet: Scenario, policy: object) -> Trace:
    """The trace, checked."""
    trace = simulate(fleet, policy)  # type: ignore[arg-type]
    validate(trace, fleet)
    return trace


def test_a_fragment_is_its_share_of_the_message_in_whole_bits() -> None:
    at_s = {100.0: contribute(1, fragment=2), 110.0: merge(1, fragment=2)}
    trace = run(pair(3), Scripted(at_s=at_s))
    assert [(t.value, t.bits, t.end_us - t.start_us) for t in trace.transfers] == [
        ("snap/1/2@1", 10_666_667, 333_334),
        ("result/2@1", 10_666_667, 333_334),
    ]
    assert (trace.fragments, trace.message_bits) == (3, 32_000_000)


def test_outer_gradients_of_one_moment_are_taken_fragment_by_fragment() -> None:
    """Whatever their nodes are called, and whatever was planned first."""
    at_us = 100 * S
    plans: list[Decision] = [Gather((f,), f, node, ((node, at_us),), ()) for f, node in ((1, 0), (0, 1))]
    trace = simulate(pair(2), Scripted(at_s={0.0: plans}))
    assert [(op.fragment, op.node) for op in ops(trace, Snapshot)] == [(0, 1), (1, 0)]


def test_a_step_counts_once_all_its_fragments_are_merged() -> None:
    """A part of a step is a third of it here: 10 steps of one fragment are 3 whole ones, of two fragments 6."""
    at_s = {
        100.0: [send for fragment in range(3) for send in contribute(1, fragment=fragment)],
        110.0: merge(1, fragment=1),
        120.0: merge(1, fragment=0),
        130.0: merge(1, fragment=2),
    }
    trace = run(pair(3), Scripted(at_s=at_s))
    assert [(e.start_us, e.versions, e.merged_steps, e.merged_tokens) for e in ops(trace, Evaluate)] == [
        (0, (0, 0, 0), 0, 0),
        (110 * S, (0, 1, 0), 3, 3000),
        (120 * S, (1, 1, 0), 6, 6000),
        (130 * S, (1, 1, 1), 10, 10_000),
    ]
    assert trace.merged_steps == 10
    assert measure(trace).lost_steps == 190


def test_parts_of_steps_that_make_no_whole_one_are_not_counted() -> None:
    at_s = {20.0: contribute(1, fragment=0), 30.0: merge(1, fragment=0)}
    trace = run(pair(3), Scripted(at_s=at_s))
    assert ops(trace, Merge)[0].contributions[0].steps == 2
    assert (trace.merged_steps, len(ops(trace, Evaluate))) == (0, 1)


def test_a_fragment_is_adopted_on_its_own_and_keeps_what_was_trained_since_its_own_snapshot() -> None:
    at_s = {
        50.0: contribute(1, fragment=0),
        80.0: contribute(1, fragment=1),
        100.0: merge(1, fragment=1),
        200.0: merge(1, fragment=0),
    }
    trace = run(pair(2), Scripted(at_s=at_s))
    of_0, of_1 = ops(trace, Snapshot)
    assert [(s.fragment, s.base_version, s.steps) for s in (of_0, of_1)] == [(0, 0, 5), (1, 0, 8)]
    adopted = [(a.fragment, a.base_version, a.version, a.since_snapshot) for a in ops(trace, Adopt) if a.node == 1]
    assert adopted == [(1, 0, 1, of_1.value), (0, 0, 1, of_0.value)]
    assert [a.start_us for a in ops(trace, Adopt) if a.node == 1] == [110 * S, 210 * S]


def test_staleness_counts_versions_of_the_same_fragment() -> None:
    """Node 1 has the second version of fragment 0, and none of fragment 1, of which one was made."""
    at_s = {
        50.0: [*contribute(0, fragment=0), *merge(0, fragment=0)],
        90.0: [*contribute(0, fragment=0), *merge(0, fragment=0)],
        100.0: [*contribute(0, fragment=1), *contribute(1, fragment=1), *merge(0, fragment=1)],
        150.0: contribute(1, fragment=0),
    }
    arrived = {Gathered((1, 1)): merge(1, fragment=1), Gathered((1, 0)): merge(1, fragment=0)}
    trace = run(pair(2), Scripted(at_s=at_s, on=arrived))
    found = [(c.node, m.fragment, c.staleness) for m in ops(trace, Merge) for c in m.contributions]
    assert found == [(0, 0, 0), (0, 0, 0), (0, 1, 0), (1, 1, 1), (1, 0, 0)]


def test_learning_rate_progress_is_the_mean_over_the_fragments() -> None:
    """Of node 0's step 10, after 15 of the 100 steps were merged in fragment 0, and 2 x 10 are taken for fragment 1."""
    at_s = {
        50.0: contribute(1, fragment=0),
        100.0: [*contribute(0, fragment=0), *merge(0, 1, fragment=0)],
    }
    steps = [op for op in ops(run(pair(2, budget_steps=100), Scripted(at_s=at_s)), Step) if op.node == 0]
    assert (steps[0].first, steps[0].lr_progress) == (0, 0.0)
    assert (steps[1].first, steps[1].start_us) == (10, 100 * S)
    assert steps[1].lr_progress == pytest.approx((0.15 + 0.20) / 2)
    assert steps[1].lr_progress_per_step == pytest.approx(0.02)


@pytest.mark.parametrize("adopt", ["keep", "replace"])
@pytest.mark.parametrize("fragments", [1, 2, 5])
def test_link_aware_brings_every_fragment_of_the_budget_home(fragments: int, adopt: str) -> None:
    fleet = scenario(4, dark=rolling_night(4, 20_000.0), budget_steps=1237)
    fleet = replace(fleet, workload=replace(WORKLOAD, fragments=fragments))
    trace = run(fleet, LinkAware(min_inner_steps=20, adopt=adopt))  # type: ignore[arg-type]
    brought = [0] * fragments
    for made in ops(trace, Merge):
        brought[made.fragment] += sum(c.steps for c in made.contributions)
    if adopt == "keep":
        assert brought == [1237] * fragments
    assert trace.merged_steps == sum(brought) // fragments
    assert trace.end_us < fleet.horizon_us


def test_a_node_that_is_told_to_wait_adopts_at_once_what_came_within_the_step() -> None:
    """Version 1 comes at 103 s; the node is stopped at 105 s, and is in a step that ends at 117 s when it goes on."""
    at_s = {
        100.0: contribute(1, fragment=0),
        102.5: merge(1, fragment=0),
        105.0: [Hold(1)],
        107.0: [Train(1)],
    }
    trace = run(pair(2), Scripted(at_s=at_s))
    assert [a.start_us for a in ops(trace, Adopt) if a.node == 1] == [105 * S]
