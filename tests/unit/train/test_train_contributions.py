"""What is refused, clipped, and merged so that outliers cannot pull it away."""

import json
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from orbital_train.errors import InputError
from orbital_train.schedule.trace import Trace
from orbital_train.train.contributions import robust_average, without_refused
from orbital_train.train.problem import Problem
from orbital_train.train.protocol import Batch
from orbital_train.train.rows import Row
from orbital_train.train.run import run_local
from orbital_train.train.spec import InnerSpec, OuterSpec, TrainSpec
from tests.unit.train.problems import Line, line_batch, tiny_spec
from tests.unit.train.thread_workers import Group
from tests.unit.train.trace_builder import TraceBuilder
from tests.unit.train.traces import contributions_trace, rounds_trace, streaming_trace

AVERAGE = OuterSpec(lr=1.0, momentum=0.0)
NAN = math.nan


def spoiled(*which: tuple[int, int], value: float = NAN) -> Callable[[], Problem]:
    """The two parameters, but some batches (node, step) have a value that is none."""

    def batch(node: int, step: int) -> Batch:
        x_B, y_B = line_batch(node, step)
        return x_B, y_B * (value if (node, step) in which else 1.0)

    return lambda: Problem(module=Line(), batch=batch, validation=(line_batch(0, 0),), tokens_per_step=4)


def executed(
    trace: Trace, problem: Callable[[], Problem], spec: TrainSpec | None = None, workers: int = 1
) -> tuple[Group, list[Row]]:
    spec = spec or tiny_spec(outer=AVERAGE)
    group = Group.of(trace, spec, problem, workers)
    group.run(spec)
    return group, group.all_rows()


def replicas(group: Group) -> dict[int, Tensor]:
    return {node: saved.tensors["parameters"] for node, saved in group.saved()[0].items()}


def version(group: Group, number: int) -> Tensor:
    return group.saved()[1].tensors[f"global/0@{number}/parameters"]


def one_round(weights: dict[int, float], steps: int = 2) -> TraceBuilder:
    build = TraceBuilder(nodes=tuple(weights))
    for node in weights:
        build.step(node, steps)
    build.merge(0, {build.snapshot(node, 0): weight for node, weight in weights.items()})
    return build


# -- what is not finite ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [NAN, math.inf])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_node_whose_loss_is_not_finite_is_stopped_and_the_run_goes_on(workers: int, value: float) -> None:
    """Its contributions have no weight, and what the others contribute does not shrink for it."""
    build = one_round({0: 0.25, 1: 0.5, 2: 0.25}, steps=4)
    build.step(1, 3)
    build.adopt(1, 1)
    build.step(1, 1)
    build.evaluate(1)
    group, rows = executed(build.trace(), spoiled((1, 2), value=value), workers=workers)
    own = replicas(group)
    torch.testing.assert_close(version(group, 1), (own[0] + own[2]) / 2, rtol=1e-6, atol=1e-7)
    assert [row["event"] for row in rows] == ["step", "stop", "step", "refuse", "merge", "evaluate"]
    assert rows[1] == {"event": "stop", "op": 1, "sim_s": 2e-6, "node": 1, "step": 2,
                       "problem": "the loss is not finite"}  # fmt: skip
    assert rows[3] == {"event": "refuse", "op": 4, "sim_s": 5e-6, "node": 1, "fragment": 0,
                       "problem": "it is not finite"}  # fmt: skip
    assert rows[4]["refused_weight"] == 0.5
    assert all(math.isfinite(row["loss"]) for row in rows if "loss" in row)
    assert all("NaN" not in json.dumps(row) and "Infinity" not in json.dumps(row) for row in rows)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_refused_is_refused_in_all_parts_of_a_sum(workers: int) -> None:
    build = TraceBuilder(nodes=(0, 1, 2))
    for node in build.nodes:
        build.step(node, 2)
    weights = {build.snapshot(node, 0): weight for node, weight in ((0, 1.0), (1, 2.0), (2, 1.0))}
    build.merge(0, {build.combine(0, weights, part=(number, 2)): 0.25 for number in range(2)})
    group, rows = executed(build.trace(), spoiled((1, 1), value=NAN), workers=workers)
    own = replicas(group)
    torch.testing.assert_close(version(group, 1), (own[0] + own[2]) / 2, rtol=1e-6, atol=1e-7)
    assert [row["refused_weight"] for row in rows if row["event"] == "merge"] == [0.5]


