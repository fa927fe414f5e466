"""What is trained, on what, and how: plain frozen dataclasses, readable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A small GPT; the vocabulary comes from the corpus."""

    layers: int
    heads: int
    width: int
    context: int


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """A corpus and how it is divided.

    ``corpus`` is a known name or the path of a UTF-8 text file; ``sha256`` is that of its text, and nothing else is
    accepted in its place. The last ``validation_fraction`` of the text, by position, is held out.
    """

    corpus: str
    sha256: str
    validation_fraction: float = 0.1
    shards: Literal["contiguous", "interleaved"] = "interleaved"
    validation_batches: int = 20  # of the training batch size, the same ones at every evaluation


@dataclass(frozen=True, kw_only=True)
class InnerSpec:
    """Inner AdamW with linear warm-up, cosine decay and gradient clipping; progress runs from 0 to 1."""

    lr: float
    min_lr_fraction: float = 0.1
    warmup_fraction: float = 0.05
    rewarm_steps: int = 5  # steps below the full rate, rising linearly, of a node whose optimizer started anew
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.1
    clip_norm: float = 1.0  # 0 turns clipping off


@dataclass(frozen=True, kw_only=True)
class OuterSpec:
    """Outer SGD with Nesterov momentum on outer gradients; ``lr=1, momentum=0`` is plain parameter averaging.

    ``pull``, towards the mean of those that mix, is for gossip, which takes its outer steps without ``nesterov``.
    """

    lr: float = 0.7
    momentum: float = 0.9
    nesterov: bool = True
    pull: float | None = None

    @property
    def pull_or_usual(self) -> float:
        """The pull; the middle of what keeps nodes together where none is given (see ``mixing.mixed``)."""
        return 1 - self.momentum**2 if self.pull is None else self.pull


@dataclass(frozen=True, kw_only=True)
class TrainSpec:
    """Everything that the executor needs beside the trace. Seeds are kept apart so that arms can be paired."""

    model: ModelSpec
    data: DataSpec
    inner: InnerSpec
    outer: OuterSpec
    batch_size: int  # sequences per node and inner step
    init_seed: int
    data_seed: int
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the forward and backward pass; parameters stay float32
    deterministic: bool = True
    threads_per_worker: int = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
