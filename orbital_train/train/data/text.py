"""A text whose characters are the tokens. Shape suffix N: tokens of the text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from orbital_train.train.corpora import read_corpus
from orbital_train.train.data.tokens import TokenData


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


class TextData(TokenData):
    """Batches of a corpus; for the other arguments see :class:`~orbital_train.train.data.tokens.TokenData`."""

    def __init__(self, corpus: Corpus, **split: Any) -> None:
        super().__init__(corpus.tokens_N.numel(), **split)
        self.tokens_N, self._vocabulary = corpus.tokens_N, corpus.vocabulary
        self._offsets_T = torch.arange(self.context + 1)

    def to(self, device: str) -> None:
        """Keep the tokens on this device."""
        self.tokens_N, self._offsets_T = self.tokens_N.to(device), self._offsets_T.to(device)

    @property
    def vocabulary_size(self) -> int:
        """Different characters of the text."""
        return len(self._vocabulary)

    def encode(self, text: str) -> list[int]:
        """Tokens of the characters; ValueError names one that the corpus does not have."""
        tokens = {character: token for token, character in enumerate(self._vocabulary)}
        if unknown := [character for character in text if character not in tokens]:
            raise ValueError(f"the corpus has no character {unknown[0]!r}")
        return [tokens[character] for character in text]

    def decode(self, tokens: list[int]) -> str:
        """Their characters."""
        return "".join(self._vocabulary[token] for token in tokens)

    def _windows_BT(self, starts_B: NDArray[np.int64]) -> Tensor:
        starts = torch.from_numpy(starts_B).to(self.tokens_N.device, non_blocking=True)
        return self.tokens_N[starts[:, None] + self._offsets_T].long()


def text(*, nodes: tuple[int, ...], batch_size: int, seed: int, corpus: str, sha256: str, **split: Any) -> TextData:
    """A known corpus or a UTF-8 text file.

    Raises:
        InputError: the corpus is missing, another text or too short.
    """
    return TextData(load_corpus(corpus, sha256), nodes=nodes, batch_size=batch_size, seed=seed, **split)
