"""Tokens, shards and batches. A batch is a pure function of (seed, node, step); nothing here has a position.

Shape suffixes: B sequences of a batch, T tokens of a sequence (the context), N tokens of a text.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from orbital_train.errors import InputError
from orbital_train.train.corpora import read_corpus
from orbital_train.train.spec import DataSpec

Batch = tuple[Tensor, Tensor]  # x_BT and y_BT, int64: tokens and the tokens that follow them

# Contexts in one block of an interleaved shard: long enough that few windows are lost where blocks meet.
BLOCK_CONTEXTS = 16


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A text as character tokens: ``tokens_N`` (uint8, or int32 for large alphabets) index ``vocabulary``."""

    tokens_N: Tensor
    vocabulary: str  # the sorted set of the text's characters


@lru_cache(maxsize=1)
def load_corpus(name: str, sha256: str) -> Corpus:
    """Read a corpus and index its characters; for errors see :func:`~orbital_train.train.corpora.read_corpus`.

    The last one is kept: ``sha256`` says what the text is, so a second reading would give the same.
    """
    text = read_corpus(name, sha256)
    vocabulary = "".join(sorted(set(text)))
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    token_of_code = np.zeros(ord(vocabulary[-1]) + 1, dtype=np.uint8 if len(vocabulary) <= 256 else np.int32)
    token_of_code[[ord(c) for c in vocabulary]] = np.arange(len(vocabulary))
    return Corpus(tokens_N=torch.from_numpy(token_of_code[codes]), vocabulary=vocabulary)


@dataclass(frozen=True, kw_only=True)
class Shard:
    """The part of the training split that one node sees: blocks of equal length. Windows do not cross blocks."""

    first: int  # position of the first block in the text
    stride: int  # tokens from one block's start to the next
    blocks: int
    block_length: int


class TextData:
    """Batches of a corpus for every training node, and the fixed validation batches.

    The last ``validation_fraction`` of the text is held out. The rest is divided over ``nodes``, in their order:
    ``contiguous`` gives each one stretch of text; ``interleaved`` deals blocks of 16 contexts round robin. All shards
    are equally long; what is left at the end of the split is not used.

    Raises:
        InputError: the text is too short for a batch per shard (``inner.batch_size``) or for one validation
            sequence (``data.validation_fraction``).
    """

    def __init__(
        self, corpus: Corpus, spec: DataSpec, nodes: tuple[int, ...], batch_size: int, context: int, seed: int
    ) -> None:
        self.tokens_N = corpus.tokens_N
        self._spec, self._batch_size, self._context, self._seed = spec, batch_size, context, seed
        total = self.tokens_N.numel()
        self._held_out = round(total * spec.validation_fraction)
        if self._held_out <= context:
            problem = f"holds out {self._held_out} of {total} tokens; more than the context of {context} are needed"
            raise InputError("data.validation_fraction", spec.validation_fraction, problem)
        self.shards = _shards(spec, nodes, total - self._held_out, context)
        shortest = min(s.blocks * s.block_length for s in self.shards.values())
        if shortest < batch_size * (context + 1):
            problem = f"a batch of sequences of {context} + 1 tokens is longer than a node's shard of {shortest} tokens"
            raise InputError("inner.batch_size", batch_size, problem)
        self._offsets_T = torch.arange(context + 1)

    def to(self, device: str) -> TextData:
        """Keep the tokens on this device; returns itself."""
        self.tokens_N, self._offsets_T = self.tokens_N.to(device), self._offsets_T.to(device)
        return self

    def batch(self, node: int, step: int) -> Batch:
        """The batch of a node's inner step: a pure function of the seed and the arguments."""
        return self._windows(self._starts_B(node, step))

    def validation(self) -> list[Batch]:
        """The validation batches: windows evenly spaced over the held-out text, the same ones for every caller."""
        count, first = self._spec.validation_batches, self.tokens_N.numel() - self._held_out
        last = self.tokens_N.numel() - self._context - 1
        starts = np.linspace(first, last, count * self._batch_size).astype(np.int64)
        return [self._windows(starts_B) for starts_B in np.split(starts, count)]

    def _starts_B(self, node: int, step: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Uniform windows of a shard. Philox is counter-based, so that any step is drawn without those before it.

        The remainder's bias is below windows / 2^64, and raw output is stable across versions of numpy.
        """
        shard = self.shards[node]
        generator = np.random.Philox(key=(self._seed << 64) | node, counter=step << 192)
        windows_per_block = shard.block_length - self._context
        drawn = generator.random_raw(self._batch_size) % np.uint64(shard.blocks * windows_per_block)
        block, offset = np.divmod(drawn.astype(np.int64), windows_per_block)
        starts_B: np.ndarray[tuple[int], np.dtype[np.int64]] = shard.first + block * shard.stride + offset
        return starts_B

    def _windows(self, starts_B: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Batch:
        starts = torch.from_numpy(starts_B).to(self.tokens_N.device, non_blocking=True)
        window = self.tokens_N[starts[:, None] + self._offsets_T].long()
        return window[:, :-1], window[:, 1:]


def _shards(spec: DataSpec, nodes: tuple[int, ...], tokens: int, context: int) -> dict[int, Shard]:
    if spec.shards == "contiguous":
        length = tokens // len(nodes)
        return {n: Shard(first=i * length, stride=0, blocks=1, block_length=length) for i, n in enumerate(nodes)}
    length = BLOCK_CONTEXTS * context
    blocks, stride = tokens // (length * len(nodes)), length * len(nodes)
    return {n: Shard(first=i * length, stride=stride, blocks=blocks, block_length=length) for i, n in enumerate(nodes)}
