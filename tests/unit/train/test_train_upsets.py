"""Bits flipped in a run: what they do, who finds them, and that the global model stays one of numbers."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from orbital_train.schedule.trace import Trace
from orbital_train.schedule.values import snapshot_value
from orbital_train.train.bases import bases
from orbital_train.train.liveness import drops, peak_versions
from orbital_train.train.operations import LOSS_NOT_FINITE
from orbital_train.train.problem import Problem
from orbital_train.train.rows import Row
from orbital_train.train.run import run_local
from orbital_train.train.screening import MOMENTS, NORM, NOTHING
from orbital_train.train.spec import InnerSpec, OuterSpec, ScreeningSpec
from tests.unit.train.failure_traces import upsets_trace
from tests.unit.train.problems import tiny_problem, tiny_spec
from tests.unit.train.thread_workers import Group
from tests.unit.train.trace_builder import TraceBuilder

PLAIN = tiny_spec(inner=InnerSpec(lr=1e-3, rewarm_steps=2), outer=OuterSpec(lr=1.0, momentum=0.0))
SCREENED = replace(PLAIN, screening=ScreeningSpec())
NODES = (0, 1)


def gpt() -> Problem:
    return tiny_problem(PLAIN, (0, 1, 2, 3, 7))


def group_of(build: TraceBuilder, spec: object = SCREENED, limit: int | None = None) -> Group:
    group = Group.of(build.trace(), spec, gpt, 1)  # type: ignore[arg-type]
    group.run(spec, limit)  # type: ignore[arg-type]
    return group


def events(rows: list[Row]) -> list[str]:
    return [row["event"] for row in rows]


def lines(rows: list[Row]) -> list[str]:
    """As they are written: a loss that is no number is equal to itself."""
    return [json.dumps(row) for row in rows]


def saved(build: TraceBuilder, spec: object = SCREENED) -> dict[str, torch.Tensor]:
    """What node 0 has after all operations so far."""
    return group_of(build, spec).saved()[0][0].tensors


def test_a_parameter_is_hit_before_the_step_that_is_under_way() -> None:
    """Two steps, of which the second was hit, are not those of which the first was."""
    found = []
    for first in (1, 2):
        build = TraceBuilder(nodes=NODES)
        build.step(0, first)
        build.upset(0, "parameters", 0.25, 31)
        build.step(0, 3 - first)
        found.append(saved(build, PLAIN)["parameters"])
    assert not torch.equal(*found)


def test_a_flip_between_steps_is_that_bit_and_nothing_else() -> None:
    build = TraceBuilder(nodes=NODES)
    build.step(0, 2)
    before = saved(build)
    for target in ("parameters", "optimizer"):
        build.upset(0, target, 0.5, 3)
        after = saved(build)
        differing = {n for n in before if not torch.equal(before[n], after[n])}
        assert len(differing) == 1
        (name,) = differing
        assert name == "parameters" if target == "parameters" else name.startswith("inner/")
        changed = before[name].view(torch.int32) ^ after[name].view(torch.int32)
        assert changed.count_nonzero() == 1
        assert changed.max() == 1 << 3
        build.upset(0, target, 0.5, 3)  # and back
        after = saved(build)
        assert all(torch.equal(before[n], after[n]) for n in before)


def test_a_gradient_is_hit_between_the_backward_pass_and_the_step() -> None:
    """The first step of AdamW is as long as the learning rate, against the gradient's sign."""
    spec = replace(PLAIN, inner=replace(PLAIN.inner, weight_decay=0.0, clip_norm=0.0, warmup_fraction=0.0))
    tensors = []
    for flipped in (False, True):
        build = TraceBuilder(nodes=NODES)
        if flipped:
            build.upset(0, "gradient", 0.75, 31)
        build.step(0, 1)
        tensors.append(saved(build, spec))
    changed = (tensors[0]["parameters"] != tensors[1]["parameters"]).nonzero().view(-1).tolist()
    trained = len(tensors[0]["parameters"])
    assert changed == [int(0.75 * trained)]
    moments = [torch.cat([t[f"inner/{k}/exp_avg"] for k in (0, 1)]) for t in tensors]
    assert torch.equal(moments[0][changed[0]], -moments[1][changed[0]])