def test_one_that_is_finite_by_luck_is_refused_too() -> None:
    """Its replica has adopted a sound version, but its optimizer has not."""
    build = one_round({0: 0.5, 1: 0.5})
    build.adopt(1, 1)
    build.merge(1, {build.snapshot(0, 0): 0.5, build.snapshot(1, 1): 0.5})
    build.evaluate(2)
    _, rows = executed(build.trace(), spoiled((1, 0)))
    assert [row.get("refused_weight") for row in rows if row["event"] == "merge"] == [0.5, 0.5]


def test_parameters_that_are_not_finite_are_refused_before_the_loss_tells() -> None:
    """The learning rate is so large that the last step of a node takes it beyond all numbers."""
    spec = tiny_spec(outer=AVERAGE, inner=InnerSpec(lr=1e38, optimizer="SGD", clip_norm=0.0, warmup_fraction=0.0))
    group, rows = executed(one_round({0: 0.5, 1: 0.5}, steps=1).trace(), spoiled((1, 0), value=1e6), spec)
    assert [row["event"] for row in rows] == ["step", "step", "refuse", "merge"]
    torch.testing.assert_close(version(group, 1), replicas(group)[0])


def test_where_everything_is_refused_nothing_is_merged() -> None:
    trace = one_round({0: 0.3, 1: 0.7}).trace()
    for outer in (AVERAGE, OuterSpec(merging="median")):
        group, rows = executed(trace, spoiled((0, 0), (1, 1)), tiny_spec(outer=outer))
        assert version(group, 1).tolist() == [0.5, -0.25]
        assert rows[-1]["refused_weight"] == pytest.approx(1.0)
        assert rows[-1]["outer_gradient_norm"] == 0.0


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_sums_on_the_way_say_what_of_them_was_refused(workers: int) -> None:
    """With weights that are not normalised, in a sum of a sum, and where all of a sum was refused."""
    build = TraceBuilder(nodes=(0, 1, 2, 3, 4))
    for node in build.nodes:
        build.step(node, 2)
    a, b, c, d, e = (build.snapshot(node, 0) for node in build.nodes)
    inner = build.combine(1, {b: 3.0, c: 2.0})
    outer = build.combine(0, {inner: 1.0, a: 1.0})
    refused = build.combine(3, {d: 1.0})
    build.merge(0, {outer: 0.1, refused: 0.2, e: 0.2})
    group, rows = executed(build.trace(), spoiled((1, 0), (3, 1)), workers=workers)
    own = replicas(group)
    expected = (0.1 * own[0] + 0.2 * own[2] + 0.2 * own[4]) / 0.5
    torch.testing.assert_close(version(group, 1), expected, rtol=1e-6, atol=1e-6)
    assert rows[-1]["refused_weight"] == pytest.approx(0.5)


def test_a_node_that_is_sent_the_model_trains_again() -> None:
    build = one_round({0: 0.5, 1: 0.5})
    build.start_anew(1, 0, 1)
    build.step(1, 2)
    build.merge(1, {build.snapshot(1, 1): 1.0})
    group, rows = executed(build.trace(), spoiled((1, 1)))
    assert [row["event"] for row in rows][-3:] == ["restore", "step", "merge"]
    assert torch.isfinite(version(group, 2)).all()
    assert "refused_weight" not in rows[-1]


