"""A training loop of one's own, driven by a trace: all nodes in this process, one after the other, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from orbital_train.errors import InputError
from orbital_train.schedule.ops.nodes import Step, SyncStep
from orbital_train.schedule.ops.run import Evaluate
from orbital_train.schedule.trace import Trace
from orbital_train.train.bench import Binding
from orbital_train.train.flat import Layout, flatten, named_tensors
from orbital_train.train.gate import Gate
from orbital_train.train.inner import Replica
from orbital_train.train.operations import Operations
from orbital_train.train.placement import place
from orbital_train.train.rows import Row
from orbital_train.train.shards import Shards
from orbital_train.train.spec import InnerSpec, OuterSpec
from orbital_train.train.transport import LocalTransport

DEFAULT_OUTER = OuterSpec()


@dataclass(kw_only=True)
class Turn:
    """One inner step of one node: the model and the optimizer are its own until the next turn."""

    node: int
    step: int  # of this node, from 0; with the node it names the batch
    lr_progress: float  # from 0 to 1: what the node can know of the fleet's merged steps, as part of the budget
    warmth: float  # part of the learning rate to take: below 1 in a node's first steps after its optimizer started anew
    loss: Tensor | float | None = None  # to be set in the loop


def follow(
    trace: Trace,
    model: nn.Module,
    optimizer: Optimizer,
    *,
    outer: OuterSpec = DEFAULT_OUTER,
    seed: int = 0,
    rewarm_steps: int = InnerSpec.rewarm_steps,
    evaluate: Callable[[], float] | None = None,
    emit: Callable[[Row], None] | None = None,
) -> Iterator[Turn]:
    """The inner steps of a trace, to be taken by a loop; all other operations are executed between them.

    In each turn ``model`` has the parameters and buffers of a node's replica, and ``optimizer`` the state that this
    node's has. In the end ``model`` has the final global model, and ``optimizer`` the state that it had at the start.

    Args:
        trace: of :func:`orbital_train.plan`.
        model: float32, with its initial parameters.
        optimizer: of the model's parameters; every node begins with a copy of its state.
        outer: the outer optimizer.
        seed: of the rounding of what is sent; a run's is its recipe's ``seeds.data``.
        rewarm_steps: steps with less than the full learning rate of a node whose optimizer started anew.
        evaluate: the validation loss of the model as it is; called, with the model in evaluation mode and without
            gradients, wherever the trace evaluates the global model.
        emit: takes the rows that a run writes to ``metrics.jsonl``, as dictionaries.

    Yields:
        Turns. The loop takes one step of the optimizer, and sets ``turn.loss``: a node whose loss is not finite
        gets no further turns until it is restored.

    Raises:
        InputError: the trace has synchronous steps, the model is not float32, the optimizer is not the model's, or a
            loss was not set.
    """
    _check(trace, model, optimizer)
    layout = Layout.of(model, trace.fragments)
    binding = Binding(model, layout)

    def validated(op: Evaluate, whole_P: Tensor) -> Row:
        binding.bind(whole_P)
        return {"loss": _evaluated(model, evaluate)} if evaluate else {}

    operations = Operations(
        trace=trace,
        outer=outer,
        seed=seed,
        shards=Shards(whole=layout),
        initial_P=flatten(model, layout),
        replica=lambda parameters_P: Replica(parameters_P, [optimizer], rewarm_steps),
        transport=LocalTransport(),
        owners=place(trace.fleet_nodes, workers=1),
        emit=emit or _nowhere,
        validate=validated,
    )
    return _turns(operations, binding, model, optimizer)


def _turns(operations: Operations, binding: Binding, model: nn.Module, optimizer: Optimizer) -> Iterator[Turn]:
    with _lent(model, optimizer):
        for op in operations.walk(Gate()):
            assert isinstance(op, Step)
            if not operations.nodes[op.node].replica.stopped:
                losses: list[Tensor] = []
                for turn in _turns_of(op, operations, binding):
                    yield turn
                    losses.append(_loss(turn, model))
                operations.stepped(op, losses)
        binding.bind(operations.final_P())


def _turns_of(op: Step, operations: Operations, binding: Binding) -> Iterator[Turn]:
    replica = operations.nodes[op.node].replica
    binding.bind(replica.parameters_P)
    replica.enter()
    for k in range(op.n):
        operations.upsets.strike(op, k)
        yield Turn(
            node=op.node,
            step=op.first + k,
            lr_progress=min(1.0, op.lr_progress + k * op.lr_progress_per_step),
            warmth=replica.next_warmth(),
        )
        binding.write_counts()


@contextmanager
def _lent(model: nn.Module, optimizer: Optimizer) -> Iterator[None]:
    """However it ends, the model has its own memory again, with its last values, and the optimizer its own state."""
    tensors = named_tensors(model).values()
    own, state = [tensor.data for tensor in tensors], optimizer.state
    try:
        yield
    finally:
        optimizer.state = state
        for tensor, memory in zip(tensors, own, strict=True):
            tensor.data = memory.copy_(tensor.data)


def _evaluated(model: nn.Module, evaluate: Callable[[], float]) -> float:
    training = model.training
    model.eval()
    with torch.no_grad():
        loss = float(evaluate())
    model.train(training)
    return loss


def _loss(turn: Turn, model: nn.Module) -> Tensor:
    if turn.loss is None:
        raise InputError("turn.loss", None, "must be set in every turn, as turn.loss = loss")
    return torch.as_tensor(turn.loss, dtype=torch.float32, device=next(model.parameters()).device).detach()


def _nowhere(row: Row) -> None:
    """Nobody wants the rows."""


def _check(trace: Trace, model: nn.Module, optimizer: Optimizer) -> None:
    if any(trace.of_kind(SyncStep)):
        problem = "trains in synchronous steps, all nodes at once; a loop can follow any other policy"
        raise InputError("trace", trace.policy, problem)
    parameters = set(model.parameters())
    if not parameters:
        raise InputError("model", type(model).__name__, "has no parameters to train")
    for name, tensor in named_tensors(model).items():
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise InputError("model", name, f"is {tensor.dtype}; take a model in float32, and autocast in the loop")
    if not all(parameter in parameters for group in optimizer.param_groups for parameter in group["params"]):
        raise InputError("optimizer", type(optimizer).__name__, "has parameters that are not the model's")