def test_an_optimizer_at_rest_has_nothing_to_hit() -> None:
    build = TraceBuilder(nodes=NODES)
    build.upset(0, "optimizer")
    build.step(0, 1)
    assert events(group_of(build).all_rows()) == ["step"]


@pytest.mark.parametrize("target", ["message", "version", "checkpoint"])
def test_what_has_a_checksum_stays_as_it_was_and_the_flip_is_found(target: str) -> None:
    build, clean = TraceBuilder(nodes=NODES), TraceBuilder(nodes=NODES)
    for trace in (build, clean):
        trace.step(0, 2)
        name = trace.snapshot(0, 0)
        if trace is build:
            values = {"message": name, "version": "global/0@0", "checkpoint": ""}
            build.upset(0, target, 0.999, 31, values[target])  # type: ignore[arg-type]
        trace.merge(0, {name: 1.0})
    group = group_of(build)
    assert group.executors[0].digest() == group_of(clean).executors[0].digest()
    (row,) = (row for row in group.all_rows() if row["event"] == "upset")
    kind = "crc32" if target == "message" else "sha256"
    assert row == {"event": "upset", "op": 2, "sim_s": 3e-6, "node": 0, "target": target, "bit": 31, "found": kind}


def test_a_loss_that_is_not_finite_stops_a_node_or_lets_it_begin_anew() -> None:
    build = TraceBuilder(nodes=NODES)
    build.step(0, 2)
    build.merge(0, {build.snapshot(0, 0): 1.0})
    build.adopt(0, 1)
    build.upset(0, "parameters", 0.5, 30)
    build.step(0, 2)
    version = group_of(build).saved()[1].tensors["global/0@1/parameters"]
    rows = group_of(build, PLAIN).all_rows()
    assert events(rows) == ["step", "merge", "upset", "stop"]
    group = group_of(build)
    rows = group.all_rows()
    assert events(rows) == ["step", "merge", "upset", "corrupt"]
    assert rows[-1] == {"event": "corrupt", "op": 5, "sim_s": 6e-6, "node": 0, "problem": LOSS_NOT_FINITE}
    node = group.saved()[0][0]
    assert torch.equal(node.tensors["parameters"], version)
    assert node.meta == {"rewarm_left": 2, "stopped": 0}
    assert not any(name.startswith("inner/") for name in node.tensors)
    build.step(0, 2)
    assert events(group_of(build).all_rows())[-1] == "step"


def test_moments_that_cannot_be_are_found_behind_the_steps_in_which_they_were_hit() -> None:
    build = TraceBuilder(nodes=NODES)
    build.step(0, 4)
    build.upset(0, "optimizer", 0.1, 30)  # a mean
    build.step(0, 1)
    rows = group_of(build).all_rows()
    assert [row.get("problem") for row in rows] == [None, None, None, MOMENTS]
    assert events(group_of(build, PLAIN).all_rows()) == ["step", "upset", "step"]


def outlier() -> TraceBuilder:
    """Three contributions as they should be, and one of which a bit was flipped since the last step."""
    build = TraceBuilder(nodes=NODES)
    for version in range(4):
        build.step(0, 2)
        if version == 3:
            build.upset(0, "parameters", 0.0, 29)  # from about 0.02 up or down by 2^64
        build.merge(version, {build.snapshot(0, version): 1.0})
        build.adopt(0, version + 1)
    build.evaluate(4)
    return build


def test_a_contribution_that_is_far_too_large_is_refused_and_its_node_begins_anew() -> None:
    build = outlier()
    before = saved(TraceBuilder(nodes=NODES, ops=build.ops[:13]))["parameters"][0].item()
    bit = 29 if abs(before) < 2**-64 else 28
    build.ops[13] = replace(build.ops[13], bit=bit, target="parameters")  # type: ignore[call-arg]
    hit = saved(TraceBuilder(nodes=NODES, ops=build.ops[:14]))["parameters"][0].item()
    if abs(hit) < 1.0:  # whichever way that bit goes: make it the one that makes it large
        build.ops[13] = replace(build.ops[13], bit=30)  # type: ignore[call-arg]
    rows = group_of(build).all_rows()
    assert [row["problem"] for row in rows if row["event"] in ("refuse", "corrupt")] == [NORM, NORM]
    merge = [row for row in rows if row["event"] == "merge"][-1]
    assert (merge["outer_gradient_norm"], merge["refused_weight"]) == (0.0, 1.0)
    norms = [row["outer_gradient_norm"] for row in group_of(build, PLAIN).all_rows() if row["event"] == "merge"]
    assert norms[-1] > 1e6 * norms[0]