def test_one_that_goes_back_to_its_store_trains_again() -> None:
    """The steps that led astray are in no store."""
    build = TraceBuilder(nodes=(0,))
    build.step(0, 2)
    build.step(0, 1)
    build.go_on(0, states_lost=1)
    build.step(0, 1)
    build.merge(0, {build.snapshot(0, 0): 1.0})
    _, rows = executed(build.trace(), spoiled((0, 2)))
    assert [row["event"] for row in rows] == ["step", "stop", "lose", "restore", "step", "merge"]


@pytest.mark.parametrize("workers", [1, 2])
def test_synchronous_steps_leave_out_what_is_not_finite(workers: int) -> None:
    """The mean is that of the others; two of three in step 1, none in step 3."""
    build = TraceBuilder(nodes=(0, 1, 2), budget_steps=4)
    build.sync_step(4, 0)
    build.evaluate(1)
    gone = ((1, 1), (0, 3), (1, 3), (2, 3))
    spec = tiny_spec(inner=InnerSpec(lr=0.1, optimizer="SGD", clip_norm=0.0, warmup_fraction=0.0, schedule="constant"))
    group, rows = executed(build.trace(), spoiled(*gone), spec, workers)
    line = Line()
    for step in range(3):
        nodes = [node for node in build.nodes if (node, step) not in gone]
        line.zero_grad()
        (sum(line(*line_batch(node, step)) for node in nodes) / len(nodes)).backward()
        torch.optim.SGD(line.parameters(), lr=0.1).step()
    found = torch.cat([tensor.flatten() for tensor in group.executors[0].parameters().values()])
    torch.testing.assert_close(found, torch.cat([p.detach().flatten() for p in line.parameters()]))
    told = [(row["node"], row["step"]) for row in rows if row["event"] == "refuse"]
    assert told == [(1, 1), (0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize("make", [contributions_trace, streaming_trace])
@pytest.mark.parametrize("cut", [8, 17, 25])
def test_refusals_change_no_bit_with_the_number_of_workers_or_a_resume(make: Callable[[], Trace], cut: int) -> None:
    trace, spec, problem = make(), tiny_spec(), spoiled((2, 0), (7, 2))
    whole = run_local(trace, spec, problem())
    assert sum(row["event"] == "stop" for row in whole.rows) == 2
    two = Group.of(trace, spec, problem, 2)
    two.run(spec, limit=cut)
    for workers in (1, 4):
        resumed = Group.of(trace, spec, problem, workers)
        for executor in resumed.executors:
            executor.load(cut, *two.saved())
        resumed.run(spec)
        assert {e.digest() for e in resumed.executors} == {whole.digest}
        assert [row for row in whole.rows if row["op"] < cut] + resumed.all_rows() == list(whole.rows)


def test_what_was_refused_does_not_scale_counts() -> None:
    """Integers, the last element, are no average; where there was no refusal not a bit moves."""
    total = torch.tensor([0.3, 0.6, 5.0])
    assert without_refused(total, 0.0, 2) is total
    torch.testing.assert_close(without_refused(total, 0.4, 2), torch.tensor([0.5, 1.0, 5.0]))


# -- norms -----------------------------------------------------------------------------------------------------------


def test_norms_of_contributions_are_clipped() -> None:
    """Those above the limit are scaled to it, one by one; the replica itself is not."""
    trace = one_round({0: 0.5, 1: 0.5}, steps=5).trace()
    free, _ = executed(trace, spoiled())
    start = torch.tensor([0.5, -0.25])
    deltas = {node: start - own for node, own in replicas(free).items()}
    short, long = sorted(deltas.values(), key=torch.linalg.vector_norm)
    limit = torch.linalg.vector_norm(torch.stack([short, long]), dim=1).mean().item()
    spec = tiny_spec(outer=OuterSpec(lr=1.0, momentum=0.0, clip_norm=limit))
    clipped, _ = executed(trace, spoiled(), spec)
    expected = start - (short + long * limit / torch.linalg.vector_norm(long)) / 2
    torch.testing.assert_close(version(clipped, 1), expected, rtol=1e-5, atol=1e-6)
    assert all(torch.equal(own, replicas(free)[node]) for node, own in replicas(clipped).items())


# -- outliers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("spec", "expected"), [
    (OuterSpec(merging="median"), 3.0),
    (OuterSpec(merging="trimmed_mean", trim_fraction=0.2), 10 / 3),
    (OuterSpec(merging="trimmed_mean", trim_fraction=0.19), 40.0),
    (OuterSpec(merging="trimmed_mean", trim_fraction=0.49), 3.0),
])  # fmt: skip
def test_of_five(spec: OuterSpec, expected: float) -> None:
    """A fifth is one at either end, a little less none; the last element is an integer: the first one's."""
    column = torch.tensor([4.0, -10.0, 3.0, 200.0, 3.0])
    vectors = torch.stack([column, column.flip(0), torch.arange(5.0)], dim=1)
    torch.testing.assert_close(robust_average(vectors, spec, 2), torch.tensor([expected, expected, 0.0]))


