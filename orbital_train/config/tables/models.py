"""``[model]``: the model that is *trained*. It stands for the flown one. Without ``kind`` it is the small GPT."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationInfo

from orbital_train.config.tables.base import LIST, Small, Table, Width
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


def _shares_heads(kv_heads: int, info: ValidationInfo) -> int:
    heads = info.data.get("heads", kv_heads)
    if heads % kv_heads:
        raise ValueError(f"must divide the {heads} heads evenly")
    return kv_heads


def _even_heads(width: int, info: ValidationInfo) -> int:
    heads = info.data.get("heads", 1)
    if width % (2 * heads):
        raise ValueError(f"must be a multiple of twice the {heads} heads: rotary positions turn pairs")
    return width


class LlamaTable(Table):
    """A decoder as Llama's: RMS norms, rotary positions, grouped queries, SwiGLU."""

    kind: Literal["llama"]
    layers: Small = 2
    heads: Small = 4
    kv_heads: Annotated[Small, AfterValidator(_shares_heads)] = 2
    """Heads of keys and values, each shared by heads / kv_heads heads of queries."""
    width: Annotated[Width, AfterValidator(_even_heads)] = 64
    hidden: Width | None = None
    """Of the gated layer; 8/3 of the width, rounded up to a multiple of 8, if not given."""
    rope_theta: Annotated[float, Field(gt=1.0, le=1e12)] = 10_000.0


class MLPTable(Table):
    """A multi-layer perceptron that classifies."""

    kind: Literal["mlp"]
    widths: Annotated[tuple[Width, ...], LIST] = (64, 64)
    """Of its hidden layers."""


class CNNTable(Table):
    """A small convolutional network with batch normalisation that classifies images."""

    kind: Literal["cnn"]
    channels: Annotated[tuple[Width, ...], LIST, Field(min_length=1)] = (16, 32)
    """Of its stages, each of which halves the image."""


class HFTable(Table):
    """A causal language model of Hugging Face's ``transformers``; all its parameters are trained, without dropout."""

    kind: Literal["hf"]
    folder: str
    """As ``save_pretrained`` writes it, relative to the recipe's folder. Nothing is fetched."""
    weights: Literal["pretrained", "random"] = "pretrained"
    """``random``: only the model's shape is taken, from ``config.json``."""


Model = Annotated[
    Annotated[GPTTable, Tag("gpt")]
    | Annotated[LlamaTable, Tag("llama")]
    | Annotated[MLPTable, Tag("mlp")]
    | Annotated[CNNTable, Tag("cnn")]
    | Annotated[HFTable, Tag("hf")]
    | Annotated[Other, Tag(OTHER)],
    Discriminator(tag_of("model", "gpt")),
]
