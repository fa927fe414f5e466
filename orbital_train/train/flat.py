"""All parameters of a replica as one flat float32 vector, of which every tensor is a view.

Snapshots, merges and adoptions then are single vector operations. Suffix P: all parameters of the model; F: those of
one fragment. Matrices come first, so that weight decay, which is for matrices only, covers one stretch.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where every named parameter lies in the vector; the same for all replicas of a model."""

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    matrix_size: int  # parameters of tensors with two or more dimensions, which come first

    @classmethod
    def of(cls, module: nn.Module) -> Layout:
        """Layout of a module: its matrices, then its vectors, each in the module's own order."""
        named = sorted(module.named_parameters(), key=lambda item: item[1].dim() < 2)
        return cls(
            names=tuple(name for name, _ in named),
            shapes=tuple(p.shape for _, p in named),
            matrix_size=sum(p.numel() for _, p in named if p.dim() >= 2),
        )

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(shape.numel() for shape in self.shapes)

    def fragment(self, index: int) -> slice:
        """The stretch of one fragment. There is one fragment, 0: the whole model."""
        assert index == 0, "models have one fragment"
        return slice(0, self.size)

    def views(self, flat_P: Tensor) -> dict[str, Tensor]:
        """The named tensors of a vector, sharing its memory."""
        ends = list(accumulate(shape.numel() for shape in self.shapes))
        starts = [0, *ends[:-1]]
        parts = zip(self.names, starts, ends, self.shapes, strict=True)
        return {name: flat_P[start:end].view(shape) for name, start, end, shape in parts}


def flatten(module: nn.Module, layout: Layout) -> Tensor:
    """A new vector with the module's parameters, on their device."""
    named = dict(module.named_parameters())
    return torch.cat([named[name].detach().float().flatten() for name in layout.names])
