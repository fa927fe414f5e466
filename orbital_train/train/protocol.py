"""What a model and a data set must be like. ``docs/models.md`` has an example of both.

A **model** is built by a function of keyword arguments that returns a ``torch.nn.Module``; ``module(*batch)`` is the
mean loss of a batch, a scalar. An argument that the recipe does not give is the data's attribute of that name. The
function finds torch's generator seeded with ``seeds.init``. The loss must depend on the parameters, the buffers and the
batch alone: a model that draws random numbers would give other bits on another number of workers.

A **data set** is built by a function of ``nodes`` (those that train, each of which gets its own shard), ``batch_size``,
``seed``, as far as it names them, and of what the recipe gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor

Batch = tuple[Tensor, ...]  # what the model is called with


@runtime_checkable
class Data(Protocol):
    """Batches for every node. Other attributes are there for models to take, as ``vocabulary_size``."""

    tokens_per_step: int  # of one node: tokens, or whatever else reports are to count

    def batch(self, node: int, step: int) -> Batch:
        """The batch of a node's inner step: a pure function of the seed and these two."""

    def validation(self) -> Sequence[Batch]:
        """The validation batches, the same ones every time."""


@runtime_checkable
class Movable(Protocol):
    """Data that can have its batches on a device from the start; those of others are copied there one by one."""

    def to(self, device: str) -> None:
        """Give batches on this device from now on."""


@runtime_checkable
class Text(Protocol):
    """Data that is made of text: what ``sample`` needs of it."""

    context: int  # tokens of a sequence

    def encode(self, text: str) -> list[int]:
        """Tokens of a text; ValueError says what there is no token for."""

    def decode(self, tokens: list[int]) -> str:
        """Text of tokens."""


@runtime_checkable
class Speaking(Protocol):
    """A model of tokens: what ``sample`` needs of it."""

    def logits_BTV(self, x_BT: Tensor) -> Tensor:
        """Scores of every next token after each of some tokens."""


@runtime_checkable
class Stored(Protocol):
    """A model with files of its own in place of ``model.safetensors`` with the tensors of its ``state_dict``."""

    def save(self, folder: Path) -> None:
        """Write the model."""

    def load(self, folder: Path) -> None:
        """Read it back."""
