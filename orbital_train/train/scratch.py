"""Memory of a worker that is used again."""

from __future__ import annotations

import torch
from torch import Tensor


class Scratch:
    """Memory of a worker that is used again: to have new memory takes longer than to add vectors up in it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._kept: dict[object, Tensor] = {}

    def take(self, role: object, size: int) -> Tensor:
        """A float32 vector of this size with anything in it; the same memory for the same role."""
        if role not in self._kept or self._kept[role].numel() < size:
            self._kept[role] = torch.empty(size, device=self._device)
        return self._kept[role][:size]
