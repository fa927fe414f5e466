"""``metrics.jsonl``: rows in the order of the trace, whatever the number of workers and the order of their reports."""

from __future__ import annotations

import heapq
import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orbital_train.cluster.failures import needed

SHARED = frozenset({"merge", "lose"})  # every worker may tell of them, and all the same


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
        self._known: set[tuple[int, str]] = set()  # operations and events of rows that wait
        self.last_loss: float | None = None
        with path.open(encoding="utf-8") as kept:
            for line in kept:
                self._note_loss(json.loads(line))

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Take rows in any order; those of operations that were done before, and had to be done again, are known."""
        for row in rows:
            key = row["op"], row["event"]
            if row["op"] >= self._below and not (row["event"] in SHARED and key in self._known):
                heapq.heappush(self._waiting, (row["op"], next(self._tie), row))
                self._known.add(key)

    def write_below(self, op_id: int) -> None:
        """Write the rows of operations below ``op_id``, all of which have been taken."""
        self._below = max(self._below, op_id)
        while self._waiting and self._waiting[0][0] < op_id:
            row = heapq.heappop(self._waiting)[2]
            self._known.discard((row["op"], row["event"]))
            self._note_loss(row)
            with needed(self._path):
                self._file.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")

    def forget_waiting(self) -> None:
        """Forget rows that were taken and not written: their operations will be done again."""
        self._waiting.clear()
        self._known.clear()

    def forget_nodes(self, since: Mapping[int, int], position: int) -> None:
        """Forget rows that a worker told before it was lost and that do not hold any more.

        Args:
            since: of its nodes, from which operation on, by node.
            position: from this operation on, of whatever.
        """
        rows = [entry for entry in self._waiting if entry[0] < since.get(entry[2].get("node", -1), position)]
        self.forget_waiting()
        self.add([row for _, _, row in sorted(rows)])

    def lacks(self, op_id: int, event: str) -> bool:
        """Whether a row was neither taken nor written."""
        return op_id >= self._below and (op_id, event) not in self._known

    def cut_back(self, keep_bytes: int, op_id: int) -> None:
        """Go back to where the file was so long: the rows of operations from this one on will be taken again."""
        self.forget_waiting()
        self.sync()
        with needed(self._path):
            self._file.truncate(keep_bytes)
            self._file.seek(0, os.SEEK_END)
        self._below = op_id

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
