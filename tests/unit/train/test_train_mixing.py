"""Gossip: slow weights of nodes' own, how they are mixed, and the mean that stands for the model."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from orbital_train.errors import InputError
from orbital_train.train.mixing import at_rest, mixed
from orbital_train.train.outer import GlobalState
from orbital_train.train.problem import Problem
from orbital_train.train.protocol import Batch
from orbital_train.train.run import run_local
from orbital_train.train.spec import OuterSpec
from tests.unit.train.group_traces import gossip_trace
from tests.unit.train.problems import line_batch, line_problem, tiny_spec
from tests.unit.train.thread_workers import REPLICA, Group
from tests.unit.train.trace_builder import TraceBuilder
from tests.unit.train.traces import rounds_trace

AVERAGE = tiny_spec(outer=OuterSpec(lr=1.0, momentum=0.0))


def held(build: TraceBuilder, node: int) -> dict[str, Tensor]:
    """What a node has after all operations so far, where outer steps are plain averages."""
    group = Group.of(build.trace(), AVERAGE, line_problem, 1)
    group.run(AVERAGE)
    return group.saved()[0][node].tensors


def pair() -> TraceBuilder:
    """Two nodes that have trained differently long."""
    build = TraceBuilder(nodes=(0, 1), gossips=True)
    build.step(0, 1)
    build.step(1, 3)
    return build


def test_the_outer_step_by_hand() -> None:
    own = GlobalState(parameters_F=torch.tensor([1.0, 2.0]), outer={"momentum": torch.tensor([0.5, -1.0])})
    gradients = [torch.tensor([1.0, 0.0]), torch.tensor([0.0, 4.0])]
    slow = [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.0])]
    after = mixed(own, gradients, [0.25, 0.75], slow, OuterSpec(lr=0.5, momentum=0.8, nesterov=True, pull=2.0))
    # 0.8 m + 0.5 (D_0 / 4 + 3 D_1 / 4) + 2 (p - mean)
    torch.testing.assert_close(after.outer["momentum"], torch.tensor([0.4 + 0.125 - 2.0, -0.8 + 1.5]))
    torch.testing.assert_close(after.parameters_F, torch.tensor([1.0 + 1.475, 2.0 - 0.7]))


def test_what_is_pulled_from_one_is_given_to_the_other() -> None:
    a, b = torch.tensor([1.0, 5.0]), torch.tensor([2.0, -3.0])
    still = [torch.zeros(2), torch.zeros(2)]
    for pull in (0.3, 1.0):
        spec = OuterSpec(lr=0.7, momentum=0.0, pull=pull)
        after_a = mixed(at_rest(a, 2), still, [0.5, 0.5], [a, b], spec).parameters_F
        after_b = mixed(at_rest(b, 2), still, [0.5, 0.5], [b, a], spec).parameters_F
        torch.testing.assert_close(after_a + after_b, a + b)
        torch.testing.assert_close(after_a - after_b, (1 - pull) * (a - b))


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.8])
@pytest.mark.parametrize(("share", "apart"), [(0.05, False), (0.5, False), (0.85, False), (1.15, True)])
def test_random_pairs_come_together_unless_the_pull_is_too_strong(momentum: float, share: float, apart: bool) -> None:
    """The limit is 2 (1 - momentum^2); the usual pull is half of it."""
    pull = share * 2 * (1 - momentum**2)
    assert share != 0.5 or pull == OuterSpec(momentum=momentum).pull_or_usual
    chance = torch.Generator().manual_seed(1)
    states = [at_rest(torch.randn(200, generator=chance), 200) for _ in range(16)]
    begun = torch.stack([s.parameters_F for s in states]).var(dim=0).mean()
    spec = OuterSpec(momentum=momentum, pull=pull)
    for _ in range(60):
        order = torch.randperm(16, generator=chance).tolist()
        for i, j in zip(order[::2], order[1::2], strict=True):
            slow, still = (states[i].parameters_F, states[j].parameters_F), [torch.zeros(200)] * 2
            states[i], states[j] = (
                mixed(states[i], still, [0.5, 0.5], slow, spec),
                mixed(states[j], still, [0.5, 0.5], slow[::-1], spec),
            )
    variance = torch.stack([s.parameters_F for s in states]).var(dim=0).mean()
    assert (variance > begun) == apart


def test_a_pair_that_always_mixes_is_diloco() -> None:
    """Of two nodes from one start there is nothing to pull: outer SGD without Nesterov, to rounding."""
    spec = tiny_spec(outer=OuterSpec(lr=0.6, momentum=0.7, nesterov=False))
    build = TraceBuilder(nodes=(0, 1), budget_steps=12, gossips=True)
    for _ in range(3):
        for node in (0, 1):
            build.step(node, 4)
        a, b = build.offer(0), build.offer(1)
        build.mix(0, {a: 0.5, b: 0.5})
        build.mix(1, {b: 0.5, a: 0.5})
    gossip = run_local(build.trace(), spec, line_problem())
    diloco = run_local(rounds_trace((0, 1), 3, 4, "keep"), spec, line_problem())
    for name, parameter in diloco.parameters.items():
        torch.testing.assert_close(gossip.parameters[name], parameter, rtol=1e-6, atol=1e-6)


def test_what_is_trained_after_the_offer_is_kept() -> None:
    build = pair()
    a, b = build.offer(0), build.offer(1)
    offered = held(build, 0)["parameters"]
    build.step(0, 2)
    now, other = held(build, 0)["parameters"], held(build, 1)["parameters"]
    build.mix(0, {a: 0.5, b: 0.5})
    slow = held(build, 0)["own/0/0@1"]
    torch.testing.assert_close(slow, (offered + other) / 2)
    torch.testing.assert_close(held(build, 0)["parameters"], slow + now - offered)
    assert set(held(build, 1)) == REPLICA | {"own/1/0@0"}  # its offer is used


def test_who_begins_anew_takes_anothers_slow_weights_as_they_are_sent() -> None:
    build = pair()
    a, b = build.offer(0), build.offer(1)
    build.mix(1, {b: 0.5, a: 0.5})
    build.step(1, 1)
    build.copy_slow_weights(0, source=1, codec="bf16")
    there = held(build, 1)["own/1/0@1"]
    found = held(build, 0)
    assert torch.equal(found["own/0/0@1"], there.bfloat16().float())
    assert torch.equal(found["parameters"], found["own/0/0@1"])
    assert not any(tensor.any() for name, tensor in found.items() if name.startswith("inner/"))


def test_the_mean_and_the_spread_about_it() -> None:
    build = pair()
    a, b = build.offer(0), build.offer(1)
    build.mix(0, {a: 1.0, b: 0.0})
    build.mix(1, {b: 1.0, a: 0.0})
    build.evaluate_mean(0, 1)
    build.evaluate_mean(1)
    first, second = held(build, 0)["own/0/0@1"], held(build, 1)["own/1/0@1"]
    mean = (first + second) / 2
    result = run_local(build.trace(), AVERAGE, line_problem())
    both, one = (row for row in result.rows if row["event"] == "evaluate")
    apart = torch.linalg.vector_norm(first - mean) / torch.linalg.vector_norm(mean)
    assert both["spread"] == pytest.approx(apart.item(), rel=1e-4)
    assert (both["nodes"], one["nodes"], one["spread"]) == (2, 1, 0.0)
    x, y = line_problem().validation[0]
    assert both["loss"] == pytest.approx((mean[0] * x + mean[1] - y).square().mean().item(), rel=1e-6)
    assert torch.equal(torch.cat([p.flatten() for p in result.parameters.values()]), mean)


def test_messages_are_sent_as_they_are_encoded() -> None:
    """Between workers goes what goes between nodes: an outer gradient and slow weights, at 2 bytes a parameter.

    And behind both, in 4 bytes, how much of it was refused.
    """
    build = pair()
    a, b = build.offer(0, "bf16"), build.offer(1, "bf16")
    group = Group.of(build.trace(), AVERAGE, line_problem, 2)
    group.run(AVERAGE)
    before = sum(t.bytes_sent for t in group.transports)  # of the final mean
    build.mix(0, {a: 0.5, b: 0.5}, "bf16")
    group = Group.of(build.trace(), AVERAGE, line_problem, 2)
    group.run(AVERAGE)
    assert sum(t.bytes_sent for t in group.transports) - before == 2 * (2 * 2 + 4)


def test_only_live_slow_weights_are_held() -> None:
    group = Group.of(gossip_trace(), tiny_spec(), line_problem, 2)
    group.run(tiny_spec())
    names = {name for saved in group.saved()[0].values() for name in saved.tensors if name.startswith(("own", "mom"))}
    assert names == {
        f"own/{node}/{f}@{version}" for node, *versions in gossip_trace().own for f, version in enumerate(versions)
    }


def test_buffers_become_the_average_of_the_replicas_and_integers_stay() -> None:
    """Two parameters, one floating buffer, one integer."""
    slow = [torch.tensor([0.0, 0.0, 4.0, 7.0]), torch.tensor([0.0, 0.0, 8.0, 9.0])]
    gradients = [torch.tensor([0.0, 0.0, 1.0, -2.0]), torch.tensor([0.0, 0.0, 3.0, -1.0])]
    after = mixed(at_rest(slow[0], 2), gradients, [0.25, 0.75], slow, OuterSpec(), averaged=3)
    torch.testing.assert_close(after.parameters_F, torch.tensor([0.0, 0.0, 0.25 * 3 + 0.75 * 5, 9.0]))
    nothing = mixed(at_rest(slow[0], 2), gradients, [0.0, 0.0], slow, OuterSpec(), averaged=3)
    torch.testing.assert_close(nothing.parameters_F[2:], torch.tensor([3.0, 9.0]))


def broken_problem() -> Problem:
    """Node 1's losses are not finite."""

    def batch(node: int, step: int) -> Batch:
        x_B, y_B = line_batch(node, step)
        return x_B, y_B / (1 - node)

    return replace(line_problem(), batch=batch)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_outer_gradient_that_is_not_finite_is_left_out_and_shrinks_nothing(workers: int) -> None:
    build = pair()
    build.step(0, 2)
    a, b = build.offer(0), build.offer(1)
    build.mix(0, {a: 0.25, b: 0.75})
    group = Group.of(build.trace(), AVERAGE, broken_problem, workers)
    group.run(AVERAGE)
    state = group.saved()[0][0].tensors
    assert not torch.equal(state["parameters"], torch.tensor([0.5, -0.25]))
    torch.testing.assert_close(state["own/0/0@1"], state["parameters"])  # its own replica alone
    (mix,) = (row for row in group.all_rows() if row["event"] == "mix")
    assert mix["refused_weight"] == 0.75


@pytest.mark.parametrize(("key", "value"), [("optimizer", "adamw"), ("merging", "median"), ("delay_merges", 2)])
def test_outer_optimizers_that_are_not_for_gossip(key: str, value: object) -> None:
    spec = tiny_spec(outer=OuterSpec(**{key: value}))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=rf"^outer\.{key} = {value!r}: is not for gossip; accepted: "):
        run_local(pair().trace(), spec, line_problem())
