"""Nodes that fail and go on: from their own store, or from what others send them. One fragment unless said."""

import pytest
import torch
from torch import Tensor

from orbital_train.train.inner import lr_at
from orbital_train.train.liveness import drops, kept_states, peak_states
from orbital_train.train.problem import Problem
from orbital_train.train.rows import Row
from orbital_train.train.spec import InnerSpec, OuterSpec
from orbital_train.train.state import Saved
from tests.unit.train.problems import line_problem, tiny_problem, tiny_spec
from tests.unit.train.thread_workers import Group
from tests.unit.train.trace_builder import TraceBuilder

INNER = InnerSpec(lr=1e-2, weight_decay=0.0, rewarm_steps=4)
SPEC = tiny_spec(inner=INNER, outer=OuterSpec(lr=1.0, momentum=0.0))
NODES = (0, 1)


def gpt() -> Problem:
    return tiny_problem(SPEC, NODES)


def executed(build: TraceBuilder, workers: int = 1) -> tuple[dict[int, Saved], dict[str, Tensor], list[Row]]:
    """What the nodes hold, all live versions, and the rows, after all operations so far."""
    group = Group.of(build.trace(), SPEC, gpt, workers)
    group.run(SPEC)
    nodes, shared = group.saved()
    return nodes, shared.tensors, group.all_rows()


def assert_equal(a: Saved, b: Saved) -> None:
    assert a.meta == b.meta
    assert a.tensors.keys() == b.tensors.keys()
    assert all(torch.equal(a.tensors[name], b.tensors[name]) for name in a.tensors)


def test_steps_in_no_store_are_as_if_they_had_not_been_but_for_their_batches() -> None:
    lost, never = TraceBuilder(nodes=NODES), TraceBuilder(nodes=NODES)
    for build in (lost, never):
        build.step(0, 2)
    kept = executed(never)[0][0]
    lost.step(0, 3)
    assert not torch.equal(executed(lost)[0][0].tensors["inner/0/exp_avg"], kept.tensors["inner/0/exp_avg"])
    lost.go_on(0, states_lost=1)
    assert_equal(executed(lost)[0][0], kept)
    never.first[0] += 3
    for build in (lost, never):
        build.step(0, 2)
    found, expected = executed(lost), executed(never)
    assert_equal(found[0][0], expected[0][0])
    assert found[0][0].tensors["inner/0/step"] == 4
    rows = found[2]
    assert [row["event"] for row in rows] == ["step", "step", "lose", "restore", "step"]
    assert rows[2] == {"event": "lose", "op": 2, "sim_s": 3e-6, "node": 0, "cause": "reset", "loses_state": False,
                       "steps": 1}  # fmt: skip
    assert rows[3] == {"event": "restore", "op": 3, "sim_s": 4e-6, "node": 0, "source": 0, "versions": []}
    assert (rows[4]["first"], rows[4]["loss"]) == (5, expected[2][-1]["loss"])


def test_a_node_may_go_back_to_the_very_start_and_more_than_once() -> None:
    build = TraceBuilder(nodes=NODES)
    build.step(1, 1)
    build.go_on(1, states_lost=1)
    untouched = TraceBuilder(nodes=NODES)
    untouched.snapshot(1, 0)
    assert_equal(executed(build)[0][1], executed(untouched)[0][1])
    build.step(1, 2)
    once = executed(build)[0][1]
    for _ in range(2):
        build.step(1, 1)
        build.go_on(1, states_lost=1)
    assert_equal(executed(build)[0][1], once)


