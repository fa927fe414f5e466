"""A worker is lost, at any operation: what was executed stays as it is, what its nodes had not given is void."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from orbital_train.schedule.faults import FaultPlan, WorkerLoss
from orbital_train.schedule.ops.merging import Merge
from orbital_train.schedule.ops.nodes import Lose
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.validate import validate
from orbital_train.schedule.worker_losses import continues, rejoined, worker_losses
from tests.property.fleets import Arm, every_policy_of_one_model, failing_flights, few


def with_losses(fleet: Scenario, losses: tuple[WorkerLoss, ...]) -> Scenario:
    others = tuple(w for w in fleet.faults.worker_losses if w.end_us is not None)
    return replace(fleet, faults=replace(fleet.faults, worker_losses=(*others, *losses)))


def lost_somewhere(data: st.DataObject, fleet: Scenario, trace: Trace) -> tuple[tuple[WorkerLoss, ...], int]:
    """Some nodes, but not all, are lost with a worker, which others had heard of up to some operation before."""
    position = data.draw(st.integers(0, len(trace.ops)))
    most = max(1, len(fleet.training_nodes) - 1)
    nodes = data.draw(st.sets(st.sampled_from(fleet.training_nodes), min_size=1, max_size=most))
    heard = data.draw(st.integers(max(0, position - 20), position))
    return worker_losses(trace, dict.fromkeys(nodes, heard), position), position


@every_policy_of_one_model
@given(data=st.data())
@few(12)
def test_what_was_executed_before_a_worker_was_lost_and_before_it_was_back_stays(arm: Arm, data: st.DataObject) -> None:
    fleet, policy = data.draw(failing_flights(arm))
    fleet = replace(fleet, more_faults=True, faults=replace(fleet.faults, bit_flips=()))
    before = simulate(fleet, policy)
    losses, position = lost_somewhere(data, fleet, before)
    fleet = with_losses(fleet, losses)
    without = simulate(fleet, policy)
    validate(without, fleet)
    assert continues(without, before, position)
    _assert_void(without, losses, position)
    later = data.draw(st.integers(position, len(without.ops)))
    fleet = with_losses(fleet, tuple(rejoined(lost, without, later) for lost in losses))
    again = simulate(fleet, policy)
    validate(again, fleet)
    assert continues(again, without, later)


def _assert_void(trace: Trace, losses: tuple[WorkerLoss, ...], position: int) -> None:
    """Nothing that a lost node had is merged from then on, and others have all the weight."""
    failed = {op.node: op.id for op in trace.of_kind(Lose) if op.unheard is not None}
    until = {lost.node: failed.get(lost.node, len(trace.ops)) for lost in losses}
    for merge in (op for op in trace.ops[position:] if isinstance(op, Merge)):
        weights = [c.weight for c in merge.contributions]
        assert sum(weights) == 0.0 or abs(sum(weights) - 1.0) < 1e-9
        for c in merge.contributions:
            if c.node in until and (merge.id < until[c.node] or c.snapshot in _void(losses)):
                assert c.weight == 0.0


def _void(losses: tuple[WorkerLoss, ...]) -> set[str]:
    return {value for lost in losses for value in lost.void}


def test_a_plan_with_lost_workers_is_read_as_it_was_written(tmp_path) -> None:
    lost = WorkerLoss(node=1, start_us=5, known_us=9, end_us=None, unheard=3, void=("snap/1/0@2",))
    plan = FaultPlan().with_fault(lost)
    plan.write(tmp_path / "faults.jsonl")
    assert FaultPlan.read(tmp_path / "faults.jsonl") == plan
    assert [(o.start_us, o.end_us, o.loses_state) for o in plan.down] == [(9, None, True)]
    assert plan.outages == ()
