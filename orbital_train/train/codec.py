"""What an outer gradient is turned into before it travels, and back. Bytes are those of the encoded tensor."""

from __future__ import annotations

import torch
from torch import Tensor

CODECS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def encode(delta_F: Tensor, codec: str) -> Tensor:
    """The tensor that travels, rounded to nearest even where it is narrower.

    A node's own contribution is encoded too where it is merged on the spot: a value must not depend on the place.
    There is no other codec to fall back to: an unknown name is a :class:`KeyError`.
    """
    return delta_F.to(CODECS[codec])


def decode(encoded_F: Tensor) -> Tensor:
    """Back to float32; shares memory where nothing had to be converted."""
    return encoded_F.float()


def encoded_bytes(parameters: int, codec: str) -> int:
    """Size of an encoded outer gradient."""
    return parameters * CODECS[codec].itemsize
