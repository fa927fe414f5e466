"""A multi-layer perceptron that classifies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from orbital_train.train.models.classifier import Classifier


def mlp(*, example_shape: tuple[int, ...], classes: int, widths: Sequence[int]) -> Classifier:
    """Hidden layers of these widths with ReLU, then one that scores the classes; initialised as torch does."""
    layers: list[nn.Module] = [nn.Flatten()]
    sizes = (math.prod(example_shape), *widths)
    for size, width in pairwise(sizes):
        layers += [nn.Linear(size, width), nn.ReLU()]
    return Classifier(nn.Sequential(*layers, nn.Linear(sizes[-1], classes)))
