"""All-reduces in parts as they are carried out: 0.81 s a quarter of a message, six stages on a ring of four."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orbital_train.schedule.faults import FaultPlan, LinkOutage, Outage
from orbital_train.schedule.ops.merging import Combine, Merge, Snapshot
from orbital_train.schedule.ops.nodes import Adopt
from orbital_train.schedule.policies.fixed_period import FixedPeriod
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.validate import validate
from orbital_train.schedule.values import part_of
from tests.unit.schedule.scenarios import WORKLOAD, ops, scenario

S = 1_000_000
RING = scenario(4, budget_steps=80)
BLOCKING = FixedPeriod(inner_steps=10)


def flown(**changes: object) -> Trace:
    fleet = replace(RING, **changes)
    trace = simulate(fleet, BLOCKING)
    validate(trace, fleet)
    return trace


def faulty(*faults: Outage | LinkOutage) -> Trace:
    outages = tuple(fault for fault in faults if isinstance(fault, Outage))
    return flown(faults=FaultPlan(outages=outages, link_outages=tuple(f for f in faults if isinstance(f, LinkOutage))))


def link_outage(a: int, b: int, start_s: float, end_s: float) -> LinkOutage:
    return LinkOutage(a=a, b=b, start_us=round(start_s * S), end_us=round(end_s * S), cause="link")


def reset(node: int, start_s: float, end_s: float) -> Outage:
    return Outage(node=node, start_us=round(start_s * S), end_us=round(end_s * S), loses_state=True, cause="reset")


def adopted(trace: Trace, version: int) -> dict[int, float]:
    return {op.node: op.end_us / S for op in ops(trace, Adopt) if op.version == version}


def test_all_have_the_sum_at_once_and_nothing_is_sent_back() -> None:
    trace = flown()
    first, second = ops(trace, Merge)
    assert (first.end_us, first.site, second.end_us) == (104_860_000, 1, 209_720_000)
    assert [part_of(value) for value in first.inputs] == [(k, 4) for k in range(4)]
    assert first.input_weights == (1 / 40,) * 4
    assert [(c.node, c.steps, c.weight) for c in first.contributions] == [(node, 10, 0.25) for node in range(4)]
    assert adopted(trace, 1) == dict.fromkeys(range(4), 104.86)
    assert len(trace.transfers) == 2 * 24
    assert {(t.end_us - t.start_us, t.bits) for t in trace.transfers} == {(800_000, 8_000_000)}
    assert not any(t.value.startswith("result/") for t in trace.transfers)
    # every part is summed along the ring, ending at a node of its own
    sums = [op for op in ops(trace, Combine) if op.end_us < 105 * S]
    assert len(sums) == 12
    assert sorted(op.site for op in sums if op.value in first.inputs) == [0, 1, 2, 3]


def test_a_message_that_is_lost_before_anybody_has_the_sum_ends_it() -> None:
    """The first part of node 1 to node 2 is lost, which node 1 misses at 100.82 s. It is begun again on the chain that
    is left."""
    trace = faulty(link_outage(1, 2, 100.3, 100.5))
    lost = [t for t in trace.transfers if t.lost]
    assert {(t.source, t.dest) for t in lost} == {(1, 2)}
    first = ops(trace, Merge)[0]
    after = [t for t in trace.transfers if 100_820_000 <= t.start_us < first.end_us]
    assert after
    assert {1, 2} not in [{t.source, t.dest} for t in after]
    assert first.end_us < 115 * S
    assert trace.merged_steps == 80
    snapshots = [op for op in ops(trace, Snapshot) if op.end_us < 110 * S]
    assert len(snapshots) == 4  # what is offered again is the same


def test_a_node_that_misses_a_part_when_others_have_all_asks_for_the_result() -> None:
    """In the last stage, from 104.05 s, node 3 is not heard by node 0: node 0 gets the result of the others later."""
    trace = faulty(link_outage(3, 0, 104.2, 104.4))
    first = ops(trace, Merge)[0]
    assert (first.site, first.end_us) == (1, 104_860_000)
    found = adopted(trace, 1)
    assert [found[node] for node in (1, 2, 3)] == [104.86] * 3
    assert found[0] > 108.0
    (result,) = [t for t in trace.transfers if t.value == "result/0@1"]
    assert (result.dest, result.bits) == (0, 32_000_000)


@pytest.mark.parametrize("start_s", [50.0, 100.0, 101.0, 103.0, 104.5, 104.9])
def test_it_begins_again_without_a_node_that_fails(start_s: float) -> None:
    trace = faulty(reset(2, start_s, start_s + 300.0))
    assert trace.merged_steps > 60
    first = ops(trace, Merge)[0]
    without = start_s < 104.05  # in the last stage others have all that they need of it
    assert sorted(c.node for c in first.contributions) == ([0, 1, 3] if without else [0, 1, 2, 3])
    back = [op for op in ops(trace, Adopt) if op.node == 2 and op.start_us > (start_s + 300) * S]
    assert back or trace.end_us < (start_s + 300) * S


def test_a_failure_that_nobody_notices_ends_the_round_by_its_lateness() -> None:
    """Node 2 is out for 0.3 s when its outer gradient should be taken."""
    trace = faulty(replace(reset(2, 99.9, 100.2), loses_state=False))
    assert ops(trace, Merge)
    assert trace.end_us < 400 * S


@pytest.mark.parametrize("partial_sums", ["encoded", "wide"])
def test_incomplete_sums_are_as_large_as_their_codec_says(partial_sums: str) -> None:
    workload = replace(WORKLOAD, codec="bf16", partial_sums=partial_sums)
    trace = flown(workload=workload)
    complete = {value for merge in ops(trace, Merge) for value in merge.inputs}
    found = {
        kind: {t.bits for t in trace.transfers if chosen(t.value)}
        for kind, chosen in {
            "own": lambda value: value.startswith("snap/"),
            "sum": lambda value: value.startswith("sum/") and value not in complete,
            "total": lambda value: value in complete,
        }.items()
    }
    wide = 2 if partial_sums == "wide" else 1
    assert found == {"own": {4_000_000}, "sum": {wide * 4_000_000}, "total": {4_000_000}}
    codecs = {op.value in complete: op.codec for op in ops(trace, Combine)}
    assert codecs == {True: "bf16", False: "fp32" if partial_sums == "wide" else "bf16"}
    # 1 + 2 x 2 stages of wide sums are 0.4 s longer each, which is all the difference
    stages_us = 6 * 410_000 + (2 * 400_000 if partial_sums == "wide" else 0)
    assert ops(trace, Merge)[0].end_us == 100 * S + stages_us


def test_contributions_that_have_to_stay_apart_go_to_one_site_and_are_all_waited_for() -> None:
    """On the ring of four to node 0, 3.21 s a hop; node 2's is the last, over two."""
    trace = simulate(RING, replace(BLOCKING, apart=True))
    validate(trace, RING)
    assert not ops(trace, Combine)
    first, _ = ops(trace, Merge)
    assert (first.site, [value.split("/")[0] for value in first.inputs]) == (0, ["snap"] * 4)
    assert first.end_us == 106_420_000
    assert trace.merged_steps == 80


def test_who_has_to_stay_apart_is_waited_for_through_faults() -> None:
    fleet = replace(RING, faults=FaultPlan(outages=(reset(2, 50.0, 350.0),)))
    trace = simulate(fleet, replace(BLOCKING, apart=True))
    validate(trace, fleet)
    assert trace.merged_steps > 60
    assert sorted(c.node for c in ops(trace, Merge)[0].contributions) == [0, 1, 3]
