"""Over the seeds: mean and spread of an arm, and the paired difference between two arms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from orbital_train.report.runs import Arm


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Relative difference of the final loss, seed by seed; ``half_width`` of the 95 % interval, None with one seed."""

    mean: float
    half_width: float | None
    seeds: int


def spread(arm: Arm, key: str) -> float | None:
    """Sample standard deviation over the seeds of a number in the summaries; None with one seed."""
    values = [getattr(r.summary, key) for r in arm.runs]
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def paired_loss(arm: Arm, baseline: Arm) -> Paired | None:
    """How much higher the arm's final loss is, relative to the baseline's, over the seeds that both have."""
    losses, base = ({r.summary.seed: r.summary.final_loss for r in a.runs} for a in (arm, baseline))
    return paired(losses, base)


def paired(losses: Mapping[int, float], base: Mapping[int, float]) -> Paired | None:
    """The same of losses by seed. The interval is Student's t for the mean of the paired relative differences.

    None where there is no seed that both have.
    """
    ratios = [loss / base[seed] - 1 for seed, loss in losses.items() if seed in base]
    n = len(ratios)
    if n == 0:
        return None
    half_width = float(stdtrit(n - 1, 0.975) * np.std(ratios, ddof=1) / np.sqrt(n)) if n > 1 else None
    return Paired(mean=float(np.mean(ratios)), half_width=half_width, seeds=n)
