"""Files of tokens, mapped into memory: .bin (raw, little-endian) or .npy, of uint16 or uint32."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any, Literal

import numpy as np

from orbital_train.errors import InputError
from orbital_train.train.data.tokenized import Part, TokenizedData, read_tokenizer

DTYPES: dict[str, np.dtype[Any]] = {"uint16": np.dtype("<u2"), "uint32": np.dtype("<u4")}


def shards(
    *,
    nodes: tuple[int, ...],
    batch_size: int,
    seed: int,
    path: str,
    dtype: Literal["uint16", "uint32"],
    vocabulary_size: int | None = None,
    tokenizer: str | None = None,
    **split: Any,
) -> TokenizedData:
    """One file, or all that match a pattern, in the order of their names, as one sequence of tokens.

    Raises:
        InputError: there is no such file, it does not hold tokens, or there are too few of them; neither the size of
            the vocabulary nor a tokenizer is given.
    """
    given = None if tokenizer is None else read_tokenizer(tokenizer)
    size = given.get_vocab_size() if given is not None and vocabulary_size is None else vocabulary_size
    if size is None:
        raise InputError("data.vocabulary_size", None, "is required where there is no data.tokenizer")
    return TokenizedData(
        [_mapped(file, dtype) for file in _files(path)],
        vocabulary_size=size,
        tokenizer=given,
        nodes=nodes,
        batch_size=batch_size,
        seed=seed,
        **split,
    )


def _files(path: str) -> list[str]:
    found = sorted(glob.glob(path))
    if not found:
        raise InputError("data.path", path, "there is no such file, nor one that matches the pattern")
    return found


def _mapped(file: str, dtype: str) -> Part:
    if Path(file).suffix not in (".bin", ".npy"):
        raise InputError("data.path", file, f"must end in .bin or .npy, not in {Path(file).suffix or 'nothing'}")
    try:
        raw = file.endswith(".bin")
        tokens = np.memmap(file, dtype=DTYPES[dtype], mode="r") if raw else np.load(file, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise InputError("data.path", file, f"cannot be mapped: {error}") from None
    if tokens.ndim != 1 or tokens.dtype not in DTYPES.values():
        problem = f"must hold one row of uint16 or uint32, not {tokens.dtype} {tokens.shape}"
        raise InputError("data.path", file, problem)
    return tokens
