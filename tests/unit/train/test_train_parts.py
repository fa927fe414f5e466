"""All-reduces in parts: what the executor makes of a part, and that a simulated one trains as its sums say."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from orbital_train.schedule.ops.merging import Combine, Merge
from orbital_train.schedule.policies.fixed_period import FixedPeriod
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Trace
from tests.unit.schedule.scenarios import scenario
from tests.unit.train.problems import line_problem, tiny_spec
from tests.unit.train.test_train_sums import gpt, gradients, outer_gradient, trained
from tests.unit.train.thread_workers import Group
from tests.unit.train.trace_builder import TraceBuilder

SPEC = tiny_spec()


def in_three_parts(codec: str = "fp32") -> TraceBuilder:
    """Four nodes; every part is added up in another order, as on a ring."""
    build, names = trained(codec)
    totals = []
    for number, order in enumerate(((0, 1, 2, 3), (2, 3, 0, 1), (3, 0, 1, 2))):
        first, *rest = [names[k] for k in order]
        total = build.combine(order[1], {first: 2.0, rest[0]: 1.0}, codec, part=(number, 3))
        for node, name in zip(order[2:], rest[1:], strict=True):
            total = build.combine(node, {total: 1.0, name: 1.0}, codec, part=(number, 3))
        totals.append(total)
    build.merge(0, dict.fromkeys(totals, 0.2), codec=codec)
    return build


def test_a_part_is_its_stretch_of_the_vector_and_each_is_added_up_in_its_own_order() -> None:
    g = gradients()
    size = g[0].numel()
    assert size % 3
    cuts = [0, size // 3, 2 * size // 3, size]
    first, second, third = (slice(a, b) for a, b in itertools.pairwise(cuts))
    expected = torch.cat(
        [
            (((g[0] * 2 + g[1]) + g[2]) + g[3])[first],
            (((g[2] * 2 + g[3]) + g[0]) + g[1])[second],
            (((g[3] * 2 + g[0]) + g[1]) + g[2])[third],
        ]
    )
    found = outer_gradient(in_three_parts().trace())
    assert torch.equal(found, expected * 0.2)


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("codec", ["fp32", "bf16", "fp8", "int4", "topk3"])
def test_parts_are_the_same_on_any_number_of_workers(workers: int, codec: str) -> None:
    trace = in_three_parts(codec).trace()
    assert torch.equal(outer_gradient(trace), outer_gradient(trace, workers))


def test_parts_may_be_more_than_parameters() -> None:
    """The line has two parameters: of five parts three are empty."""
    build = TraceBuilder(nodes=(0, 1))
    for node in build.nodes:
        build.step(node, 1)
    a, b = (build.snapshot(node, 0) for node in build.nodes)
    totals = [build.combine(0, {a: 1.0, b: 1.0}, part=(number, 5)) for number in range(5)]
    build.merge(0, dict.fromkeys(totals, 0.5))
    flat = TraceBuilder(nodes=(0, 1))
    for node in flat.nodes:
        flat.step(node, 1)
    flat.merge(0, dict.fromkeys([flat.snapshot(node, 0) for node in flat.nodes], 0.5))
    assert torch.equal(momentum(build.trace()), momentum(flat.trace()))


def momentum(trace: Trace, workers: int = 1) -> torch.Tensor:
    group = Group.of(trace, SPEC, line_problem, workers)
    group.run(SPEC)
    return group.executors[0].save_shared().tensors["global/0@1/momentum"]


def test_blocking_rounds_on_a_ring_train_as_the_average_says() -> None:
    """The first outer step is that of the plain average of what the nodes have trained, to rounding."""
    trace = simulate(scenario(4, budget_steps=24), FixedPeriod(inner_steps=3))
    merges = list(trace.of_kind(Merge))
    assert all(len(merge.inputs) == 4 for merge in merges)
    assert sum(1 for _ in trace.of_kind(Combine)) == 12 * len(merges)
    flat = TraceBuilder(nodes=(0, 1, 2, 3), budget_steps=6)
    for node in flat.nodes:
        flat.step(node, 3)
    flat.merge(0, dict.fromkeys([flat.snapshot(node, 0) for node in flat.nodes], 0.25))
    first = cut_after_first_merge(trace)
    torch.testing.assert_close(outer_gradient(first), outer_gradient(flat.trace()), rtol=1e-5, atol=1e-8)
    assert torch.equal(outer_gradient(first), outer_gradient(first, workers=2))
    group = Group.of(trace, SPEC, gpt, 1)
    group.run(SPEC)
    assert group.executors[0].digest()


def cut_after_first_merge(trace: Trace) -> Trace:
    first = next(trace.of_kind(Merge))
    return replace(trace, ops=trace.ops[: first.id + 1], versions=(1,))
