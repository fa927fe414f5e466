"""Copies of a run's state at consistent cuts: in the memory of the cluster, and now and then on the disk.

The parts of all workers lie in Ray's object store, in shared memory, where they outlive the workers' processes; each is
held by a neighbour too, so that it outlives the machine it was made on where there are several.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import ObjectRef
from ray.exceptions import RayTaskError

from orbital_train.cluster.group import Group
from orbital_train.cluster.metrics_log import MetricsLog
from orbital_train.train import checkpoint

Ref = ObjectRef[Any]
Ask = Callable[[list[Ref]], list[Any]]

LEAST_WORK = 100.0  # between two copies passes at least this many times what the last one took from the training


@dataclass(frozen=True, kw_only=True)
class CheckpointRule:
    """When to copy the state, and what the checkpoints belong to."""

    folder: Path
    every_s: float  # to the disk
    copy_every_s: float  # in memory
    keep: int
    recipe_sha256: str
    trace_sha256: str


@dataclass(kw_only=True)
class _Copy:
    """One cut."""

    cut: int
    parts: list[Ref]  # of all workers, by rank
    kept: list[Ref]  # that the neighbours hold them


@dataclass(kw_only=True)
class _Writing:
    """A checkpoint on its way to the disk."""

    cut: int
    temporary: Path
    metrics_bytes: int
    refs: list[Ref]


@dataclass(kw_only=True)
class Cuts:
    """The copies of one run."""

    rule: CheckpointRule
    metrics: MetricsLog
    group: Group
    tell: Callable[[str], None]

    def __post_init__(self) -> None:
        self._last: _Copy | None = None  # whole
        self._coming: _Copy | None = None
        self._writing: _Writing | None = None
        now_s = time.monotonic()
        self._copied_s = self._written_s = now_s
        self._took_s = 0.0

    @property
    def cut(self) -> int | None:
        """Of the last copy in memory."""
        return self._last.cut if self._last else None

    def due(self) -> bool:
        """Whether it is time for a copy."""
        pause_s = max(self.rule.copy_every_s, LEAST_WORK * self._took_s)
        return self._coming is None and (time.monotonic() - self._copied_s >= pause_s or self.disk_due())

    def disk_due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return self._writing is None and time.monotonic() - self._written_s >= self.rule.every_s

    def take(self, cut: int, ask: Ask, *, to_disk: bool = False) -> None:
        """Copy the state of all workers, which stand at this cut; the copies are gathered while they go on."""
        workers = self.group.workers
        ask([worker.take.remote() for worker in workers])
        parts = [worker.packed.remote() for worker in workers]
        kept = [workers[(rank + 1) % len(workers)].keep.remote(part) for rank, part in enumerate(parts)]
        self._coming = _Copy(cut=cut, parts=parts, kept=kept)
        self._copied_s = time.monotonic()
        if to_disk:
            self._written_s = self._copied_s
            self._write(cut, parts)

    def took(self, seconds: float) -> None:
        """For how long the workers had to wait for the last copy."""
        self._took_s = seconds

    def look(self, ask: Ask) -> None:
        """Take note of copies and checkpoints that have become whole."""
        if self._coming and not ray.wait(self._coming.kept, num_returns=len(self._coming.kept), timeout=0)[1]:
            self.complete(ask)
        if self._writing and not ray.wait(self._writing.refs, num_returns=len(self._writing.refs), timeout=0)[1]:
            self._commit(ask)

    def complete(self, ask: Ask) -> None:
        """Wait until the copy that was begun is whole."""
        assert self._coming is not None
        ask(self._coming.kept)
        self._last, self._coming = self._coming, None

    def end(self, ask: Ask) -> None:
        """Wait for a checkpoint that is on its way to the disk."""
        if self._writing:
            self._commit(ask)

    def restore(self) -> list[Ref]:
        """Put all workers back to the last copy."""
        assert self._last is not None
        parts, workers = self._last.parts, self.group.workers
        return [worker.restore.remote(self._last.cut, parts[rank], parts[0]) for rank, worker in enumerate(workers)]

    def drop_unfinished(self) -> None:
        """Forget what was not whole when a worker was lost."""
        self._coming = None
        if self._writing:
            shutil.rmtree(self._writing.temporary, ignore_errors=True)
            self._writing = None

    def way_on(self) -> str:
        """What the user can do when the run has ended too early."""
        saved, _ = checkpoint.newest_whole(self.rule.folder)
        if saved is None:
            return "no checkpoint had been taken yet, --resume starts anew"
        return f"--resume continues from operation {saved.manifest.cut}"

    def _write(self, cut: int, parts: list[Ref]) -> None:
        metrics_bytes = self.metrics.sync()
        try:
            temporary = checkpoint.begin(self.rule.folder, cut)
        except OSError as error:
            self._not_written(error)
            return
        workers = self.group.workers
        refs = [worker.write.remote(temporary, part) for worker, part in zip(workers, parts, strict=True)]
        self._writing = _Writing(cut=cut, temporary=temporary, metrics_bytes=metrics_bytes, refs=refs)

    def _commit(self, ask: Ask) -> None:
        writing, self._writing = self._writing, None
        assert writing is not None
        try:
            files: dict[str, str] = {}
            for part in ask(writing.refs):
                files |= part
            manifest = checkpoint.Manifest(
                cut=writing.cut,
                recipe_sha256=self.rule.recipe_sha256,
                trace_sha256=self.rule.trace_sha256,
                metrics_bytes=writing.metrics_bytes,
                versions=checkpoint.library_versions(),
                files=files,
            )
            checkpoint.commit(writing.temporary, manifest)
            checkpoint.prune(self.rule.folder, self.rule.keep)
        except OSError as error:
            shutil.rmtree(writing.temporary, ignore_errors=True)
            self._not_written(error)
        except RayTaskError as error:
            shutil.rmtree(writing.temporary, ignore_errors=True)
            if not isinstance(error.cause, OSError):
                raise
            self._not_written(error.cause)

    def _not_written(self, error: OSError) -> None:
        self.tell(f"a checkpoint could not be written ({error.strerror}); training goes on, {self.way_on()}")
