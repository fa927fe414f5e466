"""Sums formed on the way: where they are held, how they are rounded, and that their bits depend on nothing else."""

import pytest
import torch
from torch import Tensor

from orbital_train.schedule.ops.merging import Merge
from orbital_train.schedule.trace import Trace
from orbital_train.train.codecs import decode
from orbital_train.train.problem import Problem
from tests.unit.train.problems import line_problem, tiny_problem, tiny_spec
from tests.unit.train.thread_workers import Group
from tests.unit.train.trace_builder import TraceBuilder

SPEC = tiny_spec()
NODES = (0, 1, 2, 3)


def gpt() -> Problem:
    return tiny_problem(SPEC, NODES)


def trained(codec: str = "fp32") -> tuple[TraceBuilder, tuple[str, ...]]:
    """Four nodes after one to four steps, and their outer gradients."""
    build = TraceBuilder(nodes=NODES)
    for node in NODES:
        build.step(node, 1 + node)
    return build, tuple(build.snapshot(node, 0, codec) for node in NODES)


def held(trace: Trace, workers: int = 1, cut: int | None = None) -> dict[str, Tensor]:
    """All values that the nodes hold after the operations before a cut, or after all."""
    group = Group.of(trace, SPEC, gpt, workers)
    group.run(SPEC, limit=cut)
    nodes, _ = group.saved()
    return {f"{node}: {name}": t for node, saved in nodes.items() for name, t in saved.tensors.items()}


def outer_gradient(trace: Trace, workers: int = 1) -> Tensor:
    """What the first merge averages: at rest before, momentum is exactly that after it."""
    group = Group.of(trace, SPEC, gpt, workers)
    group.run(SPEC)
    return group.executors[0].save_shared().tensors["global/0@1/momentum"]


def gradients(codec: str = "fp32") -> list[Tensor]:
    """The outer gradients of the four nodes, decoded."""
    build, names = trained(codec)
    cut = len(build.ops)
    build.merge(0, dict.fromkeys(names, 0.25))
    values = held(build.trace(), cut=cut)
    return [decoded(values[f"{node}: {name}"], codec) for node, name in zip(NODES, names, strict=True)]


def decoded(packet: Tensor, codec: str) -> Tensor:
    """The parameters of a packet; they are followed by a number that is zero."""
    assert not packet[-4:].any()
    size = sum(p.numel() for p in gpt().module.parameters())
    return decode(packet[:-4], codec, size)


def test_sums_in_the_order_of_the_flat_merge_change_no_bit() -> None:
    """The flat merge adds (0 + 1) + (2 + 3); weights are powers of two."""
    build, (a, b, c, d) = trained()
    left, right = build.combine(1, {a: 1.0, b: 1.0}), build.combine(3, {c: 1.0, d: 1.0})
    build.merge(0, {right: 0.25, left: 0.25})
    flat, names = trained()
    flat.merge(0, dict.fromkeys(names, 0.25))
    found = outer_gradient(build.trace())
    assert found.abs().max() > 1e-3
    assert torch.equal(found, outer_gradient(flat.trace()))


def test_sums_in_another_order_are_the_flat_merge_to_rounding() -> None:
    """Unequal weights; ((1 + 2) + 3) + 0 as stated, bit for bit, which is not the order of the flat merge."""
    build, (a, b, c, d) = trained()
    inner = build.combine(2, {b: 2.0, c: 3.0})
    outer = build.combine(3, {inner: 1.0, d: 4.0})
    build.merge(0, {outer: 0.1, a: 0.1})
    found = outer_gradient(build.trace())
    g = gradients()
    assert torch.equal(found, g[0] * 0.1 + ((g[1] * 2 + g[2] * 3) + g[3] * 4) * 0.1)
    flat, names = trained()
    flat.merge(0, dict(zip(names, (0.1, 0.2, 0.3, 0.4), strict=True)))
    flat_gradient = outer_gradient(flat.trace())
    torch.testing.assert_close(found, flat_gradient, rtol=1e-5, atol=1e-8)
    assert not torch.equal(found, flat_gradient)
    (merge,) = build.trace().of_kind(Merge)
    assert {c.node: round(c.weight, 9) for c in merge.contributions} == {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}