def test_who_begins_anew_has_made_no_progress_since_any_snapshot() -> None:
    """When its outer gradient is merged it keeps what it trained since it began anew: nothing."""
    build = TraceBuilder(nodes=NODES)
    build.step(0, 2)
    name = build.snapshot(0, 0)
    build.upset(0, "parameters", 0.5, 30)
    build.step(0, 2)  # it begins anew from version 0
    build.merge(0, {name: 1.0})
    build.adopt(0, 1, "keep", name)
    build.evaluate(1)
    group = group_of(build)
    assert "corrupt" in events(group.all_rows())
    nodes, shared = group.saved()
    assert torch.equal(nodes[0].tensors["parameters"], shared.tensors["global/0@1/parameters"])


def test_who_has_taken_no_step_since_it_began_anew_does_not_count() -> None:
    """It stands for inner steps in the trace, and has nothing to show for them: the average is that of the other."""
    build, alone = TraceBuilder(nodes=NODES), TraceBuilder(nodes=NODES)
    for trace in (build, alone):
        trace.step(0, 2)
        if trace is build:
            build.upset(1, "parameters", 0.5, 30)
            build.step(1, 2)
        name = trace.snapshot(0, 0)
        trace.merge(0, {name: 0.5, build.snapshot(1, 0): 0.5} if trace is build else {name: 1.0})
        trace.evaluate(1)
    group = group_of(build)
    refused = [(row["node"], row["problem"]) for row in group.all_rows() if row["event"] == "refuse"]
    assert refused == [(1, NOTHING)]
    assert events(group.all_rows()).count("corrupt") == 1
    assert group.executors[0].digest() == group_of(alone).executors[0].digest()


def test_where_all_is_refused_nothing_moves_nor_does_momentum() -> None:
    build = TraceBuilder(nodes=NODES)
    build.step(0, 2)
    build.merge(0, {build.snapshot(0, 0): 1.0})
    build.adopt(0, 1)
    build.upset(0, "parameters", 0.5, 30)
    build.step(0, 1)
    build.merge(1, {build.snapshot(0, 1): 1.0})
    build.evaluate(1)
    build.evaluate(2)
    shared = group_of(build, replace(SCREENED, outer=OuterSpec()), limit=8).saved()[1].tensors
    for part in ("parameters", "momentum"):
        assert torch.equal(shared[f"global/0@1/{part}"], shared[f"global/0@2/{part}"])
    assert shared["global/0@1/momentum"].any()


def test_versions_are_held_for_as_long_as_nodes_may_go_back_to_them() -> None:
    build = TraceBuilder(nodes=NODES)
    build.step(0, 1)  # 0
    name = build.snapshot(0, 0)  # 1
    build.merge(0, {name: 1.0})  # 2
    build.step(0, 1)  # 3
    build.adopt(0, 1, "keep", name)  # 4
    build.step(0, 1)  # 5
    trace = build.trace()
    found = bases(trace)
    assert found == {0: ((0, None),), 1: ((0, None),), 3: ((0, None),), 5: ((1, None),)}
    assert (None, "global/0@0") in drops(trace)[2]
    assert (None, "global/0@0") in drops(trace, found)[3]
    assert (peak_versions(trace), peak_versions(trace, found)) == (2, 2)
    build.start_anew(0, 1, 1, codec="bf16")
    build.step(0, 1)
    assert bases(build.trace())[8] == ((1, "bf16"),)