def test_what_a_node_is_about_to_contribute_and_since_when_outlive_its_failure() -> None:
    """The progress that it keeps is what its store has of it."""
    build = TraceBuilder(nodes=NODES)
    build.step(0, 2)
    snapshot = build.snapshot(0, 0)
    mark = executed(build)[0][0].tensors["parameters"]
    build.step(0, 1)
    stored = executed(build)[0][0].tensors["parameters"]
    build.step(0, 2)
    build.go_on(0, states_lost=1)
    build.step(1, 3)
    build.merge(0, {snapshot: 0.5, build.snapshot(1, 0): 0.5})
    build.evaluate(1)
    build.adopt(0, 1, "keep", snapshot)
    nodes, versions, _ = executed(build)
    other = nodes[1].tensors["parameters"]
    torch.testing.assert_close(versions["global/0@1/parameters"], (mark + other) / 2)
    torch.testing.assert_close(nodes[0].tensors["parameters"], (mark + other) / 2 + stored - mark)


def test_a_node_that_is_sent_the_model_begins_anew() -> None:
    build = TraceBuilder(nodes=NODES, budget_steps=20)
    build.step(0, 4)
    build.merge(0, {build.snapshot(0, 0): 1.0})
    build.step(1, 3)
    build.start_anew(1, 0, 1)
    build.evaluate(1)
    nodes, versions, rows = executed(build, workers=2)
    before = versions["global/0@1/parameters"]
    assert torch.equal(nodes[1].tensors["parameters"], before)
    assert nodes[1].tensors.keys() == {"parameters"}
    assert nodes[1].meta == {"rewarm_left": 4, "stopped": 0}
    restored = next(row for row in rows if row["event"] == "restore")
    assert (restored["node"], restored["source"], restored["versions"]) == (1, 0, [1])

    build.step(1, 1)  # the first step of AdamW is as long as the learning rate wherever there is a gradient
    after, _, rows = executed(build)
    moved = (after[1].tensors["parameters"] - before).abs()
    expected = lr_at(INNER, 3 / 20) / 5
    assert rows[-1]["first"] == 3
    assert moved.max().item() == pytest.approx(expected, rel=1e-3)
    assert (moved > 0.9 * expected).float().mean() > 0.5
    for _ in range(4):
        build.step(1, 1)
    assert executed(build)[0][1].tensors["inner/0/step"] == 5
    assert executed(build)[0][1].meta["rewarm_left"] == 0


def test_re_warming_goes_on_where_a_node_goes_back() -> None:
    build = TraceBuilder(nodes=NODES)
    build.start_anew(0, 1, 0)
    build.step(0, 1)
    build.step(0, 2)
    build.go_on(0, states_lost=1)
    assert executed(build)[0][0].tensors["inner/0/step"] == 1
    assert executed(build)[0][0].meta["rewarm_left"] == 3


def test_the_model_is_sent_rounded_to_nodes_that_do_not_hold_it() -> None:
    """An outer gradient without a step is nothing, and an adoption without progress is the version as it was sent."""
    build = TraceBuilder(nodes=NODES)
    build.step(0, 3)
    build.merge(0, {build.snapshot(0, 0): 1.0})
    build.start_anew(1, 0, 0, codec="bf16")
    nothing = build.snapshot(1, 0)
    first = executed_held(build, nothing)
    build.adopt(1, 1, "keep", codec="bf16")
    still_nothing = build.snapshot(1, 1)
    build.evaluate(1)
    nodes, versions, _ = executed(build)
    exact = versions["global/0@1/parameters"]
    assert not torch.equal(exact, exact.bfloat16().float())
    assert torch.equal(nodes[1].tensors["parameters"], exact.bfloat16().float())
    assert not first.any()
    assert not executed_held(build, still_nothing).any()


def test_version_0_is_given_to_all_exactly() -> None:
    build = TraceBuilder(nodes=NODES)
    build.step(0, 3)
    build.merge(0, {build.snapshot(0, 0): 1.0})
    assert not executed_held(build, build.snapshot(1, 0)).any()
    build.adopt(1, 1, "keep", codec="bf16")
    build.evaluate(1)
    nodes, versions, _ = executed(build)
    rounded = versions["global/0@1/parameters"].bfloat16().float()
    assert torch.equal(nodes[1].tensors["parameters"], rounded)


