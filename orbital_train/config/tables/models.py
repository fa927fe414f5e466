"""``[model]``: the model that is *trained*. It stands for the flown one. Without ``kind`` it is the small GPT."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationInfo

from orbital_train.config.tables.base import Small, Table, Width
from orbital_train.config.tables.named import OTHER, Other, tag_of


def _multiple_of_heads(width: int, info: ValidationInfo) -> int:
    heads = info.data.get("heads", 1)
    if width % heads:
        raise ValueError(f"must be a multiple of the {heads} heads")
    return width


HeadedWidth = Annotated[Width, AfterValidator(_multiple_of_heads)]


class GPTTable(Table):
    """A small GPT: layer norms, learned positions, GELU."""

    kind: Literal["gpt"] = "gpt"
    layers: Small = 2
    heads: Small = 4
    width: HeadedWidth = 64
    context: Annotated[int, Field(ge=1, le=10_000_000)] = 64
    """Tokens of a sequence, unless ``data.context`` says so."""


Model = Annotated[
    Annotated[GPTTable, Tag("gpt")] | Annotated[Other, Tag(OTHER)],
    Discriminator(tag_of("model", "gpt")),
]
