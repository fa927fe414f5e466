"""``metrics.jsonl``: rows in the order of the trace, whatever the number of workers and the order of their reports."""

from __future__ import annotations

import heapq
import itertools
import json
import os
from pathlib import Path
from typing import Any

from orbital_train.cluster.failures import needed


class MetricsLog:
    """Appends rows once every operation before them is done everywhere.

    Every method that writes raises :class:`~orbital_train.cluster.failures.CannotWrite` where that fails.
    """

    def __init__(self, path: Path, keep_bytes: int = 0) -> None:
        """Open the log; what stands behind ``keep_bytes`` is cut off (it will be written again)."""
        self._path = path
        with needed(path):
            self._file = path.open("ab")
            self._file.truncate(keep_bytes)
            self._file.seek(0, os.SEEK_END)
        self._waiting: list[tuple[int, int, dict[str, Any]]] = []
        self._tie = itertools.count()
        self._below = 0  # rows of operations below are written
        self.last_loss: float | None = None
        with path.open(encoding="utf-8") as kept:
            for line in kept:
                self._note_loss(json.loads(line))

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Take rows in any order; those of operations that were done before, and had to be done again, are known."""
        for row in rows:
            if row["op"] >= self._below:
                heapq.heappush(self._waiting, (row["op"], next(self._tie), row))

    def write_below(self, op_id: int) -> None:
        """Write the rows of operations below ``op_id``, all of which have been taken."""
        self._below = max(self._below, op_id)
        while self._waiting and self._waiting[0][0] < op_id:
            row = heapq.heappop(self._waiting)[2]
            self._note_loss(row)
            with needed(self._path):
                self._file.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")

    def forget_waiting(self) -> None:
        """Forget rows that were taken and not written: their operations will be done again."""
        self._waiting.clear()

    def sync(self) -> int:
        """Put everything on the disk; returns the length of the file."""
        with needed(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Flush and close."""
        with needed(self._path), self._file:
            self.sync()

    def _note_loss(self, row: dict[str, Any]) -> None:
        if row["event"] == "evaluate":
            self.last_loss = row["loss"]
