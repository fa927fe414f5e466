"""What becomes of the nodes of a worker that is lost while a trace is executed."""

from dataclasses import replace

import pytest

from orbital_train.schedule.faults import FaultPlan, WorkerLoss
from orbital_train.schedule.measures import measure
from orbital_train.schedule.ops.merging import Merge
from orbital_train.schedule.ops.nodes import Lose, Restore, Step
from orbital_train.schedule.policies.fixed_period import FixedPeriod
from orbital_train.schedule.policies.quorum import Quorum
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.validate import validate
from orbital_train.schedule.worker_losses import continues, known_by_us, rejoined, worker_losses
from tests.unit.schedule.scenarios import scenario

POLICY = Quorum(inner_steps=20, quorum=3, site=0)


def before() -> tuple[Scenario, Trace, Merge]:
    """A fleet of three, its trace, and the second merge."""
    fleet = replace(scenario(3, budget_steps=600), more_faults=True)
    trace = simulate(fleet, POLICY)
    return fleet, trace, list(trace.of_kind(Merge))[1]


def lost(fleet: Scenario, *losses: WorkerLoss) -> tuple[Scenario, Trace]:
    failing = replace(fleet, faults=FaultPlan(worker_losses=losses))
    trace = simulate(failing, POLICY)
    validate(trace, failing)
    return failing, trace


def test_what_nobody_had_merged_is_void_and_others_have_its_weight() -> None:
    """What node 1 has sent waits at node 0 for node 2, which is linked late."""
    late = [(0, 1, 0.0, 20_000.0), (0, 2, 700.0, 20_000.0)]
    fleet = replace(scenario(3, windows=late, budget_steps=600), more_faults=True)
    policy = FixedPeriod(inner_steps=20, form="skipping", timeout_s=100.0)
    trace = simulate(fleet, policy)
    merge = next(merge for merge in trace.of_kind(Merge) if len(merge.contributions) == 3)
    (loss,) = worker_losses(trace, {1: merge.id}, merge.id)
    (void,) = (c for c in merge.contributions if c.node == 1)
    assert loss.void == (void.snapshot,)
    assert (loss.known_us, loss.end_us) == (known_by_us(trace, merge.id) + 1, None)
    failing = replace(fleet, faults=FaultPlan().with_fault(loss))
    after = simulate(failing, policy)
    validate(after, failing)
    assert continues(after, trace, merge.id)
    (same,) = (op for op in after.of_kind(Merge) if op.to_version == merge.to_version)
    assert same.end_us == merge.end_us
    assert [(c.node, c.steps) for c in same.contributions] == [(c.node, c.steps) for c in merge.contributions]
    left = 1.0 - void.weight
    assert [c.weight for c in same.contributions] == [
        0.0 if c.node == 1 else pytest.approx(c.weight / left) for c in merge.contributions
    ]
    assert void.snapshot not in same.inputs
    assert after.merged_steps < trace.merged_steps


def test_void_steps_are_not_counted_as_merged_but_as_lost() -> None:
    fleet, trace, merge = before()
    (loss,) = worker_losses(trace, {1: merge.id}, merge.id)
    _, after = lost(fleet, loss)
    counted = sum(c.steps for m in after.of_kind(Merge) for c in m.contributions if c.weight)
    assert after.merged_steps == counted
    trained = sum(op.n for op in after.of_kind(Step) if op.node == 1)
    first = next(iter(after.of_kind(Merge)))
    kept = sum(c.steps for c in first.contributions if c.node == 1)
    assert measure(after).fault_lost_steps == trained - kept


def test_a_node_rejoins_after_all_that_was_executed_when_a_worker_was_back() -> None:
    fleet, trace, merge = before()
    (loss,) = worker_losses(trace, {1: merge.id - 2}, merge.id)
    _, without = lost(fleet, loss)
    assert not list(without.of_kind(Restore))
    position = merge.id + 12
    back = rejoined(loss, without, position)
    assert back.end_us == known_by_us(without, position) + 1
    _, after = lost(fleet, back)
    assert continues(after, without, position)
    (lose,), (restore,) = after.of_kind(Lose), after.of_kind(Restore)
    assert (lose.node, lose.cause, lose.unheard) == (1, "worker", merge.id - 2)
    assert lose.end_us == loss.known_us
    assert restore.node == 1
    assert restore.end_us >= back.end_us
    assert restore.source != 1


def test_what_was_merged_by_a_survivor_counts() -> None:
    fleet, trace, merge = before()
    (loss,) = worker_losses(trace, {1: 0}, merge.id + 1)
    assert loss.void == ()
    _, after = lost(fleet, loss)
    assert after.ops[: merge.id + 1] == trace.ops[: merge.id + 1]


def test_what_changed_before_the_position_does_not_continue() -> None:
    _, trace, _ = before()
    other = replace(trace, ops=(*trace.ops[:3], replace(trace.ops[3], end_us=trace.ops[3].end_us + 1), *trace.ops[4:]))
    assert continues(other, trace, 3)
    assert not continues(other, trace, 4)
