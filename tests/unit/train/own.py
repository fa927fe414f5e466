"""A user's own model and data, and all that can be wrong with them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Line(nn.Module):
    def __init__(self, slope: float = 0.0, *, inputs: int = 1) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, 1)
        nn.init.constant_(self.layer.weight, slope)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.layer(x) - y).square().mean()


class Points:
    """Points on a line, other ones for every node."""

    def __init__(self, nodes: tuple[int, ...], batch_size: int, inputs: int = 1) -> None:
        self.tokens_per_step, self.inputs = batch_size, inputs

    def batch(self, node: int, step: int) -> tuple[Tensor, Tensor]:
        x = (torch.arange(self.tokens_per_step * self.inputs) * (3 + node) + step) % 7 / 7.0
        x = x.view(-1, self.inputs)
        return x, 2 * x.mean(1, keepdim=True)

    def validation(self) -> list[tuple[Tensor, Tensor]]:
        return [self.batch(0, -1)]


class Stream(Points):
    """A loader with a position."""

    drawn = 0

    def batch(self, node: int, step: int) -> tuple[Tensor, Tensor]:
        self.drawn += 1
        return super().batch(node, self.drawn)


class Unchecked(Points):
    def validation(self) -> list[tuple[Tensor, Tensor]]:
        return []


class Arrays(Points):
    def batch(self, node: int, step: int):
        return tuple(part.numpy() for part in super().batch(node, step))


class Outputs(Line):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.layer(x)


class Looking(Line):
    """Cannot be built without memory."""

    def __init__(self) -> None:
        super().__init__()
        self.start = float(self.layer.bias.detach().numpy()[0])


def random_line() -> Line:
    line = Line()
    nn.init.normal_(line.layer.weight)
    return line


def empty() -> nn.Module:
    return nn.Identity()


def frozen() -> nn.Module:
    return Line().requires_grad_(False)


def dropping() -> nn.Module:
    return nn.Sequential(Line(), nn.Dropout(0.1))


def number() -> int:
    return 3


not_a_function = 3
