"""Inner optimizers: any of ``torch.optim`` by name, with arguments of its own, over the vector of a replica."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from orbital_train.errors import InputError
from orbital_train.train.flat import Layout
from orbital_train.train.spec import InnerSpec

Group = dict[str, Any]

# They need a closure, or sparse gradients.
_OTHER_KIND = ("Optimizer", "LBFGS", "SparseAdam")
# Set here, or no matter of the algorithm.
_NOT_ARGUMENTS = ("params", "lr", "capturable", "differentiable", "foreach", "fused", "maximize")


def optimizer_names() -> list[str]:
    """All that can be asked for."""
    kinds = {name: kind for name, kind in vars(torch.optim).items() if isinstance(kind, type)}
    return sorted(name for name, kind in kinds.items() if issubclass(kind, Optimizer) and name not in _OTHER_KIND)


def check_optimizer(spec: InnerSpec) -> None:
    """Find out before any worker starts whether there is such an optimizer.

    Raises:
        InputError: there is none of that name (``inner.optimizer``), or it does not take one of the arguments
            (``inner.arguments``).
    """
    matrix = torch.zeros(2, 2, requires_grad=True)
    matrix.grad = torch.zeros(2, 2)
    optimizer = _build(spec, [{"params": [matrix]}])
    with _arguments_told(spec):
        optimizer.step()


def inner_optimizers(parameters_P: Tensor, gradient_P: Tensor, layout: Layout, spec: InnerSpec) -> list[Optimizer]:
    """The optimizers of a replica, over views of its vector; gradients are expected in ``gradient_P``.

    AdamW sees two stretches, the matrices and the rest. Muon sees the matrices that are not embeddings, and AdamW what
    it leaves. All others see the model's own tensors. Weight decay is applied to matrices only.

    Raises:
        InputError: see :func:`check_optimizer`.
    """
    if spec.optimizer == "AdamW":
        stretches = (slice(0, layout.matrix_size), slice(layout.matrix_size, layout.trained))
        matrices, rest = ([_leaf(parameters_P[s], gradient_P[s])] if s.stop > s.start else [] for s in stretches)
        return [_build(spec, _groups(matrices, rest))]
    views, gradients = layout.views(parameters_P), layout.views(gradient_P)
    tensors = {name: _leaf(views[name], gradients[name]) for name in gradients}
    if spec.optimizer != "Muon":
        return [_build(spec, _by_decay(tensors.values()))]
    hidden = {name: t for name, t in tensors.items() if t.dim() == 2 and name not in layout.embeddings}
    others = [t for name, t in tensors.items() if name not in hidden]
    optimizers = [_build(spec, _groups(list(hidden.values()), []))] if hidden else []
    plain = replace(spec, optimizer="AdamW", arguments={})
    return [*optimizers, _build(plain, _by_decay(others))] if others else optimizers


def _leaf(part: Tensor, gradient: Tensor) -> Tensor:
    """A stretch of a replica's vector as an optimizer sees it."""
    parameter = part.requires_grad_()
    parameter.grad = gradient
    return parameter


def _by_decay(tensors: Iterable[Tensor]) -> list[Group]:
    all_of_them = list(tensors)
    return _groups([t for t in all_of_them if t.dim() >= 2], [t for t in all_of_them if t.dim() < 2])


def _groups(decays: list[Tensor], rest: list[Tensor]) -> list[Group]:
    """Groups of parameters, with and without weight decay."""
    groups: list[Group] = [{"params": decays}, {"params": rest, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _build(spec: InnerSpec, groups: list[Group]) -> Optimizer:
    names = optimizer_names()
    if spec.optimizer not in names:
        raise InputError("inner.optimizer", spec.optimizer, f"must be one of {', '.join(names)}")
    kind: Any = getattr(torch.optim, spec.optimizer)
    accepted = [name for name in inspect.signature(kind).parameters if name not in _NOT_ARGUMENTS]
    for name, value in spec.arguments.items():
        if name not in accepted:
            problem = f"{spec.optimizer} has no such argument; it has {', '.join(accepted)}"
            raise InputError(f"inner.arguments.{name}", value, problem)
    if "weight_decay" not in accepted:
        groups = [{"params": group["params"]} for group in groups]
    with _arguments_told(spec):
        optimizer: Optimizer = kind(groups, lr=spec.lr, **(_usual(spec) | dict(spec.arguments)))
    return optimizer


@contextmanager
def _arguments_told(spec: InnerSpec) -> Iterator[None]:
    """Whatever goes wrong with sound tensors is the fault of the arguments."""
    try:
        yield
    except (TypeError, ValueError, IndexError, RuntimeError) as error:
        problem = f"{spec.optimizer} does not take this: {error}"
        raise InputError("inner.arguments", dict(spec.arguments), problem) from error


def _usual(spec: InnerSpec) -> dict[str, Any]:
    """Arguments that have keys of their own. Muon's steps are as large as AdamW's, so that one rate suits both."""
    match spec.optimizer:
        case "AdamW":
            return {"betas": (spec.beta1, spec.beta2), "weight_decay": spec.weight_decay, "fused": True}
        case "Muon":
            return {"weight_decay": spec.weight_decay, "adjust_lr_fn": "match_rms_adamw"}
        case _:
            return {}
