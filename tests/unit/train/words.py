"""A tokenizer of whole words, written as ``tokenizers`` does."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers

WORDS = ["<eos>", "light", "fades", "links", "open", "close", "node", "sends", "and", "waits"]


def write_tokenizer(path: Path) -> str:
    tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(WORDS)}, unk_token="<eos>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(path))
    return str(path)
