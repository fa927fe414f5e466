"""What the executor trains: a module and its batches. Language models on text are one such problem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from orbital_train.train.data import Batch, Corpus, TextData
from orbital_train.train.model import build_gpt
from orbital_train.train.spec import TrainSpec


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A module with its initial parameters, on its device, and the batches of every node."""

    module: nn.Module  # module(x, y) is the mean loss of a batch
    batch: Callable[[int, int], Batch]  # of (node, step), a pure function
    validation: tuple[Batch, ...]
    tokens_per_step: int  # of one node


def text_problem(spec: TrainSpec, corpus: Corpus, nodes: tuple[int, ...], device: str) -> Problem:
    """A small GPT on the shards of a corpus, one shard for each of ``nodes``.

    Raises:
        InputError: the corpus is too short (see :class:`~orbital_train.train.data.TextData`).
    """
    data = TextData(corpus, spec.data, nodes, spec.batch_size, spec.model.context, spec.data_seed).to(device)
    return Problem(
        module=build_gpt(spec.model, len(corpus.vocabulary), spec.init_seed).to(device),
        batch=data.batch,
        validation=tuple(data.validation()),
        tokens_per_step=spec.batch_size * spec.model.context,
    )
