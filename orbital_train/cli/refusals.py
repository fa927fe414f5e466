"""What a run's metrics say of numbers that were not as they should be, for its summary."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from orbital_train.report import fmt
from orbital_train.report.flips import flips_note, tally
from orbital_train.schedule.trace import Trace


def refusals(metrics: Path, trace: Trace) -> list[str]:
    """Which nodes were stopped, in which step and when, what was refused and why, and which bits were flipped."""
    with metrics.open(encoding="utf-8") as file:
        rows = [row for row in map(json.loads, file) if row["event"] in ("stop", "refuse", "upset", "corrupt")]
    notes, refused, merges = [], Counter[str](), Counter[str]()
    for row in rows:
        if row["event"] == "stop":
            name, when = trace.accounts[row["node"]].name, fmt.duration(row["sim_s"])
            notes.append(f"{name} was stopped: in its inner step {row['step']}, after {when}, {row['problem']}")
        elif row["event"] == "refuse":
            (refused if "node" in row else merges)[row["problem"]] += 1
    notes += [f"{n} contributions were refused: {problem}" for problem, n in refused.items()]
    notes += [f"{n} merges took nothing: {problem}" for problem, n in merges.items()]
    return [*notes, *flips_note(tally(rows, trace))]
