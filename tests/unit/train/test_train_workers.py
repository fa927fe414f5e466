"""The same bits on any number of workers, with and without interruptions."""

from dataclasses import dataclass
from functools import partial
from itertools import cycle

import pytest
import torch

from orbital_train.schedule.ops.nodes import Restore
from orbital_train.schedule.trace import Trace
from orbital_train.train.liveness import goes_back, peak_states, peak_versions
from orbital_train.train.problem import Problem
from orbital_train.train.rows import Row
from orbital_train.train.run import run_local
from orbital_train.train.spec import TrainSpec
from tests.unit.train.failure_traces import failures_trace
from tests.unit.train.group_traces import gossip_trace, groups_trace
from tests.unit.train.problems import line_problem, tiny_problem, tiny_spec
from tests.unit.train.thread_workers import REPLICA, Group
from tests.unit.train.traces import everything_trace, rounds_trace, streaming_trace

SPEC = tiny_spec()
TRACE = everything_trace()
TRACES = {
    "everything": TRACE,
    "streaming": streaming_trace(),
    "failures": failures_trace(),
    "gossip": gossip_trace(),
    "groups": groups_trace(),
}


def gpt() -> Problem:
    return tiny_problem(SPEC, TRACE.fleet_nodes)


@dataclass(frozen=True)
class Whole:
    """A trace as one worker executes it that is never stopped."""

    trace: Trace
    digest: str
    rows: list[Row]


@pytest.fixture(scope="module", params=TRACES)
def whole(request: pytest.FixtureRequest) -> Whole:
    trace = TRACES[request.param]
    result = run_local(trace, SPEC, gpt())
    return Whole(trace, result.digest, list(result.rows))


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_number_of_workers_changes_no_bit(workers: int, whole: Whole) -> None:
    group = Group.of(whole.trace, SPEC, gpt, workers)
    group.run(SPEC)
    assert [e.digest() for e in group.executors] == [whole.digest] * workers
    assert group.all_rows() == whole.rows


def test_workers_take_turns_at_evaluation() -> None:
    group = Group.of(TRACE, SPEC, gpt, 2)
    group.run(SPEC)
    evaluations = [[row["versions"] for row in rows if row["event"] == "evaluate"] for rows in group.rows]
    assert evaluations == [[[0], [2]], [[1], [5]]]


@pytest.mark.parametrize("trace", TRACES.values(), ids=TRACES)
def test_resumed_at_every_cut_with_any_workers(trace: Trace) -> None:
    """Two workers are cut before every operation in turn; one and four workers go on from there by turns."""
    whole = run_local(trace, SPEC, line_problem())
    cut_group = Group.of(trace, SPEC, line_problem, 2)
    for cut, workers in zip(range(len(trace.ops) + 1), cycle((1, 4)), strict=False):
        cut_group.run(SPEC, limit=cut)
        nodes, shared = cut_group.saved()
        resumed = Group.of(trace, SPEC, line_problem, workers)
        for executor in resumed.executors:
            executor.load(cut, nodes, shared)
        resumed.run(SPEC)
        assert {e.digest() for e in resumed.executors} == {whole.digest}, f"cut at {cut}, {workers} workers"
        before = [row for row in whole.rows if row["op"] < cut]
        assert before + resumed.all_rows() == list(whole.rows)


def test_saved_state_shares_no_memory_with_the_run(whole: Whole) -> None:
    group = Group.of(whole.trace, SPEC, gpt, 1)
    group.run(SPEC, limit=9)
    nodes, shared = group.saved()
    group.run(SPEC)
    resumed = Group.of(whole.trace, SPEC, gpt, 1)
    resumed.executors[0].load(9, nodes, shared)
    resumed.run(SPEC)
    assert resumed.executors[0].digest() == whole.digest == group.executors[0].digest()


def test_a_survivor_goes_back_to_a_cut(whole: Whole) -> None:
    """Executors that ran on when another worker was lost load the same state as its replacement."""
    group = Group.of(whole.trace, SPEC, gpt, 2)
    group.run(SPEC, limit=21)
    nodes, shared = group.saved()
    group.run(SPEC, limit=len(whole.trace.ops) - 2)
    for rows in group.rows:
        rows.clear()
    for executor in group.executors:
        executor.load(21, nodes, shared)
    group.run(SPEC)
    assert {e.digest() for e in group.executors} == {whole.digest}
    assert group.all_rows() == [row for row in whole.rows if row["op"] >= 21]


