"""Models of groups: averages within, outer steps between, and what a group keeps when it takes a global version."""

import pytest
import torch
from torch import Tensor

from orbital_train.train.outer import GlobalState, outer_step
from orbital_train.train.spec import OuterSpec
from tests.unit.train.group_traces import groups_trace
from tests.unit.train.problems import line_problem, tiny_spec
from tests.unit.train.thread_workers import REPLICA, Group
from tests.unit.train.trace_builder import TraceBuilder

SPEC = tiny_spec(outer=OuterSpec(lr=0.5, momentum=0.8))


def state(build: TraceBuilder) -> tuple[dict[int, Tensor], dict[str, Tensor]]:
    """All replicas, and all live versions, after all operations so far."""
    group = Group.of(build.trace(), SPEC, line_problem, 2)
    group.run(SPEC)
    nodes, shared = group.saved()
    return {node: saved.tensors["parameters"] for node, saved in nodes.items()}, shared.tensors


def test_within_a_group_replicas_are_averaged_and_between_groups_an_outer_step_is_taken() -> None:
    build = TraceBuilder(nodes=(0, 1, 2))
    for node in build.nodes:
        build.step(node, 1 + node)
    a, b, c = (build.snapshot(node, 0) for node in build.nodes)
    build.merge(0, {a: 0.25, b: 0.75}, to_version=1, group=0)
    build.merge(0, {c: 1.0}, to_version=2, group=1)
    build.evaluate(1)
    replicas, _ = state(build)
    first, second = build.group_snapshot(0, 1, 0, 1), build.group_snapshot(1, 2, 0, 2)
    build.merge(0, {first: 0.5, second: 0.5}, to_version=3)
    build.adopt(0, 1)
    adopted, versions = state(build)
    averaged = 0.25 * replicas[0] + 0.75 * replicas[1]
    torch.testing.assert_close(adopted[0], averaged)
    start = torch.tensor([0.5, -0.25])
    at_rest = GlobalState(parameters_F=start, outer={"momentum": torch.zeros(2)})
    expected = outer_step(at_rest, start - (averaged + replicas[2]) / 2, SPEC.outer)
    torch.testing.assert_close(versions["global/0@3/parameters"], expected.parameters_F)
    torch.testing.assert_close(versions["global/0@3/momentum"], expected.outer["momentum"])


@pytest.mark.parametrize("more", [False, True])
def test_a_group_keeps_what_it_merged_since_its_contribution(more: bool) -> None:
    build = TraceBuilder(nodes=(0, 1))
    build.step(0, 2)
    build.merge(0, {build.snapshot(0, 0): 1.0}, to_version=1, group=0)
    build.adopt(0, 1)
    offered, _ = state(build)
    offer = build.group_snapshot(0, 0, 0, 1)
    if more:
        build.step(0, 3)
        build.merge(1, {build.snapshot(0, 1): 1.0}, to_version=2, group=0)
    now, _ = state(build)
    build.merge(0, {offer: 1.0}, to_version=3)
    build.rebase(0, old=2 if more else 1, since=1, taken=3, to_version=4)
    build.adopt(0, 4)
    adopted, versions = state(build)
    taken = versions["global/0@3/parameters"]
    torch.testing.assert_close(adopted[0], now[0] - offered[0] + taken)
    assert more or torch.equal(adopted[0], taken)


def test_only_live_versions_are_held() -> None:
    group = Group.of(groups_trace(), SPEC, line_problem, 2)
    group.run(SPEC)
    nodes, shared = group.saved()
    assert set(shared.tensors) == {"global/0@7/parameters", "global/0@7/momentum"}
    assert {name for saved in nodes.values() for name in saved.tensors} == REPLICA
