"""Processes that meet in a process group, each a module that ends with one line of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 1800.0
LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "THP_MEM_ALLOC_ENABLE": "1"}  # as workers have them


def launch(module: str, size: int, rest: list[str], python: str = sys.executable) -> list[dict[str, Any]]:
    """Start ``python -m module rank size meeting *rest`` for every rank, and give what each printed last.

    Raises:
        RuntimeError: one of them failed; the others are ended, as they would wait for it.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [python, "-m", module]
        ranks = [
            subprocess.Popen(
                [*command, str(rank), str(size), f"file://{folder}/meeting", *rest],
                cwd=ROOT,
                env=os.environ | LOOPBACK,
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in range(size)
        ]
        try:
            _wait(ranks)
        finally:
            for rank in ranks:
                rank.kill()
        return [json.loads(rank.communicate()[0].splitlines()[-1]) for rank in ranks]


def _wait(ranks: list[subprocess.Popen[str]]) -> None:
    begin_s = time.monotonic()
    while any(rank.poll() is None for rank in ranks):
        if any(rank.poll() for rank in ranks):
            raise RuntimeError("a rank failed; its own words are above")
        if time.monotonic() - begin_s > PATIENCE_S:
            raise RuntimeError(f"the ranks are not done after {PATIENCE_S:.0f} s")
        time.sleep(0.05)


def arguments() -> tuple[int, int, str, list[str]]:
    """Rank, size, meeting, and the rest, as a rank is started with."""
    torch.set_num_threads(1)
    return int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
