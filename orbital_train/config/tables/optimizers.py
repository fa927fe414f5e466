"""``[inner]`` and ``[outer]``: the optimizers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from orbital_train.config.tables.base import LIST, Fraction, LearningRate, PositiveFraction, Table

Beta = Annotated[float, Field(ge=0.0, lt=1.0)]
Number = int | float
Argument = bool | Number | str | Annotated[tuple[Number, ...], LIST]


class Inner(Table):
    """The inner optimizer; its learning rate warms up, then follows a schedule over the tokens of the budget."""

    optimizer: str = "AdamW"
    """A class of ``torch.optim`` by its name. ``Muon`` is for matrices but embeddings; AdamW takes the rest."""
    arguments: dict[str, Argument] = Field(default_factory=dict)
    """Of that class, beside those that are keys here. ``weight_decay`` is applied to matrices only, here too."""
    lr: LearningRate = 4e-3
    schedule: Literal["cosine", "linear", "wsd", "constant"] = "cosine"
    """How the rate falls after the warm-up; ``wsd``: not before the last ``decay_fraction`` of the budget."""
    min_lr_fraction: Fraction = 0.1
    """What is left of ``lr`` at the end."""
    warmup_fraction: Fraction = 0.05
    decay_fraction: PositiveFraction = 0.2
    """``wsd``."""
    rewarm_steps: Annotated[int, Field(ge=0, le=1_000_000)] = 5
    """Over these first steps the learning rate of a node rises again that lost its state and began anew."""
    beta1: Beta = 0.9
    """``AdamW``, as ``beta2``; those of other optimizers stand in ``arguments``."""
    beta2: Beta = 0.99
    weight_decay: Annotated[float, Field(ge=0.0, le=1_000.0)] = 0.1
    """``AdamW`` and ``Muon``; that of other optimizers stands in ``arguments``."""
    clip_norm: Annotated[float, Field(ge=0.0, le=1e12)] = 1.0
    """0 turns clipping off."""
    batch_size: Annotated[int, Field(ge=1, le=10_000_000)] = 8
    """Examples, as sequences of tokens, per node and inner step."""
    micro_batches: Annotated[int, Field(ge=1, le=10_000_000)] = 1
    """A batch goes through the model in so many parts, one after the other, to save memory."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the forward and backward pass; parameters stay float32."""


class Outer(Table):
    """The outer optimizer, and how contributions are averaged; ``lr = 1, momentum = 0`` is plain averaging."""

    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: LearningRate = 0.7
    momentum: Beta = 0.9
    """``sgd``."""
    nesterov: bool = True
    """``sgd``, but not in gossip."""
    pull: Annotated[float, Field(gt=0.0, lt=2.0)] | None = None
    """``gossip``, which takes ``sgd``: how far a node is pulled to the mean of the two that mix, in a step of its
    momentum. Below 2 (1 - momentum^2), or nodes drive each other apart; half of that if not given."""

    delay_merges: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """``sgd``: so many merges make one outer step, and momentum comes with the last: Delayed Nesterov. If not given 1;
    for ``asynchronous``, whose merges hold one contribution each, the number of satellites."""
    beta1: Beta = 0.9
    """``adamw``."""
    beta2: Beta = 0.95
    """``adamw``."""
    eps: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """``adamw``; as large as DiLoCo's, so that the small elements of an outer gradient are not blown up."""
    weight_decay: Annotated[float, Field(ge=0.0, le=1_000.0)] = 0.0
    """``adamw``."""
    merging: Literal["mean", "trimmed_mean", "median"] = "mean"
    """Of contributions: their weighted mean; or, element by element and without weights, the mean without the largest
    and smallest ones, or the median. Not with ``link_aware``, which adds contributions up on their way."""
    trim_fraction: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.2
    """``trimmed_mean``: part of the contributions that is left out at either end."""
    clip_norm: Annotated[float, Field(ge=0.0, le=1e12)] = 0.0
    """Largest norm of a contribution; what is above is scaled down to it. 0 turns it off."""

    @field_validator("pull")
    @classmethod
    def _together(cls, pull: float | None, info: ValidationInfo) -> float | None:
        limit = 2 * (1 - info.data.get("momentum", 0.0) ** 2)
        if pull is not None and pull >= limit:
            raise ValueError(f"must be below 2 (1 - momentum^2) = {limit:g}, or nodes drive each other apart")
        return pull
