"""What block-quantised formats have in common: a scale for each block. Suffixes: B blocks of W elements each.

Scales are bfloat16 and not float16: outer gradients of small learning rates lie below float16's range. They are rounded
up, so that no element is cut off. A block with an element that is not finite has a scale that is not, and is decoded to
NaN throughout.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from orbital_train.schedule.wire import Blocked
from orbital_train.train.codecs.pieces import rows


@dataclass(frozen=True)
class BlockCodec(ABC):
    """First all scales, then all elements, in the vector's order."""

    wire: Blocked
    largest: ClassVar[float]  # element that the format has, at a scale of 1

    @abstractmethod
    def quantise(self, scaled_BW: Tensor, generator: torch.Generator) -> Tensor:
        """The bytes of elements that are divided by their scales: 0 where they are no numbers. They may be changed."""

    @abstractmethod
    def dequantise(self, stored: Tensor, blocks: int) -> Tensor:
        """The elements (B, W) before their scales; one more than there are where two share a byte and W is odd."""

    def encode_into(self, out: Tensor, vector_F: Tensor, generator: torch.Generator) -> None:
        """See :class:`~orbital_train.train.codecs.Codec`."""
        scales, stored = self._areas(out, vector_F.numel())
        for first, blocks, width in rows(0, vector_F.numel(), self.wire.block):
            values_BW = vector_F[first : first + blocks * width].view(blocks, width)
            scale_B = _rounded_up(values_BW.abs().amax(dim=1) / self.largest)
            scales[first // self.wire.block :][:blocks] = scale_B
            quantised = self.quantise(values_BW / scale_B.float()[:, None], generator)
            stored[self._at(first) :][: quantised.numel()] = quantised.flatten()

    def decode_into(self, out_E: Tensor, encoded: Tensor, size: int, start: int) -> None:
        """See :class:`~orbital_train.train.codecs.Codec`."""
        scales, stored = self._areas(encoded, size)
        for first, blocks, width in rows(start, start + out_E.numel(), self.wire.block):
            scale_B = scales[first // self.wire.block :][:blocks].float()
            elements_BW = self.dequantise(stored[self._at(first) : self._at(first + blocks * width)], blocks)
            out_BW = out_E[first - start :][: blocks * width].view(blocks, width)
            torch.mul(elements_BW[:, :width], scale_B[:, None], out=out_BW)

    def _areas(self, encoded: Tensor, size: int) -> tuple[Tensor, Tensor]:
        end, _ = self.wire.areas(size)
        return encoded[:end].view(torch.bfloat16), encoded[end:]

    def _at(self, element: int) -> int:
        return -(-element * self.wire.element_bits // 8)


def _rounded_up(scale_B: Tensor) -> Tensor:
    """To bfloat16, which is the upper half of a float32. What is not finite stays so."""
    return ((scale_B.view(torch.int32) + 0xFFFF) >> 16).to(torch.int16).view(torch.bfloat16)
