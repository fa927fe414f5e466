"""Copies of a run's state at consistent cuts: in the memory of the cluster, and now and then on the disk.

The parts of all workers lie in Ray's object store, in shared memory, where they outlive the workers' processes; each is
held by a neighbour too, so that it outlives the machine it was made on where there are several.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray import ObjectRef
from ray.exceptions import RayTaskError

from orbital_train.cluster.failures import reason
from orbital_train.cluster.group import Group
from orbital_train.cluster.metrics_log import MetricsLog
from orbital_train.train import checkpoint
from orbital_train.train.checkpoint_store import Store

Ref = ObjectRef[Any]
Ask = Callable[[list[Ref]], list[Any]]

LEAST_WORK = 100.0  # between two copies passes at least this many times what the last one took from the training


@dataclass(frozen=True, kw_only=True)
class CheckpointRule:
    """When to copy the state, and what the checkpoints belong to."""

    store: Store
    every_s: float  # to the disk
    every_merges: int | None = None  # to the disk, where that comes first
    merges_below: NDArray[np.int64]  # merges of the trace before each position
    copy_every_s: float  # in memory
    keep: checkpoint.Keep
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
    folder: str
    metrics_bytes: int
    refs: list[Ref]


@dataclass(kw_only=True)
class Cuts:
    """The copies of one run; ``written`` is the checkpoint that it continues from, and then its last one."""

    rule: CheckpointRule
    metrics: MetricsLog
    group: Group
    tell: Callable[[str], None]
    written: checkpoint.Checkpoint | None

    def __post_init__(self) -> None:
        self._last: _Copy | None = None  # whole
        self._coming: _Copy | None = None
        self._writing: _Writing | None = None
        now_s = time.monotonic()
        self._copied_s = self._written_s = now_s
        self._took_s = 0.0
        self._written_merges = int(self.rule.merges_below[self.written.manifest.cut if self.written else 0])

    @property
    def cut(self) -> int | None:
        """Of the last copy in memory."""
        return self._last.cut if self._last else None

    def due(self, position: int) -> bool:
        """Whether it is time for a copy, at this position of the run."""
        pause_s = max(self.rule.copy_every_s, LEAST_WORK * self._took_s)
        return self._coming is None and (time.monotonic() - self._copied_s >= pause_s or self.disk_due(position))

    def disk_due(self, position: int) -> bool:
        """Whether it is time for a checkpoint."""
        if self._writing is not None:
            return False
        merges = int(self.rule.merges_below[position]) - self._written_merges
        enough = self.rule.every_merges is not None and merges >= self.rule.every_merges
        return enough or time.monotonic() - self._written_s >= self.rule.every_s

    def take(self, cut: int, ask: Ask, *, whole: bool = False, to_disk: bool = False) -> None:
        """Copy the state of all workers, which stand at this cut; the copies are gathered while they go on.

        Args:
            cut: where they stand.
            ask: waits for answers.
            whole: do not build on the last copy.
            to_disk: write a checkpoint too.
        """
        if self._coming:
            self.complete(ask)
        workers = self.group.workers
        before = None if whole or self._last is None else self._last.parts
        ask([worker.take.remote(before is None) for worker in workers])
        parts = [worker.packed.remote(before[rank] if before else {}) for rank, worker in enumerate(workers)]
        apart = self.group.devices_per_node  # who hosts other nodes may be on another machine
        kept = [workers[(rank + apart) % len(workers)].keep.remote(part) for rank, part in enumerate(parts)]
        self._coming = _Copy(cut=cut, parts=parts, kept=kept)
        self._copied_s = time.monotonic()
        if to_disk:
            self._written_s, self._written_merges = self._copied_s, int(self.rule.merges_below[cut])
            self._write(cut, parts, ask)

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
        parts, shared = self._last.parts, self._last.parts[: self.group.devices_per_node]
        return [
            worker.restore.remote(self._last.cut, parts[rank], shared[rank % len(shared)])
            for rank, worker in enumerate(self.group.workers)
        ]

    def drop_unfinished(self) -> None:
        """Forget what was not whole when a worker was lost."""
        self._coming = None
        if self._writing:
            self.rule.store.discard(self._writing.folder)
            self._writing = None

    def follow(self, rule: CheckpointRule) -> None:
        """Another trace is followed from now on: copies of before are of no use."""
        self.drop_unfinished()
        self.rule, self._last = rule, None

    def way_on(self) -> str:
        """What the user can do when the run has ended too early."""
        if self.written is None:
            return "no checkpoint had been taken yet, --resume starts anew"
        return f"--resume continues from operation {self.written.manifest.cut}"

    def _write(self, cut: int, parts: list[Ref], ask: Ask) -> None:
        if self._writing:
            self._commit(ask)
        store, metrics_bytes = self.rule.store, self.metrics.sync()
        try:
            folder = store.begin(cut)
        except OSError as error:
            self._not_written(error)
            return
        refs = [
            worker.write.remote(store, folder, part, self.written)
            for worker, part in zip(self.group.workers, parts, strict=True)
        ]
        self._writing = _Writing(cut=cut, folder=folder, metrics_bytes=metrics_bytes, refs=refs)

    def _commit(self, ask: Ask) -> None:
        writing, self._writing = self._writing, None
        assert writing is not None
        store = self.rule.store
        try:
            manifest = checkpoint.Manifest(
                cut=writing.cut,
                recipe_sha256=self.rule.recipe_sha256,
                trace_sha256=self.rule.trace_sha256,
                metrics_bytes=writing.metrics_bytes,
                written_s=round(time.time(), 3),
                versions=checkpoint.library_versions(),
                files=_written(writing, ask),
            )
            self.written = checkpoint.commit(store, writing.folder, manifest)
        except OSError as error:
            store.discard(writing.folder)
            self._not_written(error)
            return
        try:
            checkpoint.prune(store, self.rule.keep)
        except OSError as error:
            self.tell(f"old checkpoints could not be removed ({reason(error)}); training goes on")

    def _not_written(self, error: OSError) -> None:
        self.tell(f"a checkpoint could not be written ({reason(error)}); training goes on, {self.way_on()}")


def _written(writing: _Writing, ask: Ask) -> dict[str, str]:
    """SHA-256 of the files that all workers wrote; OSError if one of them could not."""
    try:
        parts = ask(writing.refs)
    except RayTaskError as error:
        if isinstance(error.cause, OSError):
            raise error.cause from None
        raise
    return dict(sorted(file for part in parts for file in part.items()))
