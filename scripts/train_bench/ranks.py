"""Processes that meet in a process group, each a script of its own that ends with one line of JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 1800.0


def launch(module: str, size: int, arguments: list[str], python: str = sys.executable) -> list[dict[str, Any]]:
    """Start ``python -m module rank size meeting *arguments`` for every rank, and give what each printed last.

    Raises:
        RuntimeError: one of them failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [python, "-m", module]
        ranks = [
            subprocess.Popen(
                [*command, str(rank), str(size), f"file://{folder}/meeting", *arguments],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in range(size)
        ]
        try:
            outputs = [rank.communicate(timeout=PATIENCE_S)[0] for rank in ranks]
        finally:
            for rank in ranks:
                rank.kill()
    if any(rank.returncode for rank in ranks):
        raise RuntimeError(f"{module} failed on a rank; its own words are above")
    return [json.loads(output.splitlines()[-1]) for output in outputs]
