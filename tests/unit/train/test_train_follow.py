"""A training loop that follows a trace has the bits of the executor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, AdamW, NAdam, Optimizer

from orbital_train.errors import InputError
from orbital_train.schedule.ops.merging import Combine
from orbital_train.schedule.ops.nodes import Adopt, Restore
from orbital_train.schedule.trace import Trace
from orbital_train.train.follow import DEFAULT_OUTER, Turn, follow
from orbital_train.train.inner import lr_at
from orbital_train.train.problem import Problem
from orbital_train.train.rows import Row
from orbital_train.train.run import run_local
from orbital_train.train.spec import InnerSpec, OuterSpec
from tests.unit.train.failure_traces import failures_trace
from tests.unit.train.problems import Line, line_batch, tiny_problem, tiny_spec
from tests.unit.train.simulated import trace_of
from tests.unit.train.test_train_buffers import normed
from tests.unit.train.trace_builder import TraceBuilder
from tests.unit.train.traces import contributions_trace, everything_trace, streaming_trace


class Wide(nn.Module):
    """All tensors fill whole registers: fused AdamW rounds the elements behind the last full one differently."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.layers = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 16))
        for parameter in self.parameters():
            parameter.data.normal_(std=0.3, generator=generator)

    def forward(self, x_BD: Tensor) -> Tensor:
        return (self.layers(x_BD) - x_BD.flip(1)).square().mean()


def wide_batch(node: int, step: int) -> tuple[Tensor, ...]:
    return (torch.randn(4, 16, generator=torch.Generator().manual_seed(1000 * node + step)),)


def wide() -> Problem:
    return Problem(module=Wide(), batch=wide_batch, validation=(wide_batch(9, 0),), tokens_per_step=4)


def gpt() -> Problem:
    return tiny_problem(tiny_spec(), (0, 2, 3, 7))


def adamw(model: nn.Module) -> Optimizer:
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    rest = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    return AdamW(groups, betas=(0.9, 0.99), fused=True)


@dataclass(frozen=True)
class Case:
    trace: Callable[[], Trace]
    problem: Callable[[], Problem]
    optimizer: Callable[[nn.Module], Optimizer]
    name: str
    arguments: dict[str, float] = field(default_factory=dict)
    outer: OuterSpec = DEFAULT_OUTER


def plain(kind: type[Optimizer], **arguments: float) -> Callable[[nn.Module], Optimizer]:
    return lambda model: kind(model.parameters(), **arguments)  # type: ignore[call-arg]


CASES = {
    "simulated": Case(partial(trace_of, "keep"), wide, adamw, "AdamW"),
    "home": Case(partial(trace_of, "home"), wide, adamw, "AdamW"),
    "gossip": Case(partial(trace_of, "gossip"), wide, adamw, "AdamW", outer=OuterSpec(momentum=0.5)),
    "hierarchical": Case(partial(trace_of, "hierarchical"), wide, adamw, "AdamW", outer=OuterSpec(momentum=0.5)),
    "failures": Case(failures_trace, gpt, plain(NAdam), "NAdam"),
    "streaming": Case(streaming_trace, gpt, plain(Adagrad), "Adagrad"),
    "buffers": Case(failures_trace, normed, plain(SGD, momentum=0.9), "SGD", {"momentum": 0.9}),
    "median": Case(contributions_trace, wide, adamw, "AdamW", outer=OuterSpec(merging="median", clip_norm=0.02)),
}


def loop(case: Case, problem: Problem, inner: InnerSpec) -> list[Row]:
    """As a user would write it."""
    model, rows = problem.module, []
    optimizer = case.optimizer(model)

    def evaluate() -> float:
        losses = torch.stack([model(*batch) for batch in problem.validation])
        return losses.double().mean().item()

    for turn in follow(case.trace(), model, optimizer, outer=case.outer, evaluate=evaluate, emit=rows.append):
        for group in optimizer.param_groups:
            group["lr"] = lr_at(inner, turn.lr_progress) * turn.warmth
        optimizer.zero_grad()
        loss = model(*problem.batch(turn.node, turn.step))
        loss.backward()
        optimizer.step()
        turn.loss = loss
    return rows


@pytest.mark.parametrize("name", CASES)
def test_a_loop_has_the_bits_of_the_executor(name: str) -> None:
    case = CASES[name]
    inner = InnerSpec(lr=1e-2, optimizer=case.name, arguments=case.arguments, clip_norm=0.0)
    expected = run_local(case.trace(), tiny_spec(inner=inner, outer=case.outer), case.problem())
    problem = case.problem()
    rows = loop(case, problem, inner)
    state = problem.module.state_dict()
    assert state.keys() >= expected.parameters.keys()
    assert all(torch.equal(state[key], value) for key, value in expected.parameters.items())
    of_data = ("trained_tokens",)  # which the loop alone knows
    assert rows == [{k: v for k, v in row.items() if k not in of_data} for row in expected.rows]


def test_the_traces_have_overlap_staleness_and_failures() -> None:
    trace = trace_of("keep")
    assert any(op.mode == "keep" and op.since_snapshot for op in trace.of_kind(Adopt))
    assert max(c.staleness for op in trace.ops for c in getattr(op, "contributions", ())) > 0
    assert {op.source == op.node for op in trace.of_kind(Restore)} == {True, False}
    assert any(trace.of_kind(Combine))