def test_only_live_values_are_held() -> None:
    group = Group.of(TRACE, SPEC, gpt, 1)
    peak = 0
    for cut in range(len(TRACE.ops) + 1):
        group.run(SPEC, limit=cut)
        _, shared = group.saved()
        peak = max(peak, sum(name.endswith("/momentum") for name in shared.tensors))
    nodes, shared = group.saved()
    assert peak == 2
    assert sorted(n for n in shared.tensors if n.startswith("global")) == [
        "global/0@5/momentum",
        "global/0@5/parameters",
    ]
    assert all(set(saved.tensors) == REPLICA for saved in nodes.values())


def test_only_live_fragments_and_sums_are_held() -> None:
    """As many versions as are counted for the memory estimate, and nothing is left in the end."""
    trace = TRACES["streaming"]
    group, peak, sums = Group.of(trace, SPEC, gpt, 2), 0, set()
    for cut in range(len(trace.ops) + 1):
        group.run(SPEC, limit=cut)
        nodes, shared = group.saved()
        names = [name.partition("@")[0] for name in shared.tensors if name.endswith("/momentum")]
        peak = max(peak, *(names.count(f"global/{fragment}") for fragment in (0, 1)))
        sums |= {(node, name) for node, saved in nodes.items() for name in saved.tensors if name.startswith("sum/")}
    assert peak == peak_versions(trace)
    assert sums == {(3, "sum/3/0@0"), (2, "sum/0/0@0"), (2, "sum/2/1@0"), (0, "sum/0/0@1"), (0, "sum/2/1@1")}
    assert {name.rpartition("/")[0] for name in shared.tensors} == {"global/0@2", "global/1@3"}
    left = {name for saved in nodes.values() for name in saved.tensors}
    assert left == REPLICA


def test_only_states_that_are_gone_back_to_are_kept() -> None:
    """From the operation that wrote them to the one that reads them; and nothing is left in the end."""
    trace = TRACES["failures"]
    group, kept, peak = Group.of(trace, SPEC, gpt, 2), set(), 0
    for cut in range(len(trace.ops) + 1):
        group.run(SPEC, limit=cut)
        nodes, _ = group.saved()
        names = {name.removesuffix("/parameters") for saved in nodes.values() for name in saved.tensors}
        names = {name for name in names if name.startswith("local/") and "/inner/" not in name}
        kept |= {(cut, name) for name in names}
        peak = max(peak, len(names))
    assert peak == peak_states(trace) == 1
    expected = {}
    for op in trace.of_kind(Restore):
        if goes_back(op):
            (name,) = op.reads
            written = next((o.id for o in trace.ops if name in o.writes), -1)
            expected |= {(cut, name): None for cut in range(written + 1, op.id + 1)}
    assert kept == expected.keys()
    assert {name for _, name in kept} == {"local/3@0", "local/0@2", "local/7@4"}
    assert {name for saved in nodes.values() for name in saved.tensors} == REPLICA


def test_bytes_sent_are_one_partial_sum_and_one_result_a_merge() -> None:
    """Two workers with two nodes each, three merges of two float32 parameters and the refused weight; evaluations send
    nothing."""
    group = Group.of(rounds_trace((0, 1, 2, 3), rounds=3, steps=2), SPEC, line_problem, 2)
    group.run(SPEC)
    assert [t.bytes_sent for t in group.transports] == [3 * 3 * 4, 3 * 3 * 4]


@pytest.mark.parametrize("workers", [1, 2])
def test_two_parameters(workers: int) -> None:
    group = Group.of(TRACE, SPEC, line_problem, workers)
    group.run(SPEC)
    assert group.executors[0].digest() == run_local(TRACE, SPEC, line_problem()).digest


def test_bfloat16_pass_is_deterministic_too() -> None:
    spec: TrainSpec = tiny_spec(dtype="bfloat16")
    problem = partial(tiny_problem, spec, TRACE.fleet_nodes)
    group = Group.of(TRACE, spec, problem, 2)
    group.run(spec)
    alone = run_local(TRACE, spec, problem())
    assert group.executors[1].digest() == alone.digest
    assert all(p.dtype == torch.float32 for p in alone.parameters.values())