def test_a_sum_is_encoded_again_and_held_by_its_lowest_node() -> None:
    build, (_, b, c, d) = trained("bf16")
    inner = build.combine(3, {d: 2.0, c: 3.0}, "bf16")
    cut = len(build.ops)
    outer = build.combine(3, {inner: 1.0, b: 1.0}, "bf16")
    build.merge(0, {outer: 0.25})
    g = gradients("bf16")
    exact = g[2] * 3 + g[3] * 2
    before, after = (held(build.trace(), cut=at) for at in (cut, cut + 1))
    assert [name for name in before if "sum" in name] == [f"2: {inner}"]
    assert before[f"2: {inner}"].nbytes == 2 * exact.numel() + 4
    assert torch.equal(decoded(before[f"2: {inner}"], "bf16"), exact.bfloat16().float())
    assert not torch.equal(exact.bfloat16().float(), exact)
    assert [name for name in after if "sum" in name or "snap" in name] == [f"1: {outer}"]
    sum_of_three = decoded(after[f"1: {outer}"], "bf16")
    assert torch.equal(sum_of_three, (exact.bfloat16().float() + g[1]).bfloat16().float())
    assert torch.equal(outer_gradient(build.trace()), sum_of_three * 0.25)


@pytest.mark.parametrize("codec", ["fp32", "bf16", "fp8", "topk3"])
def test_bits_of_sums_depend_neither_on_workers_nor_on_sites_nor_on_the_order_of_inputs(codec: str) -> None:
    def trace(site: int, *, turned: bool) -> Trace:
        build, (a, b, c, d) = trained(codec)
        first = {d: 2.0, b: 3.0}
        inner = build.combine(site, dict(reversed(first.items())) if turned else first, codec)
        second = {inner: 1.0, c: 0.5, a: 1.5}
        outer = build.combine(site, dict(reversed(second.items())) if turned else second, codec)
        build.merge(0, {outer: 0.2}, codec=codec)
        return build.trace()

    alone = outer_gradient(trace(0, turned=False))
    for workers in (1, 2, 4):
        assert torch.equal(outer_gradient(trace(0, turned=False), workers), alone)
        assert torch.equal(outer_gradient(trace(3, turned=True), workers), alone)


def test_only_sums_across_workers_are_sent() -> None:
    """Two workers with two nodes each: one partial sum in bfloat16, one result in float32, of two parameters, and the
    refused weight."""
    build, (a, b, c, d) = trained()
    left, right = build.combine(0, {a: 1.0, b: 1.0}, "bf16"), build.combine(0, {c: 1.0, d: 1.0}, "bf16")
    build.merge(0, {build.combine(0, {left: 1.0, right: 1.0}, "bf16"): 0.25})
    group = Group.of(build.trace(), SPEC, line_problem, 2)
    group.run(SPEC)
    assert [t.bytes_sent for t in group.transports] == [12, 8]


@pytest.mark.parametrize("workers", [1, 4])
def test_inputs_of_weight_zero_change_nothing(workers: int) -> None:
    """Not even where they are the lowest node's, or all that a sum has."""
    build, (a, b, c, d) = trained()
    pair = build.combine(1, {a: 0.0, c: 1.0, d: 1.0})
    empty = build.combine(1, {a: 0.0, b: 0.0})
    build.merge(0, {pair: 0.5, empty: 0.5})
    without, (_, _, c, d) = trained()
    without.merge(0, {c: 0.5, d: 0.5})
    assert torch.equal(outer_gradient(build.trace(), workers), outer_gradient(without.trace()))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_merge_of_nothing_has_no_outer_gradient_but_momentum(workers: int) -> None:
    build, names = trained()
    build.merge(0, dict.fromkeys(names, 0.25))
    cut = len(build.ops)
    build.merge(1, {})
    group = Group.of(build.trace(), SPEC, gpt, workers)
    group.run(SPEC, limit=cut)
    before = group.executors[0].save_shared().tensors
    group.run(SPEC)
    after = group.executors[-1].save_shared().tensors
    momentum = before["global/0@1/momentum"] * SPEC.outer.momentum
    assert torch.equal(after["global/0@2/momentum"], momentum)
    moved = before["global/0@1/parameters"] - SPEC.outer.lr * SPEC.outer.momentum * momentum
    torch.testing.assert_close(after["global/0@2/parameters"], moved, rtol=1e-6, atol=1e-7)
    row = group.all_rows()[-1]
    assert (row["event"], row["to_version"], row["contributors"], row["outer_gradient_norm"]) == ("merge", 2, 0, 0.0)


def test_contributors_are_counted_through_sums() -> None:
    build, (a, b, c, d) = trained()
    build.merge(0, {build.combine(1, {build.combine(1, {a: 1.0, b: 0.0}): 1.0, c: 1.0}): 0.25, d: 0.5})
    group = Group.of(build.trace(), SPEC, line_problem, 1)
    group.run(SPEC)
    assert group.all_rows()[-1]["contributors"] == 3
