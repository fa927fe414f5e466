"""Nodes of several devices, data parallel: what one device a node does, within rounding; FSDP2 needs processes, see
``tests/integration/test_fsdp2.py``."""

from functools import partial

import pytest
import torch

from orbital_train.schedule.trace import Trace
from orbital_train.train.problem import Problem
from orbital_train.train.run import Result, run_local
from orbital_train.train.spec import InnerSpec, OuterSpec, TrainSpec
from tests.unit.train.failure_traces import failures_trace
from tests.unit.train.group_traces import gossip_trace, groups_trace
from tests.unit.train.node_devices import Fleet, executed
from tests.unit.train.problems import line_problem, tiny_problem, tiny_spec
from tests.unit.train.test_train_buffers import normed
from tests.unit.train.test_train_contributions import spoiled
from tests.unit.train.traces import codec_trace, contributions_trace, everything_trace, rounds_trace, streaming_trace

NODES = (0, 2, 3, 7)
SPEC = tiny_spec(batch_size=4)
TRACES = {
    "everything": everything_trace(),
    "streaming": streaming_trace(),
    "failures": failures_trace(),
    "groups": groups_trace(),
    "gossip": gossip_trace(),
}


def gpt(spec: TrainSpec = SPEC) -> Problem:
    return tiny_problem(spec, NODES)


def assert_close(result: Result, other: Result, tolerance: float = 1e-5) -> None:
    """The same rows and models, but for rounding."""
    for row, expected in zip(result.rows, other.rows, strict=True):
        numbers = [key for key, value in expected.items() if isinstance(value, float)]
        assert {**row, **dict.fromkeys(numbers)} == {**expected, **dict.fromkeys(numbers)}
        assert [row[key] for key in numbers] == pytest.approx([expected[key] for key in numbers], rel=1e-4)
    for name, tensor in other.parameters.items():
        assert torch.allclose(result.parameters[name], tensor, rtol=0.0, atol=tolerance), name


@pytest.fixture(scope="module", params=TRACES)
def trace(request: pytest.FixtureRequest) -> Trace:
    return TRACES[request.param]


def test_one_device_within_rounding_and_the_same_bits_on_any_number_of_workers(trace: Trace) -> None:
    two = [executed(trace, SPEC, gpt, workers) for workers in (2, 2, 4, 8)]
    assert len({result.digest for result in two}) == 1
    assert all(result.rows == two[0].rows for result in two)
    assert_close(two[0], run_local(trace, SPEC, gpt()))


def test_four_devices() -> None:
    assert_close(executed(TRACES["everything"], SPEC, gpt, 8, devices=4), run_local(TRACES["everything"], SPEC, gpt()))


def test_resumed_at_a_cut_with_other_workers(trace: Trace) -> None:
    whole = executed(trace, SPEC, gpt, 2)
    fleet = Fleet.of(trace, SPEC, gpt, 4, 2)
    for cut in range(0, len(trace.ops) + 1, 5):
        fleet.run(limit=cut)
        resumed = Fleet.of(trace, SPEC, gpt, 2, 2)
        resumed.load(cut, fleet.saved())
        resumed.run()
        result = resumed.result()
        assert result.digest == whole.digest, f"cut at {cut}"
        assert result.rows == tuple(row for row in whole.rows if row["op"] >= cut)


@pytest.mark.parametrize(
    "spec",
    [
        tiny_spec(batch_size=4, inner=InnerSpec(lr=1e-2, optimizer="Muon")),
        tiny_spec(batch_size=4, inner=InnerSpec(lr=1e-2, optimizer="SGD", arguments={"momentum": 0.9})),
        tiny_spec(batch_size=4, inner=InnerSpec(lr=1e-2, micro_batches=2, clip_norm=0.1)),
        tiny_spec(batch_size=4, outer=OuterSpec(optimizer="adamw", lr=0.01, clip_norm=0.01)),
        tiny_spec(batch_size=4, outer=OuterSpec(delay_merges=2)),
    ],
    ids=["muon", "sgd", "micro_batches", "outer_adamw_clipped", "delayed"],
)
def test_other_settings(spec: TrainSpec) -> None:
    trace = rounds_trace(NODES, rounds=3, steps=2, mode="keep")
    assert_close(executed(trace, spec, partial(gpt, spec), 4), run_local(trace, spec, gpt(spec)), tolerance=1e-4)


