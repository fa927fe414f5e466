"""What checkpoints every 50 merges, and copies in memory, add to the wall time of a run without either.

The program itself, in turns, each in a process and a Ray cluster of its own; the time is that of training alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.train_bench.table import Row
from scripts.train_bench.work import ROOT

EVERY_MERGES = 50
NEVER_S = 31_557_600.0
WAYS = {"with": {"cluster.checkpoint_every_merges": EVERY_MERGES}, "without": {"cluster.copy_every_s": NEVER_S}}


def rows(repeats: int, steps: int) -> Iterator[Row]:
    """Of the quickstart with two workers, merged five times as often, and so many inner steps of the fleet."""
    ratios, merges, bare_s = [], 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats):
            order = ("with", "without")[:: 1 if repeat % 2 else -1]  # neither is always the second
            told = {name: _run(Path(folder) / f"{name}-{repeat}", steps, WAYS[name]) for name in order}
            assert told["with"]["digest"] == told["without"]["digest"]
            ratios.append(told["with"]["wall_s"] / told["without"]["wall_s"])
            merges, bare_s = told["without"]["merges"], told["without"]["wall_s"]
    note = f"{merges} merges, {bare_s:.0f} s without"
    yield Row(what=f"checkpoints every {EVERY_MERGES} merges: wall time", measured=ratios, target=1.02, note=note)


def _run(out: Path, steps: int, values: dict[str, Any]) -> dict[str, Any]:
    """The summary of one run."""
    common = {"schedule.budget_steps": steps, "schedule.inner_steps": 5, "cluster.checkpoint_every_s": NEVER_S}
    keys = [word for key, value in (common | values).items() for word in ("--set", f"{key}={value}")]
    recipe = ROOT / "recipes" / "quickstart.toml"
    command = [sys.executable, "-m", "orbital_train", "train", str(recipe), "--out", str(out), *keys]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    found: dict[str, Any] = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    return found
