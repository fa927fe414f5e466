"""``[data]``: what is trained on. Nothing else is taken in its place. Without ``kind`` it is a text's characters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from orbital_train.config.tables.base import Table
from orbital_train.config.tables.named import OTHER, Other, tag_of

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Divided(Table):
    """How data are divided."""

    validation_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    """Held out: the last part."""
    shards: Literal["interleaved", "contiguous"] = "interleaved"
    """How the rest is divided among the nodes."""


class Tokens(Divided):
    """A long sequence of tokens, from which windows are drawn."""

    context: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Tokens of a sequence; ``model.context`` if not given, and 64 where the model has none."""
    validation_batches: Annotated[int, Field(ge=1, le=1_000_000)] = 100


class TextTable(Tokens):
    """The characters of one corpus."""

    kind: Literal["text"] = "text"
    corpus: str
    """``shakespeare-plays``, or the path of a UTF-8 text file, relative to the recipe's folder."""
    sha256: Sha256
    """Of the corpus's text."""


class ShardsTable(Tokens):
    """Files of tokens, which are mapped into memory."""

    kind: Literal["shards"]
    path: str
    """A ``.bin`` or ``.npy`` file, or a pattern (``*``) for several, relative to the recipe's folder."""
    dtype: Literal["uint16", "uint32"] = "uint16"
    """Of ``.bin`` files, which are raw and little-endian."""
    vocabulary_size: Annotated[int, Field(ge=1, le=2**32)] | None = None
    """That of the tokenizer if not given."""
    tokenizer: str | None = None
    """``tokenizer.json`` of Hugging Face's ``tokenizers``, relative to the recipe's folder; for ``sample``."""


class HFDataTable(Tokens):
    """Texts in a data set of Hugging Face's ``datasets``, which are tokenized and held in memory."""

    kind: Literal["hf"]
    folder: str
    """As ``save_to_disk`` writes it, relative to the recipe's folder. Nothing is fetched."""
    part: str | None = None
    """Of a data set of several, as ``train``."""
    column: str = "text"
    tokenizer: str
    """``tokenizer.json`` of Hugging Face's ``tokenizers``, relative to the recipe's folder."""
    end_token: str | None = None
    """After every row, as ``<eos>``; nothing if not given."""


class DigitsTable(Divided):
    """Images of handwritten digits, of scikit-learn."""

    kind: Literal["digits"]


Data = Annotated[
    Annotated[TextTable, Tag("text")]
    | Annotated[ShardsTable, Tag("shards")]
    | Annotated[HFDataTable, Tag("hf")]
    | Annotated[DigitsTable, Tag("digits")]
    | Annotated[Other, Tag(OTHER)],
    Discriminator(tag_of("data", "text")),
]
