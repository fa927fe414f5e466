"""Traces of the simulation, with failures, on any number of workers."""

import pytest

from orbital_train.schedule.ops.nodes import Adopt, Lose, Restore
from orbital_train.train.spec import InnerSpec, OuterSpec
from tests.unit.train.problems import line_problem, tiny_spec
from tests.unit.train.simulated import POLICIES, trace_of
from tests.unit.train.thread_workers import REPLICA, Group

SPEC = tiny_spec(inner=InnerSpec(lr=5e-2), outer=OuterSpec(momentum=0.5))
DELAYED = tiny_spec(inner=InnerSpec(lr=5e-2), outer=OuterSpec(momentum=0.5, delay_merges=None))


@pytest.mark.parametrize("policy", POLICIES)
def test_failures_change_no_bit_with_the_number_of_workers_nor_with_a_resume(policy: str) -> None:
    trace, spec = trace_of(policy), DELAYED if policy == "asynchronous" else SPEC
    failures = [op.id for op in trace.ops if isinstance(op, Lose | Restore)]
    assert len(failures) >= 6
    assert any(op.source == op.node for op in trace.of_kind(Restore))
    assert any(op.source != op.node for op in trace.of_kind(Restore))
    assert {op.codec for op in trace.of_kind(Adopt)} == {"bf16" if policy in ("home", "asynchronous") else None}
    alone, four, cut = (Group.of(trace, spec, line_problem, workers) for workers in (1, 4, 2))
    for group in (alone, four):
        group.run(spec)
    digest, rows = alone.executors[0].digest(), alone.all_rows()
    assert {e.digest() for e in four.executors} == {digest}
    assert four.all_rows() == rows
    for op_id in failures[1::2]:
        cut.run(spec, limit=op_id)
    resumed = Group.of(trace, spec, line_problem, 1)
    resumed.executors[0].load(failures[1::2][-1], *cut.saved())
    for group in (resumed, cut):
        group.run(spec)
        assert {e.digest() for e in group.executors} == {digest}

    losses = [row["loss"] for row in rows if row["event"] == "evaluate"]
    assert losses[-1] < 0.8 * losses[0]
    nodes, shared = alone.saved()
    own = {f"own/{node}/{f}@{version}" for node, *versions in trace.own for f, version in enumerate(versions)}
    assert {name for saved in nodes.values() for name in saved.tensors} == REPLICA | own
    assert {name.rpartition("/")[0] for name in shared.tensors} == {
        f"global/{fragment}@{version}" for fragment, version in enumerate(trace.versions)
    }