def test_a_median_of_an_even_number_is_between_the_two_in_the_middle() -> None:
    vectors = torch.tensor([[1.0], [7.0], [2.0], [100.0]])
    assert robust_average(vectors, OuterSpec(merging="median"), 1).tolist() == [4.5]
    assert robust_average(vectors[:1], OuterSpec(merging="median"), 1).tolist() == [1.0]
    assert robust_average(vectors[:0], OuterSpec(merging="median"), 1).tolist() == [0.0]


@pytest.mark.parametrize("merging", ["median", "trimmed_mean"])
def test_an_outlier_pulls_a_mean_away_and_not_these(merging: str) -> None:
    """Node 3 learns from targets a thousand times too large."""
    nodes = (0, 1, 2, 3)
    trace = rounds_trace(nodes, rounds=6, steps=2)
    sgd = InnerSpec(lr=0.05, optimizer="SGD", clip_norm=0.0, warmup_fraction=0.0)
    wrong = tuple((3, step) for step in range(12))

    def last_loss(merging: str, value: float) -> float:
        outer = OuterSpec(lr=1.0, momentum=0.0, merging=merging, trim_fraction=0.25)  # type: ignore[arg-type]
        return run_local(trace, tiny_spec(inner=sgd, outer=outer), spoiled(*wrong, value=value)()).losses[-1]

    honest = last_loss("mean", 1.0)
    assert last_loss("mean", 1000.0) > 1000 * honest
    assert last_loss(merging, 1000.0) < 3 * honest


def test_each_needs_every_contribution_by_itself() -> None:
    with pytest.raises(InputError) as caught:
        executed(streaming_trace(), spoiled(), tiny_spec(outer=OuterSpec(merging="median")))
    assert str(caught.value) == (
        "outer.merging = 'median': needs every contribution by itself, and here sums are formed on their way; "
        "accepted: mean"
    )


@pytest.mark.parametrize("merging", ["median", "trimmed_mean"])
def test_every_contribution_travels_to_one_worker(merging: str) -> None:
    """Two workers with two nodes each: two of two parameters and a mark one way, one result the other."""
    spec = tiny_spec(outer=OuterSpec(merging=merging))  # type: ignore[arg-type]
    group, _ = executed(rounds_trace((0, 1, 2, 3), rounds=1, steps=1), spoiled(), spec, workers=2)
    assert [transport.bytes_sent for transport in group.transports] == [12, 24]


@pytest.mark.parametrize("workers", [1, 2])
def test_pieces_of_any_size_give_the_same_bits(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    """One element at a time, of four contributions (peers' bug 1: more than one bucket)."""
    trace, spec = contributions_trace(), tiny_spec(outer=OuterSpec(merging="median"))
    whole = run_local(trace, spec, spoiled()()).digest
    monkeypatch.setattr("orbital_train.train.sums.BUCKET_BYTES", 16)
    group, _ = executed(trace, spoiled(), spec, workers)
    assert {executor.digest() for executor in group.executors} == {whole}
