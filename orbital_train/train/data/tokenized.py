"""Tokens in arrays, in memory or mapped from files, and the tokenizer that made them.

Shape suffixes: B sequences of a batch, T tokens of a sequence (the context).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from orbital_train.errors import InputError
from orbital_train.train.data.tokens import TokenData

Part = NDArray[Any]  # of unsigned integers


class TokenizedData(TokenData):
    """Batches of arrays that follow each other; for the other arguments see ``TokenData``.

    Raises:
        InputError: also later on, where a token is not of the vocabulary (``data.vocabulary_size``).
    """

    def __init__(self, parts: Sequence[Part], *, vocabulary_size: int, tokenizer: Any = None, **split: Any) -> None:
        super().__init__(sum(len(part) for part in parts), **split)
        self._parts, self._ends = parts, np.cumsum([len(part) for part in parts])
        self._vocabulary_size, self._tokenizer = vocabulary_size, tokenizer

    @property
    def vocabulary_size(self) -> int:
        """Different tokens that there may be."""
        return self._vocabulary_size

    def encode(self, text: str) -> list[int]:
        """Tokens of a text; ValueError if there is no tokenizer."""
        return list(self._given().encode(text, add_special_tokens=False).ids)

    def decode(self, tokens: list[int]) -> str:
        """Text of tokens."""
        return str(self._given().decode(tokens, skip_special_tokens=False))

    def _given(self) -> Any:
        if self._tokenizer is None:
            raise ValueError("the data have no tokenizer (data.tokenizer)")
        return self._tokenizer

    def _windows_BT(self, starts_B: NDArray[np.int64]) -> Tensor:
        tokens_BT = self._at(starts_B[:, None] + np.arange(self.context + 1))
        if (largest := int(tokens_BT.max())) >= self._vocabulary_size:
            raise InputError("data.vocabulary_size", self._vocabulary_size, f"there is a token {largest}")
        return torch.from_numpy(tokens_BT)

    def _at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens at positions in the whole."""
        tokens = np.empty(positions.shape, dtype=np.int64)
        which = np.searchsorted(self._ends, positions, side="right")
        for k in np.unique(which):
            here = which == k
            tokens[here] = self._parts[k][positions[here] - (self._ends[k] - len(self._parts[k]))]
        return tokens


def read_tokenizer(path: str) -> Any:
    """A tokenizer of Hugging Face's ``tokenizers``.

    Raises:
        InputError: the package is not installed, or the file is not one of its (``data.tokenizer``).
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        told = "needs tokenizers; install it with: pip install 'orbital-train[hf]'"
        raise InputError("data.tokenizer", path, told) from None
    try:
        return Tokenizer.from_file(path)
    except Exception as error:  # the package raises nothing narrower
        raise InputError("data.tokenizer", path, f"must be a tokenizer.json: {error}") from None
