"""A small convolutional network with batch normalisation that classifies images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from orbital_train.errors import InputError
from orbital_train.train.models.classifier import Classifier


def cnn(*, example_shape: tuple[int, ...], classes: int, channels: Sequence[int]) -> Classifier:
    """Stages of 3 x 3 convolution, batch norm and ReLU, with so many channels, each of which halves the image; then the
    mean over the image, and a layer that scores the classes. Initialised as torch does.

    Raises:
        InputError: examples are no images, or too small for so many stages (``model.channels``).
    """
    if len(example_shape) != 3 or min(example_shape[1:]) < 2 ** len(channels):
        problem = f"{len(channels)} stages halve images of {2 ** len(channels)} x {2 ** len(channels)} pixels or more;"
        raise InputError("model.channels", list(channels), f"{problem} an example has the shape {example_shape}")
    layers: list[nn.Module] = []
    for before, after in pairwise((example_shape[0], *channels)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], classes)]
    return Classifier(nn.Sequential(*layers))
