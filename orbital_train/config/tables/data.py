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


class DigitsTable(Divided):
    """Images of handwritten digits, of scikit-learn."""

    kind: Literal["digits"]


Data = Annotated[
    Annotated[TextTable, Tag("text")] | Annotated[DigitsTable, Tag("digits")] | Annotated[Other, Tag(OTHER)],
    Discriminator(tag_of("data", "text")),
]