def steps_trace() -> Trace:
    build = TraceBuilder(nodes=(0, 1))
    build.step(0, 2)
    build.step(1, 3)
    names = [build.snapshot(node, 0) for node in (0, 1)]
    build.merge(0, dict.fromkeys(names, 0.5))
    build.evaluate(1)
    build.step(0, 1)
    return build.trace()


def turn_taken(turn: Turn, model: Line, optimizer: Optimizer) -> None:
    optimizer.zero_grad()
    loss = model(*line_batch(turn.node, turn.step))
    loss.backward()
    optimizer.step()
    turn.loss = loss


def test_turns_and_whose_state_they_have() -> None:
    model = Line()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    given, seen = model.slope.data, []
    for turn in follow(steps_trace(), model, optimizer):
        seen.append((turn.node, turn.step, turn.lr_progress, len(optimizer.state)))
        turn_taken(turn, model, optimizer)
    assert seen == [(0, 0, 0.0, 0), (0, 1, 0.01, 2), (1, 0, 0.0, 0), (1, 1, 0.01, 2), (1, 2, 0.02, 2), (0, 2, 0.02, 2)]
    assert model.slope.data.data_ptr() == given.data_ptr()
    assert len(optimizer.state) == 0


def test_every_node_begins_with_the_state_that_the_optimizer_has() -> None:
    model = Line()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)

    def momentum() -> Tensor:
        return optimizer.state[model.slope]["momentum_buffer"].clone()

    turn_taken(Turn(node=5, step=0, lr_progress=0.0, warmth=1.0), model, optimizer)
    before, first = momentum(), {}
    for turn in follow(steps_trace(), model, optimizer):
        first.setdefault(turn.node, momentum())
        turn_taken(turn, model, optimizer)
    assert first.keys() == {0, 1}
    assert all(torch.equal(value, before) for value in (*first.values(), momentum()))


def test_a_loop_may_be_left() -> None:
    """The model then is as the node had it that was last, in memory of its own."""
    model = Line()
    optimizer = SGD(model.parameters(), lr=0.1)
    given = model.slope.data
    for turn in follow(steps_trace(), model, optimizer):
        turn_taken(turn, model, optimizer)
        if turn.node == 1:
            break
    assert model.slope.data.data_ptr() == given.data_ptr()
    expected = Line()
    turn_taken(Turn(node=1, step=0, lr_progress=0.0, warmth=1.0), expected, SGD(expected.parameters(), lr=0.1))
    assert torch.equal(model.slope, expected.slope)


def test_a_node_whose_loss_is_not_finite_gets_no_more_turns() -> None:
    model, rows = Line(), []
    optimizer = SGD(model.parameters(), lr=0.1)
    turns = []
    for turn in follow(steps_trace(), model, optimizer, emit=rows.append):
        turns.append((turn.node, turn.step))
        turn.loss = float("inf") if (turn.node, turn.step) == (0, 1) else 1.0
    assert turns == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    assert [row["event"] for row in rows] == ["stop", "step", "refuse", "merge", "evaluate"]
    assert (rows[0]["node"], rows[0]["step"]) == (0, 1)
    assert "loss" not in rows[4]


class Odd(SGD):
    """Its state is not of tensors alone."""

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        super().step()
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["count"] = self.state[parameter].get("count", 0) + 1


def test_state_that_is_no_tensor_is_refused_where_it_would_have_to_be_kept() -> None:
    model = Line()
    optimizer = Odd(model.parameters(), lr=0.1)
    for turn in follow(steps_trace(), model, optimizer):
        turn_taken(turn, model, optimizer)
    build = TraceBuilder(nodes=(0,))
    build.step(0, 1)
    build.step(0, 1)
    build.go_on(0, states_lost=1)
    problem = "keeps count as int; a node goes back to its store with tensors alone"
    turns = (turn_taken(turn, model, optimizer) for turn in follow(build.trace(), model, optimizer))
    with pytest.raises(InputError) as caught:
        list(turns)
    assert str(caught.value) == f"optimizer = 'Odd': {problem}"


def test_what_cannot_be_followed() -> None:
    model, other = Line(), Line()
    own, trace = SGD(model.parameters(), lr=0.1), steps_trace()
    cases = {
        "trace = 'by hand': trains in synchronous steps, all nodes at once; a loop can follow any other policy": (
            lambda: follow(everything_trace(), model, own)
        ),
        "model = 'Identity': has no parameters to train": lambda: follow(trace, nn.Identity(), own),
        "model = 'slope': is torch.float64; take a model in float32, and autocast in the loop": (
            lambda: follow(trace, Line().double(), own)
        ),
        "optimizer = 'SGD': has parameters that are not the model's": lambda: follow(trace, other, own),
        "turn.loss = None: must be set in every turn, as turn.loss = loss": lambda: list(follow(trace, model, own)),
    }
    for message, call in cases.items():
        with pytest.raises(InputError) as caught:
            call()
        assert str(caught.value) == message
