"""``[compare]``: what a comparison runs beside the recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from orbital_train.config.tables.base import LIST, LearningRate, Small, Table
from orbital_train.config.tables.schedule import PolicyName

BaselineName = Literal[
    "fully_connected",
    "ideal_diloco",
    "fixed_period_blocking",
    "fixed_period_skipping",
    "single_node",
    "local_then_average",
    "without_replica_flips",
]
if TYPE_CHECKING:
    ArmName = str
else:
    ArmName = Literal[PolicyName, BaselineName]


class Arm(Table):
    """Learning rates of one arm of a comparison, where they differ from the recipe's."""

    inner_lr: LearningRate | None = None
    outer_lr: LearningRate | None = None


class Compare(Table):
    """What ``compare`` runs beside the recipe."""

    baselines: Annotated[tuple[BaselineName, ...], LIST] = (
        "fully_connected",
        "ideal_diloco",
        "fixed_period_blocking",
        "fixed_period_skipping",
    )
    seeds: Small = 1
    """Paired repetitions: seed k adds k to ``seeds.init`` and ``seeds.data``, in all arms."""
    arms: dict[ArmName, Arm] = Field(default_factory=dict)
    """Tuned learning rates by arm; the recipe's own arm goes by the name of its policy."""
    tuning: str | None = None
    """JSON file, relative to the recipe's folder, with the grid that the rates were chosen from, for the report."""
