"""The three curves of an arm: validation loss against merged tokens, simulated time, and bytes sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from orbital_train.report.runs import Arm, Run
from orbital_train.windows.plan import FloatArray

Against = Literal["tokens", "time", "bytes"]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Mean over the seeds, and the lowest and highest seed, at common points; all of shape (P,)."""

    x: FloatArray  # tokens, s, or bytes
    mean: FloatArray
    low: FloatArray
    high: FloatArray


def bytes_sent(run: Run, at_s: FloatArray) -> FloatArray:
    """Simulated link bytes whose last bit had been sent by each moment, over all hops."""
    transfers = sorted((t.end_us, t.bits) for t in run.trace.transfers)
    end_us, bits = np.array(transfers, dtype=np.int64).reshape(-1, 2).T
    before = np.searchsorted(end_us, np.round(at_s * 1e6).astype(np.int64), side="right")
    total: FloatArray = np.append(0, np.cumsum(bits))[before] / 8
    return total


def curve(arm: Arm, against: Against) -> Curve:
    """One arm's curve: seeds are interpolated linearly to common points, within the range that all of them cover.

    Points at which no byte had been sent yet are left out of the curve against bytes, whose axis is logarithmic.
    """
    xs = [_x(run, against) for run in arm.runs]
    losses = [run.evaluations.loss for run in arm.runs]
    lowest, highest = max(x[0] for x in xs), min(x[-1] for x in xs)
    grid = np.unique(np.concatenate(xs))
    grid = grid[(grid >= lowest) & (grid <= highest)]
    if against == "bytes":
        grid = grid[grid > 0]
    rows = np.array([np.interp(grid, x, loss) for x, loss in zip(xs, losses, strict=True)])
    return Curve(x=grid, mean=rows.mean(axis=0), low=rows.min(axis=0), high=rows.max(axis=0))


def _x(run: Run, against: Against) -> FloatArray:
    if against == "tokens":
        return run.evaluations.tokens
    return run.evaluations.sim_s if against == "time" else bytes_sent(run, run.evaluations.sim_s)
