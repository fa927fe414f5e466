"""What is trained, on what, and how: plain frozen dataclasses, readable without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Named:
    """A model or a data set: the name of the function that builds it, and its arguments; no code is run to read it."""

    kind: str  # built in, of an entry point, or package.module:function
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)


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
    """Outer SGD with Nesterov momentum on outer gradients; ``lr=1, momentum=0`` is plain parameter averaging."""

    lr: float = 0.7
    momentum: float = 0.9
    nesterov: bool = True


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
    imports: tuple[str, ...] = ()  # modules of which a function may be named as model or data
