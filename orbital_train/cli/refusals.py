"""What a run's metrics say of numbers that were not finite, for its summary."""

from __future__ import annotations

import json
from pathlib import Path

from orbital_train.report import fmt
from orbital_train.schedule.trace import Trace


def refusals(metrics: Path, trace: Trace) -> list[str]:
    """Which nodes were stopped, in which step and when, and how many contributions were refused; nothing if none."""
    notes, refused = [], 0
    with metrics.open(encoding="utf-8") as file:
        for row in map(json.loads, file):
            refused += row["event"] == "refuse"
            if row["event"] == "stop":
                name, when = trace.accounts[row["node"]].name, fmt.duration(row["sim_s"])
                notes.append(f"{name} was stopped: in its inner step {row['step']}, after {when}, {row['problem']}")
    return [*notes, f"{refused} contributions were refused: they were not finite"] if refused else notes
