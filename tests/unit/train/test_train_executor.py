"""What the operations of a trace do to parameters. Twins are plain PyTorch loops written out here."""

import math

import pytest
import torch
from torch import Tensor

from orbital_train.schedule.trace import Trace
from orbital_train.train.executor import Executor
from orbital_train.train.gate import Gate
from orbital_train.train.inner import lr_at
from orbital_train.train.placement import place
from orbital_train.train.problem import Problem
from orbital_train.train.rows import Row
from orbital_train.train.run import Result, run_local
from orbital_train.train.spec import InnerSpec, OuterSpec, TrainSpec
from orbital_train.train.transport import LocalTransport
from tests.unit.train.problems import line_problem, same_everywhere_problem, tiny_problem, tiny_spec
from tests.unit.train.trace_builder import TraceBuilder
from tests.unit.train.traces import rounds_trace

AVERAGE = OuterSpec(lr=1.0, momentum=0.0)
START = torch.tensor([0.5, -0.25])  # the two parameters of line_problem()


def twin(
    problem: Problem, spec: TrainSpec, nodes: tuple[int, ...], steps: int
) -> tuple[dict[str, Tensor], list[float]]:
    """Synchronous training as anyone would write it: per-tensor AdamW, gradients averaged over the nodes' batches."""
    module, inner = problem.module, spec.inner
    groups = [
        {"params": [p for p in module.parameters() if p.dim() >= 2], "weight_decay": inner.weight_decay},
        {"params": [p for p in module.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(inner.beta1, inner.beta2), fused=True)
    losses = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr_at(inner, step / steps)
        optimizer.zero_grad()
        mean = sum(module(*problem.batch(node, step)) for node in nodes) / len(nodes)
        mean.backward()
        if inner.clip_norm:
            torch.nn.utils.clip_grad_norm_(module.parameters(), inner.clip_norm)
        optimizer.step()
        losses.append(mean.item())
    return {name: p.detach() for name, p in module.named_parameters()}, losses


def executor_of(trace: Trace, spec: TrainSpec, problem: Problem, rows: list[Row] | None = None) -> Executor:
    return Executor(
        trace=trace,
        spec=spec,
        problem=problem,
        transport=LocalTransport(),
        owners=place(trace.fleet_nodes, 1),
        emit=[].append if rows is None else rows.append,
    )


def local_parameters(build: TraceBuilder, spec: TrainSpec, problem: Problem, node: int) -> Tensor:
    """A node's replica after all operations of a trace."""
    executor = executor_of(build.trace(), spec, problem)
    executor.run(Gate())
    return executor.save_nodes()[node].tensors["parameters"]


def flat(result: Result) -> Tensor:
    return torch.cat([p.flatten() for p in result.parameters.values()])


# -- synchronous steps -----------------------------------------------------------------------------------------------


def test_synchronous_steps_of_one_node_are_plain_training_bit_for_bit() -> None:
    """With clipping off; the norm of a clipped gradient is summed in another order, see the next test."""
    spec = tiny_spec(inner=InnerSpec(lr=1e-2, clip_norm=0.0))
    build = TraceBuilder(nodes=(0,), budget_steps=12)
    build.sync_step(12, 0)
    result = run_local(build.trace(), spec, tiny_problem(spec, (0,)))
    expected, losses = twin(tiny_problem(spec, (0,)), spec, (0,), 12)
    assert all(torch.equal(result.parameters[name], tensor) for name, tensor in expected.items())
    assert result.rows[0]["loss"] == pytest.approx(sum(losses) / 12, rel=1e-6)


@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
def test_synchronous_steps_of_a_group_are_plain_training_on_all_batches(clip_norm: float) -> None:
    """Deviation 3e-8 from the twin, whose sums run in another order."""
    spec = tiny_spec(inner=InnerSpec(lr=1e-2, clip_norm=clip_norm))
    build = TraceBuilder(nodes=(0, 1, 2), budget_steps=12)
    build.sync_step(5, 0)
    build.sync_step(7, 1)
    result = run_local(build.trace(), spec, tiny_problem(spec, (0, 1, 2)))
    expected, losses = twin(tiny_problem(spec, (0, 1, 2)), spec, (0, 1, 2), 12)
    for name, tensor in expected.items():
        torch.testing.assert_close(result.parameters[name], tensor, rtol=0, atol=2e-6)
    assert result.rows[1]["loss"] == pytest.approx(sum(losses[5:]) / 7, rel=1e-6)


# -- rounds ----------------------------------------------------------------------------------------------------------


def test_averaging_one_node_is_plain_training() -> None:
    """M = 1, outer rate 1, no momentum, replacing: rounds of 3 steps are 12 steps in a row, to rounding."""
    spec = tiny_spec(outer=AVERAGE)
    result = run_local(rounds_trace((0,), rounds=4, steps=3), spec, tiny_problem(spec, (0,)))
    expected, _ = twin(tiny_problem(spec, (0,)), spec, (0,), 12)
    for name, tensor in expected.items():
        torch.testing.assert_close(result.parameters[name], tensor, rtol=0, atol=2e-6)


def test_averaging_after_every_sgd_step_is_synchronous_sgd() -> None:
    """M = 4, H = 1, outer rate 1, no momentum, replacing: 2.4e-7 apart after 40 steps, two units in the last place."""
    spec = tiny_spec(inner=InnerSpec(lr=0.2, clip_norm=0.0, optimizer="SGD"), outer=AVERAGE)
    nodes = (0, 1, 2, 3)
    build = TraceBuilder(nodes=nodes, budget_steps=40)
    build.sync_step(40, 0)
    synchronous = flat(run_local(build.trace(), spec, line_problem()))
    averaged = flat(run_local(rounds_trace(nodes, rounds=40, steps=1), spec, line_problem()))
    assert (synchronous - START).abs().min() > 0.5
    torch.testing.assert_close(averaged, synchronous, rtol=0, atol=1e-6)


@pytest.mark.parametrize("outer", [AVERAGE, OuterSpec()])
def test_merging_identical_nodes_is_merging_one(outer: OuterSpec) -> None:
    spec = tiny_spec(outer=outer)
    one = run_local(rounds_trace((0,), rounds=3, steps=2), spec, same_everywhere_problem())
    four = run_local(rounds_trace((0, 1, 2, 3), rounds=3, steps=2), spec, same_everywhere_problem())
    assert four.digest == one.digest  # 4 x 1/4 is exact


def test_every_participant_has_the_global_model_after_a_full_merge() -> None:
    spec = tiny_spec()
    trace = rounds_trace((0, 1, 2), rounds=2, steps=2)
    executor = executor_of(trace, spec, tiny_problem(spec, (0, 1, 2)))
    executor.run(Gate())
    final = torch.cat([p.flatten() for p in executor.parameters().values()])
    assert all(torch.equal(saved.tensors["parameters"], final) for saved in executor.save_nodes().values())


def test_keeping_without_progress_is_replacing_bit_for_bit() -> None:
    spec = tiny_spec()
    kept = run_local(rounds_trace((0, 1), rounds=3, steps=2, mode="keep"), spec, tiny_problem(spec, (0, 1)))
    replaced = run_local(rounds_trace((0, 1), rounds=3, steps=2), spec, tiny_problem(spec, (0, 1)))
    assert kept.digest == replaced.digest


def test_inner_optimizer_survives_adoption() -> None:
    spec = tiny_spec()
    trace = rounds_trace((0,), rounds=3, steps=2)
    executor = executor_of(trace, spec, line_problem())
    executor.run(Gate())
    assert executor.save_nodes()[0].tensors["inner/0/step"] == 6


# -- contributions ---------------------------------------------------------------------------------------------------


def test_weight_zero_changes_nothing() -> None:
    spec = tiny_spec()

    def trace(*, with_zero: bool) -> Trace:
        build = TraceBuilder(nodes=(0, 1, 2))
        for node in build.nodes:
            build.step(node, 2)
        names = [build.snapshot(node, 0) for node in build.nodes]
        weights = {names[0]: 0.5, names[2]: 0.5}
        build.merge(0, weights | {names[1]: 0.0} if with_zero else weights)
        return build.trace()

    with_zero = run_local(trace(with_zero=True), spec, line_problem())
    assert with_zero.digest == run_local(trace(with_zero=False), spec, line_problem()).digest
    assert [row["contributors"] for row in with_zero.rows if row["event"] == "merge"] == [2]


def test_merge_weights_contributions() -> None:
    """Averaging with weights 0.25 and 0.75 gives the weighted mean of the replicas."""
    spec = tiny_spec(outer=AVERAGE)
    build = TraceBuilder(nodes=(0, 1))
    build.step(0, 3)
    build.step(1, 2)
    a, b = build.snapshot(0, 0), build.snapshot(1, 0)
    build.merge(0, {a: 0.25, b: 0.75})
    executor = executor_of(build.trace(), spec, line_problem())
    executor.run(Gate())
    p = {node: saved.tensors["parameters"] for node, saved in executor.save_nodes().items()}
    merged = torch.cat([t.flatten() for t in executor.parameters().values()])
    torch.testing.assert_close(merged, 0.25 * p[0] + 0.75 * p[1], rtol=0, atol=1e-7)


def test_outer_gradient_norm_is_reported() -> None:
    spec = tiny_spec()
    build = TraceBuilder(nodes=(0,))
    build.step(0, 3)
    build.merge(0, {build.snapshot(0, 0): 1.0})
    rows: list[Row] = []
    executor = executor_of(build.trace(), spec, line_problem(), rows)
    executor.run(Gate())
    moved = (START - executor.save_nodes()[0].tensors["parameters"]).norm().item()
    assert rows[-1]["outer_gradient_norm"] == pytest.approx(moved, rel=1e-6)


@pytest.mark.parametrize(("codec", "error"), [("fp32", 0.0), ("bf16", 2**-8)])
def test_codec_rounds_the_outer_gradient(codec: str, error: float) -> None:
    """Relative error of bf16 is at most 2^-8 on each parameter's change, and not zero; also where nothing travels."""
    spec = tiny_spec(outer=AVERAGE)
    build = TraceBuilder(nodes=(0,))
    build.step(0, 5)
    build.merge(0, {build.snapshot(0, 0, codec): 1.0})
    executor = executor_of(build.trace(), spec, line_problem())
    executor.run(Gate())
    local = executor.save_nodes()[0].tensors["parameters"]
    merged = torch.cat([t.flatten() for t in executor.parameters().values()])
    moved = (local - START).abs()
    assert bool(((merged - local).abs() <= error * moved + 1e-7).all())
    assert bool((merged != local).any()) is (codec == "bf16")


# -- adoption --------------------------------------------------------------------------------------------------------


def progress(build: TraceBuilder, spec: TrainSpec, node: int, steps: int) -> tuple[Tensor, Tensor]:
    """A node's replica now, and after so many more steps."""
    now = local_parameters(build, spec, line_problem(), node)
    build.step(node, steps)
    return now, local_parameters(build, spec, line_problem(), node)


def test_keep_adds_the_progress_since_the_snapshot() -> None:
    spec = tiny_spec(outer=AVERAGE)
    build = TraceBuilder(nodes=(0, 1))
    build.step(0, 2)
    build.step(1, 3)
    mine, other = build.snapshot(0, 0), build.snapshot(1, 0)
    mark, now = progress(build, spec, 0, 2)
    build.merge(0, {mine: 0.5, other: 0.5})
    build.adopt(0, 1, "keep", mine)
    version = 0.5 * mark + 0.5 * local_parameters(build, spec, line_problem(), 1)
    kept = local_parameters(build, spec, line_problem(), 0)
    torch.testing.assert_close(kept, version + (now - mark), rtol=0, atol=1e-6)


def test_keep_without_a_snapshot_adds_the_progress_since_the_last_adoption() -> None:
    spec = tiny_spec(outer=AVERAGE)
    build = TraceBuilder(nodes=(0, 1))
    build.step(1, 3)
    build.merge(0, {build.snapshot(1, 0): 1.0})
    build.step(0, 2)
    now = local_parameters(build, spec, line_problem(), 0)
    build.adopt(0, 1, "keep")
    version = local_parameters(build, spec, line_problem(), 1)
    kept = local_parameters(build, spec, line_problem(), 0)
    torch.testing.assert_close(kept, version + (now - START), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("mode", "kept"), [("keep", 1.0), ("replace", 0.0), ("blend", 0.75)])
def test_a_snapshot_under_way_moves_along_with_an_adoption(mode: str, kept: float) -> None:
    """Progress since a snapshot is what the replica holds beyond it, wherever an adoption has put the replica."""
    spec = tiny_spec(outer=AVERAGE)
    build = TraceBuilder(nodes=(0, 1))
    build.step(1, 3)
    build.merge(0, {build.snapshot(1, 0): 1.0})
    build.step(0, 2)
    late = build.snapshot(0, 0)
    mark, now = progress(build, spec, 0, 1)
    build.adopt(0, 1, mode, alpha=0.25)  # type: ignore[arg-type]
    build.merge(1, {late: 1.0})
    build.adopt(0, 2, "keep", late)
    version_1 = local_parameters(build, spec, line_problem(), 1)
    version_2 = version_1 - (START - mark)
    result = local_parameters(build, spec, line_problem(), 0)
    torch.testing.assert_close(result, version_2 + kept * (now - mark), rtol=0, atol=1e-6)


def test_blend_weighs_version_and_replica() -> None:
    spec = tiny_spec(outer=AVERAGE)
    build = TraceBuilder(nodes=(0, 1))
    build.step(1, 3)
    build.merge(0, {build.snapshot(1, 0): 1.0})
    build.step(0, 2)
    now = local_parameters(build, spec, line_problem(), 0)
    build.adopt(0, 1, "blend", alpha=0.3)
    version = local_parameters(build, spec, line_problem(), 1)
    blended = local_parameters(build, spec, line_problem(), 0)
    torch.testing.assert_close(blended, 0.3 * version + 0.7 * now, rtol=0, atol=1e-6)


# -- rows ------------------------------------------------------------------------------------------------------------


def test_rows_of_a_round() -> None:
    spec = tiny_spec()
    result = run_local(rounds_trace((0, 5), rounds=1, steps=2), spec, tiny_problem(spec, (0, 5)))
    events = [row["event"] for row in result.rows]
    assert events == ["step", "step", "merge", "evaluate"]
    step, _, merge, evaluate = result.rows
    assert step | {"loss": 0} == {"event": "step", "op": 0, "sim_s": 1e-6, "node": 0, "first": 0, "n": 2, "loss": 0}
    assert merge | {"outer_gradient_norm": 0} == {
        "event": "merge", "op": 4, "sim_s": 5e-6, "scope": "global", "fragment": 0, "to_version": 1, "contributors": 2,
        "outer_gradient_norm": 0,
    }  # fmt: skip
    # 4 merged steps of 2 sequences of 8 tokens
    assert evaluate | {"loss": 0} == {
        "event": "evaluate", "op": 7, "sim_s": 8e-6, "versions": [1], "merged_steps": 4, "trained_tokens": 64,
        "loss": 0,
    }  # fmt: skip
    assert 1.0 < evaluate["loss"] < math.log(11) + 0.5


def test_first_loss_is_that_of_the_initial_model() -> None:
    spec = tiny_spec()
    build = TraceBuilder(nodes=(3,))
    build.step(3, 1)
    build.evaluate(0)
    problem = tiny_problem(spec, (3,))
    with torch.no_grad():
        expected = problem.module(*problem.batch(3, 0)).item()
        validation = sum(problem.module(*batch).item() for batch in problem.validation) / len(problem.validation)
    rows = run_local(build.trace(), spec, problem).rows
    assert rows[0]["loss"] == pytest.approx(expected, rel=1e-6)
    assert rows[1]["loss"] == pytest.approx(validation, rel=1e-6)


def test_training_learns_the_pattern() -> None:
    """Two nodes, ten rounds of ten steps: from ln 11 = 2.40 to below 1.0."""
    spec = tiny_spec(batch_size=8)
    trace = rounds_trace((0, 1), rounds=10, steps=10)
    losses = run_local(trace, spec, tiny_problem(spec, (0, 1))).losses
    assert losses[-1] < 1.0, losses


def test_progress_sees_every_operation() -> None:
    spec = tiny_spec()
    trace = rounds_trace((0,), rounds=2, steps=1)
    seen: list[int] = []
    Executor(
        trace=trace,
        spec=spec,
        problem=line_problem(),
        transport=LocalTransport(),
        owners=place((0,), 1),
        emit=lambda row: None,
        progress=lambda op: seen.append(op.id),
    ).run(Gate())
    assert seen == list(range(len(trace.ops)))
