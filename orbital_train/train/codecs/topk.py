"""Top-k: of every chunk the largest elements, with their indices (SparseLoCo, arXiv 2508.15706).

What is left out is not sent, not even as zeros. An element that is not finite counts as the largest.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from orbital_train.schedule.wire import Sparse
from orbital_train.train.codecs.pieces import rows


@dataclass(frozen=True)
class TopK:
    """First all indices, rising in each chunk, then all values in bfloat16."""

    wire: Sparse

    def encode_into(self, out: Tensor, vector_F: Tensor, generator: torch.Generator) -> None:
        """See :class:`~orbital_train.train.codecs.Codec`; nothing is random.

        Of magnitudes the order is that of their bits, and these are compared faster.
        """
        indices, values = self._areas(out)
        for first, chunks, width in rows(0, vector_F.numel(), self.wire.chunk):
            rows_CW, at, k = vector_F[first:][: chunks * width].view(chunks, width), *self._entries(first, width)
            magnitude_CW = rows_CW.view(torch.int32) & 0x7FFFFFFF
            chosen_CK = magnitude_CW.topk(k, dim=1, sorted=False).indices.sort(dim=1).values
            indices[at:][: chunks * k] = chosen_CK.flatten()
            values[at:][: chunks * k] = rows_CW.gather(1, chosen_CK).flatten()

    def decode_into(self, out_E: Tensor, encoded: Tensor, size: int, start: int) -> None:
        """See :class:`~orbital_train.train.codecs.Codec`."""
        indices, values = self._areas(encoded)
        out_E.zero_()
        for first, chunks, width in rows(start, start + out_E.numel(), self.wire.chunk):
            (at, k), out_CW = self._entries(first, width), out_E[first - start :][: chunks * width].view(chunks, width)
            chosen_CK = indices[at:][: chunks * k].view(chunks, k).long()
            out_CW.scatter_(1, chosen_CK, values[at:][: chunks * k].view(chunks, k).float())

    def _areas(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        middle = encoded.numel() // 2
        return encoded[:middle].view(torch.int16), encoded[middle:].view(torch.bfloat16)

    def _entries(self, first: int, width: int) -> tuple[int, int]:
        """Where the entries of a chunk begin that begins at this element, and how many one of this width has."""
        return self.wire.entries(first), self.wire.entries(width)
