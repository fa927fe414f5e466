"""Batches of one long sequence of tokens: windows of a node's shard, each with the tokens that follow.

Shape suffixes: B sequences of a batch, T tokens of a sequence (the context).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from orbital_train.errors import InputError
from orbital_train.train.data.split import Way, draw, shards_of
from orbital_train.train.protocol import Batch

# Contexts in one block of an interleaved shard: long enough that few windows are lost where blocks meet.
BLOCK_CONTEXTS = 16


class TokenData(ABC):
    """Batches for every training node, and the fixed validation batches.

    The last ``validation_fraction`` of the tokens is held out. The rest is divided over ``nodes``, in their order:
    ``contiguous`` gives each one stretch; ``interleaved`` deals blocks of 16 contexts round robin. All shards are
    equally long; what is left at the end of the split is not used. There are ``validation_batches`` of the training
    batch size.

    Raises:
        InputError: there are too few tokens for a batch per shard (``inner.batch_size``) or for one validation
            sequence (``data.validation_fraction``).
    """

    def __init__(
        self,
        tokens: int,
        *,
        nodes: tuple[int, ...],
        batch_size: int,
        seed: int,
        context: int,
        validation_fraction: float = 0.1,
        validation_batches: int = 20,
        shards: Way = "interleaved",
    ) -> None:
        self.context, self.tokens_per_step = context, batch_size * context
        self._tokens, self._batch_size, self._seed = tokens, batch_size, seed
        self._validation_batches, self._held_out = validation_batches, round(tokens * validation_fraction)
        if self._held_out <= context:
            problem = f"holds out {self._held_out} of {tokens} tokens; more than the context of {context} are needed"
            raise InputError("data.validation_fraction", validation_fraction, problem)
        self.shards = shards_of(shards, nodes, tokens - self._held_out, BLOCK_CONTEXTS * context)
        shortest = min(shard.size for shard in self.shards.values())
        if shortest < batch_size * (context + 1):
            problem = f"a batch of sequences of {context} + 1 tokens is longer than a node's shard of {shortest} tokens"
            raise InputError("inner.batch_size", batch_size, problem)

    @property
    @abstractmethod
    def vocabulary_size(self) -> int:
        """Different tokens that there may be."""

    @abstractmethod
    def _windows_BT(self, starts_B: NDArray[np.int64]) -> Tensor:
        """The T + 1 tokens (int64) from each start on."""

    def batch(self, node: int, step: int) -> Batch:
        """The batch of a node's inner step, x_BT and y_BT: a pure function of the seed and the arguments."""
        window, shard = self.context + 1, self.shards[node]
        starts_B = draw(shard, window=window, count=self._batch_size, seed=self._seed, node=node, step=step)
        return self._pair(starts_B)

    def validation(self) -> list[Batch]:
        """The validation batches: windows evenly spaced over what is held out, the same ones for every caller."""
        first, last = self._tokens - self._held_out, self._tokens - self.context - 1
        starts = np.linspace(first, last, self._validation_batches * self._batch_size).astype(np.int64)
        return [self._pair(starts_B) for starts_B in np.split(starts, self._validation_batches)]

    def _pair(self, starts_B: NDArray[np.int64]) -> Batch:
        window = self._windows_BT(starts_B)
        return window[:, :-1], window[:, 1:]
