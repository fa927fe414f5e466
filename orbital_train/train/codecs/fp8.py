"""fp8: E4M3 without infinities (Micikevicius et al., arXiv 2209.05433), rounded to nearest, ties to even."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from orbital_train.train.codecs.blocks import BlockCodec


class Fp8(BlockCodec):
    """Three bits of mantissa, of a block's largest element and of all down to 2^14 times smaller ones."""

    largest: ClassVar[float] = 448.0

    def quantise(self, scaled_BW: Tensor, generator: torch.Generator) -> Tensor:
        """See :meth:`BlockCodec.quantise`; nothing is random."""
        return scaled_BW.nan_to_num_(nan=0.0).to(torch.float8_e4m3fn).view(torch.uint8)

    def dequantise(self, stored: Tensor, blocks: int) -> Tensor:
        """See :meth:`BlockCodec.dequantise`.

        By bits: as the upper part of a float16 the same bits are 2^8 times smaller, since exponents there are biased by
        8 more. torch's own conversion is 20 times slower on CPUs.
        """
        bits = stored.view(torch.int8).to(torch.int16)  # with the sign in bit 15 too
        return ((bits << 7) & ~0x4000).view(torch.float16).float().mul_(256.0).view(blocks, -1)
