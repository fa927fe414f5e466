"""What is trained, on what, and how: plain frozen dataclasses, readable without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

# Of torch.optim: what they do to an element depends on the others of its tensor.
WHOLE_TENSOR_OPTIMIZERS = ("Adafactor", "Muon")


@dataclass(frozen=True, kw_only=True)
class Named:
    """A model or a data set: the name of the function that builds it, and its arguments; no code is run to read it."""

    kind: str  # built in, of an entry point, or package.module:function
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, kw_only=True)
class InnerSpec:
    """The inner optimizer, its learning rate by progress, which runs from 0 to 1, and gradient clipping.

    ``beta1`` and ``beta2`` are AdamW's; ``weight_decay`` is AdamW's and Muon's, and for matrices only. What other
    optimizers take stands in ``arguments``.
    """

    lr: float
    schedule: Literal["cosine", "linear", "wsd", "constant"] = "cosine"  # after the warm-up
    min_lr_fraction: float = 0.1
    warmup_fraction: float = 0.05
    decay_fraction: float = 0.2  # of the progress, with wsd: the last part, in which the rate falls
    rewarm_steps: int = 5  # steps below the full rate, rising linearly, of a node whose optimizer started anew
    optimizer: str = "AdamW"  # a class of torch.optim
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)  # of that class
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.1
    clip_norm: float = 1.0  # 0 turns clipping off
    micro_batches: int = 1  # in which a batch goes through the model; their gradients are averaged


@dataclass(frozen=True, kw_only=True)
class OuterSpec:
    """The outer optimizer, and how contributions are averaged; ``lr=1, momentum=0`` is plain parameter averaging.

    ``momentum``, ``nesterov`` and ``delay_merges`` are those of SGD, the betas, ``eps`` and ``weight_decay`` AdamW's.
    """

    lr: float = 0.7
    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: float = 0.9
    nesterov: bool = True
    # Delayed Nesterov: so many merges are one outer step, and momentum comes with the last; None: one of each node
    delay_merges: int | None = 1
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 0.1
    weight_decay: float = 0.0
    merging: Literal["mean", "trimmed_mean", "median"] = "mean"
    trim_fraction: float = 0.2  # of the contributions, with trimmed_mean: left out at either end
    clip_norm: float = 0.0  # of every contribution; 0 turns clipping off
    pull: float | None = None  # gossip: towards the mean of those that mix

    @property
    def pull_or_usual(self) -> float:
        """The pull; the middle of what keeps nodes together where none is given (see ``mixing.mixed``)."""
        return 1 - self.momentum**2 if self.pull is None else self.pull

    def of_fleet(self, nodes: int) -> OuterSpec:
        """The same with all that follows from the number of training nodes."""
        return replace(self, delay_merges=self.delay_merges or nodes)


@dataclass(frozen=True, kw_only=True)
class ScreeningSpec:
    """How nodes look for corruption of their own replicas; see :mod:`orbital_train.train.screening`."""

    norm_factor: float = 5.0  # of the median norm of a node's last contributions: what is above is corrupt


@dataclass(frozen=True, kw_only=True)
class TrainSpec:
    """Everything that the executor needs beside the trace. Seeds are kept apart so that arms can be paired."""

    model: Named
    data: Named
    inner: InnerSpec
    outer: OuterSpec
    batch_size: int  # examples, as sequences, per node and inner step
    init_seed: int
    data_seed: int
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the forward and backward pass; parameters stay float32
    deterministic: bool = True
    threads_per_worker: int = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices_per_node: int = 1  # workers that host the same nodes
    within_node: Literal["data_parallel", "fsdp2"] = "data_parallel"  # how these share the work
    screening: ScreeningSpec | None = None
    imports: tuple[str, ...] = ()  # modules of which a function may be named as model or data
