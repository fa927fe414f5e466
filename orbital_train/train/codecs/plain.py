"""fp32 and bf16: every element by itself, bfloat16 rounded to nearest, ties to even."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PlainCodec:
    """Elements of one type."""

    dtype: torch.dtype

    def encode_into(self, out: Tensor, vector_F: Tensor, generator: torch.Generator) -> None:
        """See :class:`~orbital_train.train.codecs.Codec`; nothing is random."""
        out.view(self.dtype).copy_(vector_F)

    def decode_into(self, out_E: Tensor, encoded: Tensor, size: int, start: int) -> None:
        """See :class:`~orbital_train.train.codecs.Codec`."""
        out_E.copy_(encoded.view(self.dtype)[start : start + out_E.numel()])
