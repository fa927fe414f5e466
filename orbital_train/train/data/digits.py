"""Real images that install with a package: 1,797 handwritten digits of 8 x 8 pixels, with scikit-learn.

From the UCI repository (E. Alpaydin, C. Kaynak, 1998); their order is that of the writers. Shape suffixes: N images,
B those of a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from orbital_train.errors import InputError
from orbital_train.train.data.split import Way, draw, shards_of
from orbital_train.train.protocol import Batch

BRIGHTEST = 16.0
CLASSES = 10


class DigitData:
    """Batches of images (float32, 0 to 1) and digits (int64): the last ones are held out, for one validation batch.

    The rest is divided over ``nodes``, in their order: ``contiguous`` gives each one some writers, ``interleaved``
    deals images round robin. All shards are equally long.

    Raises:
        InputError: a batch is larger than a shard (``inner.batch_size``).
    """

    example_shape = (1, 8, 8)
    classes = CLASSES

    def __init__(
        self,
        images: Tensor,
        digits_N: Tensor,
        *,
        nodes: tuple[int, ...],
        batch_size: int,
        seed: int,
        validation_fraction: float,
        shards: Way,
    ) -> None:
        self.images, self.digits_N = images, digits_N
        self.tokens_per_step = batch_size
        self._batch_size, self._seed = batch_size, seed
        self._training = len(digits_N) - max(1, round(len(digits_N) * validation_fraction))
        self._shards = shards_of(shards, nodes, self._training, 1)
        size = next(iter(self._shards.values())).size
        if size < batch_size:
            raise InputError("inner.batch_size", batch_size, f"a batch is larger than a node's shard of {size} images")

    def to(self, device: str) -> None:
        """Keep the images on this device."""
        self.images, self.digits_N = self.images.to(device), self.digits_N.to(device)

    def batch(self, node: int, step: int) -> Batch:
        """The batch of a node's inner step: a pure function of the seed and the arguments."""
        shard = self._shards[node]
        which_B = draw(shard, window=1, count=self._batch_size, seed=self._seed, node=node, step=step)
        which = torch.from_numpy(which_B).to(self.images.device)
        return self.images[which], self.digits_N[which]

    def validation(self) -> list[Batch]:
        """All that is held out."""
        return [(self.images[self._training :], self.digits_N[self._training :])]


def digits(*, nodes: tuple[int, ...], batch_size: int, seed: int, validation_fraction: float, shards: Way) -> DigitData:
    """The digits of scikit-learn.

    Raises:
        InputError: scikit-learn is not installed (``data.kind``), or a batch is larger than a shard.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        told = "needs scikit-learn; install it with: pip install 'orbital-train[digits]'"
        raise InputError("data.kind", "digits", told) from None
    pixels, digits_N = load_digits(return_X_y=True)
    return DigitData(
        torch.from_numpy(pixels).float().view(-1, *DigitData.example_shape) / BRIGHTEST,
        torch.from_numpy(digits_N).long(),
        nodes=nodes,
        batch_size=batch_size,
        seed=seed,
        validation_fraction=validation_fraction,
        shards=shards,
    )
