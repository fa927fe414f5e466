"""What the tests of the executor train: a tiny GPT, and a line."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from orbital_train.train.data.text import Corpus, TextData
from orbital_train.train.problem import Problem, build_model, problem_of
from orbital_train.train.protocol import Batch
from orbital_train.train.spec import InnerSpec, Named, OuterSpec, TrainSpec


def tiny_spec(**changes: object) -> TrainSpec:
    """A GPT of a few hundred parameters."""
    fields: dict[str, object] = {
        "model": Named(kind="gpt", arguments={"layers": 1, "heads": 2, "width": 8, "context": 8}),
        "data": Named(kind="text"),
        "inner": InnerSpec(lr=1e-2),
        "outer": OuterSpec(),
        "batch_size": 2,
        "init_seed": 1,
        "data_seed": 2,
        "device": "cpu",
    }
    return TrainSpec(**(fields | changes))  # type: ignore[arg-type]


def tiny_corpus() -> Corpus:
    """6,000 tokens of a reproducible pattern over eleven characters."""
    k = torch.arange(6000)
    return Corpus(tokens_N=((k * k + 3 * k) % 11).to(torch.uint8), vocabulary="abcdefghijk")


def tiny_problem(spec: TrainSpec, nodes: tuple[int, ...], device: str = "cpu") -> Problem:
    data = TextData(
        tiny_corpus(), nodes=nodes, batch_size=spec.batch_size, seed=spec.data_seed, context=8, validation_batches=2
    )
    return problem_of(build_model(spec, data), data, device)


class Line(nn.Module):
    """Two parameters: y = slope x + level, squared error."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor([[0.5]]))
        self.level = nn.Parameter(torch.tensor([-0.25]))

    def forward(self, x_B: Tensor, y_B: Tensor) -> Tensor:
        return (self.slope[0] * x_B + self.level - y_B).square().mean()


def line_batch(node: int, step: int) -> Batch:
    """Four points on y = 2 x + 1, bent differently for every node."""
    x_B = torch.tensor([((7 * node + 5 * step + 3 * k) % 16) / 8 - 1 for k in range(4)])
    return x_B, 2 * x_B + 1 + 0.1 * node * x_B.square()


def line_problem() -> Problem:
    return Problem(module=Line(), batch=line_batch, validation=(line_batch(0, 0),), tokens_per_step=4)


def same_everywhere_problem() -> Problem:
    """All nodes see the same batches."""
    return Problem(
        module=Line(), batch=lambda _, k: line_batch(0, k), validation=(line_batch(0, 0),), tokens_per_step=4
    )