@pytest.mark.parametrize("spec", [PLAIN, replace(PLAIN, outer=OuterSpec(optimizer="adamw", lr=0.1))])
def test_an_average_or_a_version_that_is_not_finite_is_not_taken(spec: object) -> None:
    """Two finite contributions of 3e38 are no finite sum; one alone times a large rate is no finite version."""
    build = TraceBuilder(nodes=NODES)
    build.upset(0, "parameters", 0.0, 30)
    build.upset(1, "parameters", 0.0, 30)
    a, b = build.snapshot(0, 0), build.snapshot(1, 0)
    build.merge(0, {a: 30.0, b: 30.0})
    build.evaluate(1)
    group = group_of(build, spec)
    (refused,) = (row for row in group.all_rows() if row["event"] == "refuse")
    assert refused == {"event": "refuse", "op": 4, "sim_s": 5e-6, "fragment": 0, "problem": "the average is not finite"}
    assert all(torch.isfinite(tensor).all() for tensor in group.saved()[1].tensors.values())


def test_a_version_that_would_not_be_finite_is_the_one_before() -> None:
    build = TraceBuilder(nodes=NODES)
    build.upset(0, "parameters", 0.0, 30)
    build.merge(0, {build.snapshot(0, 0): 1.0})
    build.evaluate(1)
    start = run_local(TraceBuilder(nodes=NODES).trace(), PLAIN, gpt()).digest
    group = group_of(build, replace(PLAIN, outer=OuterSpec(lr=1e6)))
    problems = [row["problem"] for row in group.all_rows() if row["event"] == "refuse"]
    assert problems == ["the version would not be finite"]
    assert group.executors[0].digest() == start


CASES = {
    (codec, screened): (upsets_trace(codec), SCREENED if screened else PLAIN)
    for codec in ("fp32", "int8")
    for screened in (True, False)
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Trace, object, str, list[Row]]:
    trace, spec = CASES[request.param]
    result = run_local(trace, spec, gpt())
    assert all(torch.isfinite(tensor).all() for tensor in result.parameters.values())
    return trace, spec, result.digest, list(result.rows)


def test_much_happens_and_all_that_has_a_checksum_is_found(case: tuple[Trace, object, str, list[Row]]) -> None:
    rows = case[3]
    checked = [row for row in rows if row["event"] == "upset" and "found" in row]
    assert {row["target"] for row in checked} == {"message", "version", "checkpoint"}
    assert all(row["found"] for row in checked)
    assert ("corrupt" in events(rows)) == (case[1] is SCREENED)


@pytest.mark.parametrize("workers", [2, 4])
def test_number_of_workers_changes_no_bit(case: tuple[Trace, object, str, list[Row]], workers: int) -> None:
    trace, spec, digest, rows = case
    group = Group.of(trace, spec, gpt, workers)  # type: ignore[arg-type]
    group.run(spec)  # type: ignore[arg-type]
    assert [e.digest() for e in group.executors] == [digest] * workers
    assert lines(group.all_rows()) == lines(rows)


def test_resumed_at_any_cut_with_any_workers(case: tuple[Trace, object, str, list[Row]]) -> None:
    trace, spec, digest, rows = case
    cut_group = Group.of(trace, spec, gpt, 2)  # type: ignore[arg-type]
    for cut in range(0, len(trace.ops) + 1, 11):
        cut_group.run(spec, limit=cut)  # type: ignore[arg-type]
        nodes, shared = cut_group.saved()
        resumed = Group.of(trace, spec, gpt, 1)  # type: ignore[arg-type]
        resumed.executors[0].load(cut, nodes, shared)
        resumed.run(spec)  # type: ignore[arg-type]
        assert resumed.executors[0].digest() == digest, f"cut at {cut}"
        assert lines([row for row in rows if row["op"] < cut] + resumed.all_rows()) == lines(rows)


def test_a_screened_run_without_a_flip_is_the_run_that_is_not_screened() -> None:
    build = TraceBuilder(nodes=NODES)
    for version in range(5):
        for node in NODES:
            build.step(node, 3)
        names = [build.snapshot(node, version) for node in NODES]
        build.merge(version, dict.fromkeys(names, 0.5))
        for node in NODES:
            build.adopt(node, version + 1)
    assert snapshot_value(0, 0, 1) in build.holds
    plain, screened = (run_local(build.trace(), spec, gpt()) for spec in (PLAIN, SCREENED))
    assert plain.digest == screened.digest
    assert plain.rows == screened.rows
