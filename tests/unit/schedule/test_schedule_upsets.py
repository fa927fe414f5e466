"""Bit flips in the fault plan and in the trace: how many, of what, and what they cost."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from orbital_train.schedule.fault_draw import YEAR_S, FaultSpec, draw_faults
from orbital_train.schedule.faults import BitFlip, FaultPlan, FlipTarget, LinkOutage, Outage
from orbital_train.schedule.ops.merging import Merge, Snapshot
from orbital_train.schedule.ops.nodes import Restore, Step, Upset
from orbital_train.schedule.policies.fixed_period import FixedPeriod
from orbital_train.schedule.policies.link_aware import LinkAware
from orbital_train.schedule.radiation import Radiation
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.validate import TraceError, validate
from tests.unit.schedule.scenarios import contacts, ring, scenario, sent

S = 1_000_000
DAY_S = 86_400.0
NODES = 400


def flip(node: int, at_s: float, target: FlipTarget, place: float = 0.5, bit: int = 30) -> BitFlip:
    return BitFlip(node=node, at_us=round(at_s * S), target=target, place=place, bit=bit)


def flown(fleet: Scenario, *flips: BitFlip, outages: tuple[Outage, ...] = (), steps: int = 20) -> Trace:
    """Rounds of so many steps of 10 s; a message takes 3.2 s a hop."""
    failing = replace(fleet, faults=FaultPlan(bit_flips=flips, outages=outages))
    trace = simulate(failing, FixedPeriod(inner_steps=steps, site=0))
    validate(trace, failing)
    return trace


def chain() -> Scenario:
    """Nodes 0 and 2 send to node 1, where all is merged, and are sent the result."""
    return scenario(3, windows=[(0, 1, 0.0, 20_000.0), (1, 2, 0.0, 20_000.0)], budget_steps=120)


def upsets(trace: Trace) -> list[tuple[float, int, str, str]]:
    return [(op.end_us / S, op.node, op.target, op.value) for op in trace.of_kind(Upset)]


# -- draws ---


def drawn(nodes: int = NODES, horizon_s: float = DAY_S, seed: int = 0, radiation: Radiation | None = None) -> FaultPlan:
    spec = FaultSpec(seed=seed, flips_per_s={"parameters": 20 / DAY_S, "message": 5 / DAY_S})
    return draw_faults(spec, contacts(nodes, ring(nodes, horizon_s), horizon_s, 1e6, 0.0), nodes, radiation)


def test_flips_come_at_their_rates_anywhere_and_at_any_time() -> None:
    flips = drawn().bit_flips
    for target, mean in {"parameters": 20, "message": 5}.items():
        count = sum(f.target == target for f in flips)
        assert abs(count - mean * NODES) < 3 * math.sqrt(mean * NODES)
    n = len(flips)
    assert abs(np.mean([f.place for f in flips]) - 0.5) < 3 * math.sqrt(1 / 12 / n)
    assert abs(np.mean([f.at_us / S for f in flips]) - DAY_S / 2) < 3 * DAY_S * math.sqrt(1 / 12 / n)
    bits = Counter(f.bit for f in flips)
    assert bits.keys() == set(range(32))
    assert all(abs(count - n / 32) < 4 * math.sqrt(n / 32) for count in bits.values())


def test_flips_are_those_of_a_seed_and_a_name() -> None:
    plan = drawn(3)
    assert plan == drawn(3)
    assert plan != drawn(3, seed=1)
    assert [f for f in drawn(5).bit_flips if f.node < 3] == list(plan.bit_flips)
    assert [f for f in drawn(3, 3 * DAY_S).bit_flips if f.at_us < DAY_S * S] == list(plan.bit_flips)


def test_radiation_stretches_and_squeezes_time() -> None:
    """Three times as many in the second quarter of the day, none in the last, as if nothing else were different."""
    edge_s = np.linspace(0.0, DAY_S, 5)
    radiation = Radiation(edge_s=edge_s, factor=np.tile([1.0, 3.0, 1.0, 0.0], (NODES, 1)))
    flips = [f for f in drawn(radiation=radiation).bit_flips if f.target == "parameters"]
    counts = np.histogram([f.at_us / S for f in flips], edge_s)[0]
    for count, factor in zip(counts, (1, 3, 1, 0), strict=True):
        assert abs(count - 5 * factor * NODES) <= 3 * math.sqrt(5 * factor * NODES)
    even = Radiation(edge_s=edge_s, factor=np.ones((NODES, 4)))
    pairs = zip(drawn(radiation=even).bit_flips, drawn().bit_flips, strict=True)
    assert all(abs(a.at_us - b.at_us) <= 1 for a, b in pairs)


def test_what_is_a_stress_test() -> None:
    spec = FaultSpec(flips_per_s={"parameters": 9 / YEAR_S, "checkpoint": 9 / YEAR_S, "message": 1.0})
    assert spec.flips_per_year == pytest.approx(18.0)
    assert not spec.flips_stress
    assert replace(spec, flips_per_s={"optimizer": 101 / YEAR_S}).flips_stress
    assert not FaultSpec().flips_stress


def test_a_plan_with_flips_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan = drawn(3)
    plan.write(tmp_path / "faults.jsonl")
    assert FaultPlan.read(tmp_path / "faults.jsonl") == plan
    assert plan.with_fault(flip(0, 0.0, "message")).bit_flips == (flip(0, 0.0, "message"), *plan.bit_flips)
    assert not FaultPlan(bit_flips=(flip(0, 1.0, "gradient"),))  # nothing that takes time
    assert FaultPlan(bit_flips=(flip(0, 1.0, "checkpoint"),))


# -- what is hit ---


def test_memory_is_hit_where_there_is_a_replica_and_changes_nothing_else_of_the_trace() -> None:
    """Steps are from 0 to 200 s, and node 1 is down from 100 to 150 s."""
    down = Outage(node=1, start_us=100 * S, end_us=150 * S, loses_state=False, cause="reset")
    fleet = scenario(3, budget_steps=120)
    targets: tuple[FlipTarget, ...] = ("parameters", "optimizer", "gradient", "version")
    flips = [flip(1, at_s, target) for at_s in (55.5, 120.0, 203.0) for target in targets]
    trace, clean = flown(fleet, *flips, outages=(down,)), flown(fleet, outages=(down,))
    assert upsets(trace) == [
        (55.5, 1, "gradient", ""),
        (55.5, 1, "optimizer", ""),
        (55.5, 1, "parameters", ""),
        (55.5, 1, "version", "global/0@0"),
        *[u for u in upsets(trace) if u[0] == 203.0],
    ]
    later = {target for at_s, _, target, _ in upsets(trace) if at_s == 203.0}
    in_step = any(op.node == 1 and op.start_us <= 203 * S < op.end_us for op in trace.of_kind(Step))
    assert later == set(targets) - (set() if in_step else {"gradient"})
    assert [replace(op, id=0) for op in trace.ops if not isinstance(op, Upset)] == [
        replace(op, id=0) for op in clean.ops
    ]
    assert (trace.transfers, trace.accounts) == (clean.transfers, clean.accounts)


def test_a_version_is_that_which_the_node_has_adopted() -> None:
    fleet = scenario(3, budget_steps=300)
    merges = [op.end_us / S for op in flown(fleet).of_kind(Merge)]
    trace = flown(fleet, *(flip(2, at_s + 30.0, "version", place) for at_s in merges[:2] for place in (0.1, 0.9)))
    assert [value for *_, value in upsets(trace)] == ["global/0@1", "global/0@1", "global/0@2", "global/0@2"]


def test_nothing_is_hit_after_the_end_or_at_ground_sites_or_before_a_node_joins() -> None:
    late = Outage(node=1, start_us=0, end_us=90 * S, loses_state=True, cause="late")
    fleet = scenario(3, training_nodes=(0, 1), budget_steps=60)
    targets: tuple[FlipTarget, ...] = ("parameters", "checkpoint", "version")
    flips = [flip(node, at_s, target) for node, at_s in ((1, 50.0), (2, 50.0), (0, 19_000.0)) for target in targets]
    assert upsets(flown(fleet, *flips, outages=(late,))) == []


# -- what it costs ---


@pytest.mark.parametrize(
    ("at_s", "place", "hit"), [(200.0, 0.0, True), (203.2, 0.99, True), (203.21, 0.5, False), (199.9, 0.5, False)]
)
def test_a_message_with_a_flipped_bit_is_sent_again_at_once(at_s: float, place: float, hit: bool) -> None:
    fleet = chain()
    (first,) = sent(flown(fleet), "snap/0/0@1")
    assert (first.start_us, first.end_us) == (200 * S, 200 * S + 3_200_000)
    trace = flown(fleet, flip(0, at_s, "message", place))
    assert [(target, value) for _, _, target, value in upsets(trace)] == [("message", "snap/0/0@1")] * hit
    found = sent(trace, "snap/0/0@1")
    assert found[0].lost == hit
    assert trace.merged_steps == 120
    if hit:  # once its sender knows, a light time after it was due; its link is as good as before
        assert not found[1].lost
        assert found[1].start_us == first.arrival_us + first.owlt_us
        assert found[1].bits == first.bits


def test_a_link_that_fails_is_left_alone_whatever_was_flipped() -> None:
    lost = LinkOutage(a=0, b=1, start_us=201 * S, end_us=202 * S, cause="link")
    failing = replace(chain(), faults=FaultPlan(link_outages=(lost,), bit_flips=(flip(0, 200.5, "message"),)))
    first, again, *_ = sent(simulate(failing, FixedPeriod(inner_steps=20, site=0)), "snap/0/0@1")
    assert first.lost
    assert again.start_us > first.end_us + 60 * S


def test_a_flip_in_the_buffer_behind_a_message_hits_nothing() -> None:
    """Two fragments: a message takes half of the buffer."""
    fleet = scenario(2, budget_steps=80, workload=replace(scenario().workload, fragments=2))
    policy = LinkAware(min_inner_steps=20)
    clean = simulate(fleet, policy)
    first = next(t for t in clean.transfers if t.source == 1)
    for place, hit in ((0.49, True), (0.51, False)):
        failing = replace(fleet, faults=FaultPlan(bit_flips=(flip(1, first.start_us / S, "message", place),)))
        trace = simulate(failing, policy)
        validate(trace, failing)
        assert any(t.lost for t in trace.transfers) == hit == bool(upsets(trace))


def test_the_parameters_of_the_sender_stand_for_what_is_no_outer_gradient() -> None:
    """Both copies go out of one buffer."""
    fleet = chain()
    result, _ = sent(flown(fleet), "result/0@1")
    trace = flown(fleet, flip(1, result.start_us / S + 1.0, "message"))
    assert [(node, value) for _, node, _, value in upsets(trace)] == [(1, "")]
    assert sorted((t.dest, t.lost) for t in sent(trace, "result/0@1")) == [(0, False), (0, True), (2, False), (2, True)]


def test_parts_that_travel_for_themselves_are_hit_as_what_they_are_parts_of() -> None:
    fleet = scenario(2, budget_steps=80)
    assert upsets(flown(fleet, flip(1, 200.5, "message", 0.49))) == [(200.5, 1, "message", "snap/1/0@1")]
    assert upsets(flown(fleet, flip(1, 200.5, "message", 0.51))) == []
    assert upsets(flown(fleet, flip(1, 202.0, "message", 0.1))) == [(202.0, 1, "message", "sum/1/0@0#0/2")]


def test_a_message_that_gets_through_with_a_flipped_bit_is_no_sound_trace() -> None:
    fleet = chain()
    trace = flown(fleet, flip(0, 201.0, "message"))
    through = replace(trace, transfers=tuple(replace(t, lost=False) for t in trace.transfers))
    with pytest.raises(TraceError, match="gets through"):
        validate(through, replace(fleet, faults=FaultPlan(bit_flips=(flip(0, 201.0, "message"),))))


DOWN = Outage(node=1, start_us=300 * S, end_us=400 * S, loses_state=False, cause="reset")


@pytest.mark.parametrize(
    ("at_s", "source"),
    [
        (150.0, 1),  # written over since
        (310.0, 0),
        (399.0, 0),
        (401.0, 1),  # it has been read
    ],
)
def test_a_node_whose_store_has_a_flipped_bit_is_sent_the_model(at_s: float, source: int) -> None:
    trace = flown(scenario(3, budget_steps=240), flip(1, at_s, "checkpoint"), outages=(DOWN,))
    assert upsets(trace) == [(at_s, 1, "checkpoint", "")]
    (restored,) = trace.of_kind(Restore)
    assert restored.source == source
    if source != 1:
        assert any(t.value.startswith("restored/1@") and t.source == source for t in trace.transfers)
    assert trace.merged_steps > 180


def test_a_store_is_as_old_as_what_it_has() -> None:
    """Node 1 rests from its snapshot at 200 s until the result comes, then trains, and fails within a block of steps:
    it goes back to what it saved before, and a flip since then counts."""
    fleet = scenario(3, budget_steps=240)
    down = replace(DOWN, start_us=345 * S)
    (snapshot, *_) = [op for op in flown(fleet, outages=(down,)).of_kind(Snapshot) if op.node == 1]
    adopted_s = next(op.end_us for op in flown(fleet).ops if op.kind == "adopt" and op.node == 1) / S
    assert snapshot.end_us == 200 * S
    assert 200 < adopted_s < 345
    for at_s, source in ((adopted_s - 1.0, 1), (adopted_s + 1.0, 0)):
        (restored,) = flown(fleet, flip(1, at_s, "checkpoint"), outages=(down,)).of_kind(Restore)
        assert restored.source == source