@pytest.mark.parametrize("merging", ["median", "trimmed_mean"])
def test_merging_without_outliers(merging: str) -> None:
    spec = tiny_spec(batch_size=4, outer=OuterSpec(merging=merging))
    trace = contributions_trace()
    assert_close(executed(trace, spec, gpt, 4), run_local(trace, spec, gpt()))


@pytest.mark.parametrize(("codec", "tolerance"), [("int8", 2e-3), ("topk3", 2e-2)])
def test_what_is_encoded_is_the_same_on_any_number_of_workers(codec: str, tolerance: float) -> None:
    """Of every shard by itself: roundings are drawn anew, and the chunks of a sparse codec are others."""
    trace = codec_trace(codec)
    results = [executed(trace, SPEC, gpt, workers) for workers in (2, 4)]
    assert results[0].digest == results[1].digest
    assert results[0].losses == pytest.approx(run_local(trace, SPEC, gpt()).losses, rel=tolerance)


def test_what_is_not_finite_on_one_device_is_refused_on_all() -> None:
    """The batch of one node has it; one of its devices has no part of the two parameters."""
    trace = rounds_trace(NODES, rounds=2, steps=2)
    problem = spoiled((2, 1))
    result = executed(trace, tiny_spec(), problem, 4)
    assert_close(result, run_local(trace, tiny_spec(), problem()))
    assert [row["event"] for row in result.rows].count("stop") == 1
    assert [row["event"] for row in result.rows].count("refuse") >= 1


def test_buffers_are_averaged() -> None:
    """A device normalises by its part of the batch, as by a micro-batch; statistics are means, and counts counts."""
    trace = rounds_trace(NODES, rounds=2, steps=3)
    result, alone = executed(trace, SPEC, normed, 4), run_local(trace, SPEC, normed())
    assert result.parameters["norm.num_batches_tracked"] == alone.parameters["norm.num_batches_tracked"]
    mean, other = (r.parameters["norm.running_mean"] for r in (result, alone))
    assert torch.allclose(mean, other, rtol=0.2)
    assert not torch.equal(mean, other)


def test_a_device_holds_and_sends_its_part_of_the_outer_state() -> None:
    """Halves of all but the inner optimizer's state; together as many bytes as one device sends."""
    trace = rounds_trace(NODES, rounds=2, steps=1)
    pairs, alone = Fleet.of(trace, SPEC, gpt, 4, 2), Fleet.of(trace, SPEC, gpt, 2, 1)
    for fleet in (pairs, alone):
        fleet.run(limit=22)  # outer gradients of the second round are on their way
    sizes = [
        {name: tensor.numel() for name, tensor in {**nodes[0].tensors, **shared.tensors}.items()}
        for nodes, shared in (*pairs.saved(), *alone.saved())
    ]
    assert sizes[0].keys() == sizes[1].keys() == sizes[2].keys()
    outer = [name for name in sizes[2] if not name.startswith("inner/")]
    kinds = {"parameters", "global", "snap"}
    assert {name.partition("/")[0] for name in outer} == kinds
    for name, whole in sizes[2].items():
        halves = [sizes[0][name], sizes[1][name]]
        assert max(halves) < 0.52 * whole if name in outer else halves == [whole] * 2, name
    sent = [sum(t.bytes_sent for t in fleet.group.transports) for fleet in (pairs, alone)]
    assert sent[0] == pytest.approx(sent[1], rel=0.01)


def test_a_device_without_any_parameters_goes_along() -> None:
    trace = everything_trace()
    assert_close(executed(trace, SPEC, line_problem, 4), run_local(trace, SPEC, line_problem()))
