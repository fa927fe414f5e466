"""How a data set is divided among nodes, and what a node draws from its shard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Way = Literal["contiguous", "interleaved"]


@dataclass(frozen=True, kw_only=True)
class Shard:
    """The part of the training split that one node sees: blocks of equal length. Windows do not cross blocks."""

    first: int  # position of the first block in the whole
    stride: int  # from one block's start to the next
    blocks: int
    block_length: int

    @property
    def size(self) -> int:
        """Tokens, or examples."""
        return self.blocks * self.block_length


def shards_of(way: Way, nodes: tuple[int, ...], size: int, block_length: int) -> dict[int, Shard]:
    """Equal shards of ``size`` tokens or examples, in the nodes' order; what is left at the end is not used.

    ``contiguous`` gives each node one stretch; ``interleaved`` deals blocks of ``block_length`` round robin.
    """
    if way == "contiguous":
        length = size // len(nodes)
        return {n: Shard(first=i * length, stride=0, blocks=1, block_length=length) for i, n in enumerate(nodes)}
    stride = block_length * len(nodes)
    return {
        n: Shard(first=i * block_length, stride=stride, blocks=size // stride, block_length=block_length)
        for i, n in enumerate(nodes)
    }


def draw(shard: Shard, *, window: int, count: int, seed: int, node: int, step: int) -> NDArray[np.int64]:
    """First positions of ``count`` windows of ``window`` tokens or examples, uniformly over a shard.

    Philox is counter-based, so that any step is drawn without those before it. The remainder's bias is below
    windows / 2^64, and raw output is stable across versions of numpy.
    """
    generator = np.random.Philox(key=(seed << 64) | node, counter=step << 192)
    windows_per_block = shard.block_length - window + 1
    drawn = generator.random_raw(count) % np.uint64(shard.blocks * windows_per_block)
    block, offset = np.divmod(drawn.astype(np.int64), windows_per_block)
    starts: NDArray[np.int64] = shard.first + block * shard.stride + offset
    return starts
