"""Texts in a data set of Hugging Face's ``datasets``, tokenized here. Nothing is fetched."""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from orbital_train.errors import InputError
from orbital_train.train.data.tokenized import Part, TokenizedData, read_tokenizer

ROWS = 1000  # tokenized at a time


def hf(
    *,
    nodes: tuple[int, ...],
    batch_size: int,
    seed: int,
    folder: str,
    column: str,
    tokenizer: str,
    part: str | None = None,
    end_token: str | None = None,
    **split: Any,
) -> TokenizedData:
    """The rows of a folder as ``save_to_disk`` writes it, as one sequence of tokens, held in memory.

    Raises:
        InputError: ``datasets`` or ``tokenizers`` is not installed, or the folder, column, tokenizer or token is
            missing, or the text is too short.
    """
    given = read_tokenizer(tokenizer)
    if end_token is not None and given.token_to_id(end_token) is None:
        raise InputError("data.end_token", end_token, "is no token of the tokenizer")
    return TokenizedData(
        [_tokens(folder, part, column, tokenizer, end_token)],
        vocabulary_size=given.get_vocab_size(),
        tokenizer=given,
        nodes=nodes,
        batch_size=batch_size,
        seed=seed,
        **split,
    )


@lru_cache(maxsize=1)
def _tokens(folder: str, part: str | None, column: str, tokenizer: str, end_token: str | None) -> Part:
    rows, given = _rows(folder, part, column), read_tokenizer(tokenizer)
    end = [] if end_token is None else [given.token_to_id(end_token)]
    ids: list[Part] = []
    for first in range(0, len(rows), ROWS):
        encoded = given.encode_batch(rows[first : first + ROWS][column], add_special_tokens=False)
        ids.append(np.fromiter(chain.from_iterable((*row.ids, *end) for row in encoded), dtype=np.uint32))
    return np.concatenate([np.empty(0, dtype=np.uint32), *ids])


def _rows(folder: str, part: str | None, column: str) -> Any:
    try:
        import datasets
    except ImportError:
        told = "needs datasets; install it with: pip install 'orbital-train[hf]'"
        raise InputError("data.kind", "hf", told) from None
    if not Path(folder).is_dir():
        raise InputError("data.folder", folder, "must be a folder as save_to_disk writes it")
    try:
        rows = datasets.load_from_disk(folder)
    except FileNotFoundError:
        raise InputError("data.folder", folder, "must be a folder as save_to_disk writes it") from None
    if isinstance(rows, datasets.DatasetDict):
        if part not in rows:
            raise InputError("data.part", part, f"must be one of {', '.join(rows)}")
        rows = rows[part]
    if column not in rows.column_names:
        raise InputError("data.column", column, f"must be one of {', '.join(rows.column_names)}")
    return rows
