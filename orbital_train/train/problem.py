"""What the executor trains: a module and its batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from orbital_train.errors import InputError
from orbital_train.train.protocol import Batch, Data, Movable
from orbital_train.train.registry import builder, call
from orbital_train.train.spec import TrainSpec


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A module with its initial parameters, on its device, and the batches of every node."""

    module: nn.Module  # module(*batch) is the mean loss of a batch
    batch: Callable[[int, int], Batch]  # of (node, step), a pure function
    validation: tuple[Batch, ...]
    tokens_per_step: int  # of one node


@dataclass(frozen=True, kw_only=True)
class Feed:
    """What a data set is built for."""

    nodes: tuple[int, ...]
    batch_size: int
    seed: int


def build_problem(spec: TrainSpec, nodes: tuple[int, ...], device: str) -> Problem:
    """The spec's model and data, one shard for each of ``nodes``.

    Raises:
        InputError: the model or the data cannot be built.
    """
    data = build_data(spec, nodes)
    return problem_of(build_model(spec, data), data, device)


def problem_of(module: nn.Module, data: Data, device: str) -> Problem:
    """A module and data of one's own as a problem."""
    if isinstance(data, Movable):
        data.to(device)
    return Problem(
        module=module.to(device),
        batch=lambda node, step: _on(device, data.batch(node, step)),
        validation=tuple(_on(device, batch) for batch in data.validation()),
        tokens_per_step=data.tokens_per_step,
    )


def build_data(spec: TrainSpec, nodes: tuple[int, ...]) -> Data:
    """The spec's data for these nodes.

    Raises:
        InputError: there is no such data, it is missing or too small, or the function does not give data.
    """
    feed = Feed(nodes=nodes, batch_size=spec.batch_size, seed=spec.data_seed)
    data = call("data", spec.data, builder("data", spec.data, spec.imports), feed)
    if not isinstance(data, Data):
        problem = "must give data with tokens_per_step, batch(node, step) and validation(), see docs/models.md;"
        raise InputError("data.kind", spec.data.kind, f"{problem} it gave {type(data).__name__}")
    return data


def build_model(spec: TrainSpec, data: Data) -> nn.Module:
    """The spec's model for some data, on torch's default device; its parameters depend on ``init_seed`` alone.

    Raises:
        InputError: there is no such model, or it cannot be trained here.
    """
    function = builder("model", spec.model, spec.imports)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(spec.init_seed)
        module = call("model", spec.model, function, data)
    if problem := _unfit(module):
        raise InputError("model.kind", spec.model.kind, problem)
    assert isinstance(module, nn.Module)
    return module


def _unfit(module: object) -> str | None:
    """Why a model cannot be trained."""
    if not isinstance(module, nn.Module):
        return f"must give a torch.nn.Module; it gave {type(module).__name__}"
    parameters = dict(module.named_parameters())
    if not parameters:
        return "has no parameters to train"
    if fixed := [name for name, p in parameters.items() if not p.requires_grad]:
        return f"{fixed[0]} does not require a gradient; all parameters are trained"
    random = [
        name for name, part in module.named_modules() if isinstance(part, nn.modules.dropout._DropoutNd) and part.p
    ]
    if random:
        return f"{random[0]} drops at random, which would differ with the number of workers; its p must be 0"
    return None


def _on(device: str, batch: Batch) -> Batch:
    return tuple(tensor.to(device, non_blocking=True) for tensor in batch)
