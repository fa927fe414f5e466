"""int8 and int4 with stochastic rounding: up or down, with chances that make it right on average."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from orbital_train.train.codecs.blocks import BlockCodec


class Int8(BlockCodec):
    """Integers from -127 to 127."""

    largest: ClassVar[float] = 127.0

    def quantise(self, scaled_BW: Tensor, generator: torch.Generator) -> Tensor:
        """See :meth:`BlockCodec.quantise`."""
        return _rounded(scaled_BW, self.largest, generator).view(torch.uint8)

    def dequantise(self, stored: Tensor, blocks: int) -> Tensor:
        """See :meth:`BlockCodec.dequantise`."""
        return stored.view(torch.int8).view(blocks, -1).float()


class Int4(BlockCodec):
    """Integers from -7 to 7. A byte has one of the block's first half, and above it the same of its second."""

    largest: ClassVar[float] = 7.0

    def quantise(self, scaled_BW: Tensor, generator: torch.Generator) -> Tensor:
        """See :meth:`BlockCodec.quantise`."""
        if scaled_BW.shape[1] % 2:
            scaled_BW = torch.nn.functional.pad(scaled_BW, (0, 1))
        low, high = _rounded(scaled_BW, self.largest, generator).view(torch.uint8).chunk(2, dim=1)
        return (high << 4) | (low & 15)

    def dequantise(self, stored: Tensor, blocks: int) -> Tensor:
        """See :meth:`BlockCodec.dequantise`."""
        signed_BH = stored.view(torch.int8).view(blocks, -1)
        return torch.cat([(signed_BH << 4) >> 4, signed_BH >> 4], dim=1).float()


def _rounded(scaled_BW: Tensor, largest: float, generator: torch.Generator) -> Tensor:
    """Floor of elements with noise from 0 to 1, in steps of 1/256: a mean is off by at most 1/512 of a step."""
    noise = torch.empty(-(-scaled_BW.numel() // 8), dtype=torch.int64, device=scaled_BW.device)
    noise_BW = noise.random_(-(2**63), None, generator=generator).view(torch.uint8)[: scaled_BW.numel()]
    scaled_BW.add_(noise_BW.view_as(scaled_BW), alpha=1 / 256).add_(1 / 512).floor_()
    return scaled_BW.clamp_(-largest, largest).nan_to_num_(nan=0.0).to(torch.int8)
