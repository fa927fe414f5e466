"""What classifiers have in common. Shape suffix B: examples of a batch."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Classifier(nn.Module):
    """Layers that score classes; calling it gives the mean cross-entropy in nats per example."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor, y_B: Tensor) -> Tensor:
        """Mean loss of telling the classes ``y_B`` (int64) of examples ``x`` (B first), a scalar."""
        return F.cross_entropy(self.layers(x), y_B)