def executed_held(build: TraceBuilder, value: str) -> Tensor:
    """An outer gradient of node 1 as it would be merged."""
    later = TraceBuilder(nodes=build.nodes, ops=[*build.ops])
    later.holds = build.holds
    cut = len(later.ops)
    newest = max(build.adopted.values(), default=0)
    later.merge(newest, {value: 1.0}, to_version=9)
    group = Group.of(later.trace(), SPEC, gpt, 1)
    group.run(SPEC, limit=cut)
    return group.saved()[0][1].tensors[value][:-4].view(torch.float32)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_node_that_failed_may_have_two_outer_gradients_in_a_merge(workers: int) -> None:
    build = TraceBuilder(nodes=NODES)
    build.step(1, 2)
    first = build.snapshot(1, 0)
    build.start_anew(1, 0, 0)
    build.step(1, 1)
    second = build.snapshot(1, 0)
    build.step(0, 1)
    third = build.snapshot(0, 0)
    a, b = executed_held(build, first), executed_held(build, second)
    build.merge(0, {second: 0.5, third: 0.25, first: 0.25})
    build.evaluate(0)
    build.evaluate(1)
    nodes, versions, _ = executed(build, workers)
    start = executed(TraceBuilder(nodes=NODES))[1]["global/0@0/parameters"]
    c = start - nodes[0].tensors["parameters"]
    assert torch.equal(versions["global/0@1/momentum"], c * 0.25 + (a * 0.25 + b * 0.5))


def test_a_version_that_is_given_up_is_merged_all_the_same_and_dropped_at_once() -> None:
    build = TraceBuilder(nodes=NODES)
    build.step(0, 2)
    build.merge(0, {build.snapshot(0, 0): 1.0})  # 2
    build.step(0, 1)
    build.merge(0, {build.snapshot(0, 0): 1.0}, to_version=2)  # 5: what was in version 1 is in it again
    build.adopt(0, 2, "keep", "snap/0/0@2")
    build.evaluate(2)
    _, versions, rows = executed(build)
    assert (None, "global/0@1") in drops(build.trace())[2]
    assert {name.rpartition("/")[0] for name in versions} == {"global/0@2"}
    once = TraceBuilder(nodes=NODES)
    once.step(0, 2)
    once.step(0, 1)
    once.merge(0, {once.snapshot(0, 0): 1.0})
    assert torch.equal(versions["global/0@2/parameters"], executed(once)[1]["global/0@1/parameters"])
    assert [row["to_version"] for row in rows if row["event"] == "merge"] == [1, 2]


def test_states_are_kept_only_where_a_node_goes_back() -> None:
    build = TraceBuilder(nodes=NODES)
    build.step(0, 1)  # 0
    build.step(1, 1)  # 1
    build.step(0, 1)  # 2
    build.go_on(1)  # 3, 4: it is as it was
    build.go_on(0, states_lost=1)  # 5, 6
    build.start_anew(1, 0, 0)  # 7, 8
    trace = build.trace()
    assert kept_states(trace) == {"local/0@1"}
    assert drops(trace) == {6: ((0, "local/0@1"),)}
    assert peak_states(trace) == 1


def test_the_line_is_refitted_by_a_node_that_lost_everything() -> None:
    """Two parameters, many steps: what a failure costs is made up for."""
    build = TraceBuilder(nodes=NODES, budget_steps=400)
    build.evaluate(0)
    build.step(0, 100)
    build.start_anew(0, 1, 0)
    build.step(0, 300)
    build.merge(0, {build.snapshot(0, 0): 1.0})
    build.evaluate(1)
    spec = tiny_spec(inner=InnerSpec(lr=5e-2), outer=OuterSpec(lr=1.0, momentum=0.0))
    group = Group.of(build.trace(), spec, line_problem, 1)
    group.run(spec)
    first, last = (row["loss"] for row in group.all_rows() if row["event"] == "evaluate")
    assert last < 1e-2 * first
