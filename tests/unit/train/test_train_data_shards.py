"""Files of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from orbital_train.errors import InputError
from orbital_train.train.data.shards import shards
from orbital_train.train.data.text import Corpus, TextData
from orbital_train.train.data.tokenized import TokenizedData
from tests.unit.train.words import WORDS, write_tokenizer

SPLIT = {"nodes": (0, 1, 4), "batch_size": 4, "seed": 3, "context": 16, "validation_batches": 3}


def read(tokens: Path, **changes: Any) -> TokenizedData:
    return shards(**({"path": str(tokens), "dtype": "uint16", "vocabulary_size": 20_000} | SPLIT | changes))


def write(folder: Path, tokens: np.ndarray, ending: str, dtype: str) -> Path:
    path = folder / f"tokens{ending}"
    if ending == ".npy":
        np.save(path, tokens.astype(dtype))
    else:
        tokens.astype(dtype).tofile(path)
    return path


@pytest.mark.parametrize("way", ["contiguous", "interleaved"])
@pytest.mark.parametrize(("ending", "dtype"), [(".bin", "uint16"), (".bin", "uint32"), (".npy", "uint16")])
def test_batches_are_those_of_a_text_of_the_same_tokens(tmp_path: Path, ending: str, dtype: str, way: str) -> None:
    path = write(tmp_path, np.arange(20_000), ending, dtype)
    data = read(path, dtype=dtype, shards=way)
    text = TextData(Corpus(tokens_N=torch.arange(20_000), vocabulary=""), shards=way, **SPLIT)
    for node in (0, 1, 4):
        for ours, theirs in zip(data.batch(node, 7), text.batch(node, 7), strict=True):
            assert ours.dtype == torch.int64
            assert torch.equal(ours, theirs)
    assert all(torch.equal(a[1], b[1]) for a, b in zip(data.validation(), text.validation(), strict=True))
    assert data.tokens_per_step == 64


def test_several_files_are_one_sequence(tmp_path: Path) -> None:
    whole = read(write(tmp_path, np.arange(20_000), ".npy", "uint32"))
    ends = (0, 7, 9000, 9001, 20_000)
    for k in range(4):
        np.save(tmp_path / f"part-{k}.npy", np.arange(ends[k], ends[k + 1], dtype=np.uint16))
    parts = read(tmp_path / "part-*.npy")
    for step in range(50):
        assert torch.equal(parts.batch(1, step)[0], whole.batch(1, step)[0])
    assert parts._at(np.arange(20_000)).tolist() == list(range(20_000))


def test_large_tokens_stay_what_they_are(tmp_path: Path) -> None:
    data = read(write(tmp_path, np.full(2000, 2**32 - 1), ".bin", "uint32"), dtype="uint32", vocabulary_size=2**32)
    assert data.batch(0, 0)[0].unique().tolist() == [2**32 - 1]


def test_words_become_tokens_and_back(tmp_path: Path) -> None:
    tokenizer = write_tokenizer(tmp_path / "tokenizer.json")
    path = write(tmp_path, np.arange(2000) % 10, ".bin", "uint16")
    data = read(path, vocabulary_size=None, tokenizer=tokenizer)
    assert data.vocabulary_size == len(WORDS)
    assert data.encode("light fades and node waits") == [1, 2, 8, 6, 9]
    assert data.decode([3, 4]) == "links open"
    with pytest.raises(ValueError, match="the data have no tokenizer"):
        read(path).encode("light")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"vocabulary_size": None}, "data.vocabulary_size = None: is required where there is no data.tokenizer"),
        ({"vocabulary_size": 9}, "data.vocabulary_size = 9: there is a token 9"),
        ({"path": "none.bin"}, "data.path = 'none.bin': there is no such file, nor one that matches the pattern"),
        ({"path": "tokens.txt"}, "data.path = 'tokens.txt': must end in .bin or .npy, not in .txt"),
        ({"path": "floats.npy"}, "data.path = 'floats.npy': must hold one row of uint16 or uint32, not float64 (3,)"),
        ({"path": "empty.bin"}, "data.path = 'empty.bin': cannot be mapped: cannot mmap an empty file"),
        ({"path": "odd.bin"}, "data.path = 'odd.bin': cannot be mapped: Size of available data is not a multiple of"),
        ({"path": "objects.npy"}, "data.path = 'objects.npy': cannot be mapped: "),
        ({"tokenizer": "odd.bin"}, "data.tokenizer = 'odd.bin': must be a tokenizer.json: "),
        ({"batch_size": 36}, "inner.batch_size = 36: a batch of sequences of 16 + 1 tokens is longer than a node's sh"),
    ],
    ids=lambda value: next(iter(value.values())) if isinstance(value, dict) else "",
)
def test_what_will_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], line: str) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, np.arange(2000) % 10, ".bin", "uint16")
    np.save("floats.npy", np.zeros(3))
    np.save("objects.npy", np.array([{}]), allow_pickle=True)
    Path("tokens.txt").write_text("1 2")
    Path("empty.bin").touch()
    Path("odd.bin").write_bytes(b"abc")
    with pytest.raises(InputError) as caught:
        read(Path("tokens.bin"), **changes).validation()
    assert str(caught.value).startswith(line)
