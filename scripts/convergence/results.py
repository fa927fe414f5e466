"""What was run: a JSON file of losses by arm, point of the grid and seed, so that nothing is run twice."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.convergence.arms import Arm

TUNING_SEEDS = (1000,)  # far from those that claims are judged on
Point = Mapping[str, float]
Run = dict[str, Any]  # as runs.run gives it


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """A point of an arm's grid."""

    point: Point
    loss: float  # mean over the tuning seeds; infinite where one diverged


class Results:
    """The file, and what is in it. Results of an arm that has been redefined since do not count."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._arms: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def runs(self, arm: Arm) -> list[Run]:
        """All runs of an arm."""
        entry = self._arms.get(arm.name, {})
        runs: list[Run] = entry["runs"] if entry.get("definition") == arm.definition() else []
        return runs

    def has(self, arm: Arm, point: Point, seed: int) -> bool:
        """Whether this was run."""
        return any(run["point"] == point and run["seed"] == seed for run in self.runs(arm))

    def add(self, arm: Arm, run: Run) -> None:
        """Keep a result, on the disk too."""
        self._arms[arm.name] = {"definition": arm.definition(), "runs": [*self.runs(arm), run]}
        beside = self._path.with_suffix(".part")
        beside.write_text(json.dumps(self._arms, indent=1) + "\n", encoding="utf-8")
        os.replace(beside, self._path)

    def grid(self, arm: Arm) -> list[Tuned]:
        """The points that were run with all tuning seeds."""
        found = []
        for point in arm.grid:
            losses = self.losses(arm, point)
            if all(seed in losses for seed in TUNING_SEEDS):
                mean = sum(losses[seed] for seed in TUNING_SEEDS) / len(TUNING_SEEDS)
                found.append(Tuned(point=point, loss=mean if math.isfinite(mean) else math.inf))
        return found

    def best(self, arm: Arm) -> Tuned | None:
        """The best point, once the whole grid was run."""
        grid = self.grid(arm)
        return min(grid, key=lambda tuned: tuned.loss) if len(grid) == len(arm.grid) else None

    def losses(self, arm: Arm, point: Point) -> dict[int, float]:
        """By seed."""
        return {run["seed"]: run["loss"] for run in self.runs(arm) if run["point"] == point}

    def judged(self, arm: Arm) -> dict[int, float]:
        """Losses at the best point by seed, without the seeds that it was chosen by."""
        best = self.best(arm)
        losses = {} if best is None else self.losses(arm, best.point)
        return {seed: loss for seed, loss in losses.items() if seed not in TUNING_SEEDS}
