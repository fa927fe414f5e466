"""A model and its data, tried before any worker starts: whether they fit each other, and how large they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import psutil
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from orbital_train.errors import InputError
from orbital_train.train.estimate import FLOAT_BYTES
from orbital_train.train.flat import Layout
from orbital_train.train.problem import Problem, build_data, build_model, problem_of
from orbital_train.train.protocol import Batch, Data
from orbital_train.train.run import measure_step_s
from orbital_train.train.shards import check_divisible
from orbital_train.train.spec import Named, OuterSpec, TrainSpec


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of it."""

    parameters: int
    tensors: int
    tokens_per_step: int  # of one node
    activation_bytes: int  # kept for the backward pass of a batch
    step_s: float | None  # wall time of an inner step on this machine's CPU; None: not measured


def try_out(spec: TrainSpec, *, timed: bool) -> Trial:
    """Build a model and data for one node on this machine's CPU, and compute one loss; the last result is kept.

    Raises:
        InputError: one of them cannot be built, they do not fit each other, the model cannot be divided among the
            devices of a node, or there is no memory for it (``model``).
    """
    return _try_out(_same_work(spec), timed)


def sketch(spec: TrainSpec, data: Data) -> nn.Module:
    """The model without the memory of its parameters, or the model itself where it cannot be built so."""
    try:
        with torch.device("meta"):
            return build_model(spec, data)
    except InputError:
        raise
    except Exception:  # a user's own function: if that is no matter of the device, the same comes up again
        return build_model(spec, data)


def _same_work(spec: TrainSpec) -> TrainSpec:
    """The spec without what does not change the work, in which the arms of a comparison differ."""
    inner = replace(spec.inner, lr=1e-3, schedule="constant", warmup_fraction=0.0)
    return replace(spec, inner=inner, outer=OuterSpec(), init_seed=0, data_seed=0)


@lru_cache(maxsize=1)
def _try_out(spec: TrainSpec, timed: bool) -> Trial:
    data = build_data(spec, (0,))
    model = sketch(spec, data)
    if spec.devices_per_node > 1 and spec.within_node == "fsdp2":
        check_divisible(Layout.of(model), spec.devices_per_node)
    sizes = [p.numel() for p in model.parameters()]
    parameters = sum(sizes)
    _check_memory(spec, parameters)
    _check_batches(spec, data)
    problem = problem_of(build_model(spec, data), data, "cpu")
    activation_bytes = _activation_bytes(spec, problem)
    return Trial(
        parameters=parameters,
        tensors=len(sizes),
        tokens_per_step=data.tokens_per_step,
        activation_bytes=activation_bytes,
        step_s=measure_step_s(spec, problem) if timed else None,
    )


def shown(named: Named) -> dict[str, object]:
    """As it stands in a recipe."""
    return {"kind": named.kind, **named.arguments}


def _check_memory(spec: TrainSpec, parameters: int) -> None:
    """The parameters alone must fit, or the model cannot even be built."""
    needed, free = FLOAT_BYTES * parameters, psutil.virtual_memory().available
    if needed > free:
        problem = (
            f"needs about {needed / 1e9:.1f} GB for its parameters and {free / 1e9:.1f} GB is free; take a smaller one"
        )
        raise InputError("model", shown(spec.model), problem)


def _check_batches(spec: TrainSpec, data: Data) -> None:
    validation = data.validation()
    if not validation:
        raise InputError("data.kind", spec.data.kind, "has no validation batches")
    for batch in (data.batch(0, 0), validation[0]):
        if not all(isinstance(part, Tensor) for part in batch):
            raise InputError("data.kind", spec.data.kind, "must give batches that are tuples of tensors")
    if not all(map(torch.equal, data.batch(0, 1), data.batch(0, 1))):
        told = "gives another batch when asked again: it must be a pure function of the seed, the node and the step"
        raise InputError("data.kind", spec.data.kind, told)


def _activation_bytes(spec: TrainSpec, problem: Problem) -> int:
    """What the loss of one device's micro-batch keeps for its gradient, beside parameters and the batch."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    parts = spec.devices_per_node * spec.inner.micro_batches
    batch = tuple(torch.tensor_split(part, parts)[0] for part in problem.batch(0, 0))
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = _loss(spec, problem.module, batch)
    if not isinstance(loss, Tensor) or loss.dim() or not loss.requires_grad:
        raise InputError(
            "model.kind", spec.model.kind, "module(*batch) must be the mean loss, a scalar with a gradient"
        )
    for tensor in (*problem.module.parameters(), *problem.module.buffers(), *batch):
        kept.pop(tensor.untyped_storage().data_ptr(), None)
    return sum(kept.values())


def _loss(spec: TrainSpec, module: Callable[..., object], batch: Batch) -> object:
    try:
        return module(*batch)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        shapes = " and ".join(f"{str(t.dtype).removeprefix('torch.')} {tuple(t.shape)}" for t in batch)
        first = str(error).strip().splitlines()[0]
        problem = f"does not take the batches of {spec.data.kind}, {shapes}: {type(error).__name__}: {first}"
        raise InputError("model.kind", spec.model.kind, problem) from error
