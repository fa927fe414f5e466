"""Drives one run on a group of workers: starts it, watches it, copies its state, and replaces workers that are lost.

The workers execute their parts of the trace without asking the driver; it only polls them. A copy of the state is a
consistent cut: all workers are held, the cut is the first operation that none has started, each runs up to it, copies
its part, and goes on; what is done with the copies does not keep them waiting (``cuts.py``). ``recovery.py`` has what
follows when a worker is lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ray
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError

from orbital_train.cluster.dropout import Dropout
from orbital_train.cluster.failure_policy import Phase
from orbital_train.cluster.failures import CannotWrite, WorkerLost
from orbital_train.cluster.group import Group
from orbital_train.cluster.recovery import Recovering, Recovery
from orbital_train.cluster.watch import Broken, check_outcome
from orbital_train.cluster.worker import Outcome


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What came of a run. Bytes and time are those of this process, also where it continued an earlier one."""

    finished: bool  # False: it was asked to stop, and stands in a checkpoint
    digest: str | None
    real_bytes: int  # between workers
    device: str
    wall_s: float
    loss: float | None
    recoveries: tuple[Recovery, ...]


@dataclass(kw_only=True)
class Driver(Recovering):
    """One run. ``stop_asked`` says whether to end it now, in a checkpoint."""

    stop_asked: Callable[[], bool]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._outcomes: list[Outcome] = []

    def run(self) -> RunResult:
        """Run the job to its end, or to a last checkpoint when ``stop_asked`` says so.

        Raises:
            InputError: a worker found that the job's input will not do.
            WorkerLost: the run cannot go on.
        """
        begin_s = time.monotonic()
        do = {
            Phase.STARTING: self._start,
            Phase.TRAINING: self._train,
            Phase.RECOVERING: self._recover,
            Phase.FINISHING: self._finish,
        }
        try:
            while self.phase is not Phase.DONE:
                try:
                    self.phase = do[self.phase]()
                except (RayError, Broken) as error:
                    self._note_failure(error)
                    self.phase = Phase.RECOVERING
        finally:
            if self._dropout:
                self._dropout.dismiss()
        return RunResult(
            finished=all(outcome.finished for outcome in self._outcomes),
            digest=self._outcomes[0].digest,
            real_bytes=sum(self._sent.values()),
            device=self._outcomes[0].device,
            wall_s=time.monotonic() - begin_s,
            loss=self.metrics.last_loss,
            recoveries=tuple(self._recoveries),
        )

    def _start(self) -> Phase:
        self.group.fill()
        if not self.group.connected:
            self.group.connect()
        if self.book is not None and self._dropout is None:
            self._dropout = Dropout(self.book, self.group, self.job, self.metrics, self._polls)
        self._ask([worker.prepare.remote(self.job) for worker in self.group.workers])
        cut = 0 if self.job.checkpoint is None else self.job.checkpoint.manifest.cut
        self._cuts.take(cut, self._ask, whole=True)
        self._cuts.complete(self._ask)
        if self._dropout:
            self._dropout.hear([cut] * len(self.group))
        return self._go()

    def _train(self) -> Phase:
        while True:
            if self._all_done():
                return Phase.FINISHING
            self._cuts.look(self._ask)
            if self.stop_asked():
                self._cut(leave=True)
                return Phase.FINISHING
            if self._dropout and self._dropout.ready():
                return self._readmit(self._dropout)
            if self._cuts.due(self._position):
                self._cut(leave=False)

    def _finish(self) -> Phase:
        self._outcomes = self._ask(self._running)
        for outcome in self._outcomes:
            check_outcome(outcome)
        self._poll()
        self._cuts.end(self._ask)
        self.metrics.sync()
        digests = {outcome.digest for outcome in self._outcomes}
        assert len(digests) == 1, f"workers end with different models: {digests}"
        return Phase.DONE


def write_model(group: Group, folder: Path) -> None:
    """Let a worker write the final global model of the job that they have done into a folder; all have the same.

    Raises:
        WorkerLost: all are dead.
        CannotWrite: the disk is full, or may not be written.
    """
    for worker in group.workers:
        try:
            ray.get(worker.write_model.remote(folder.resolve()))
            return
        except (RayActorError, OutOfMemoryError):
            continue
        except RayTaskError as error:
            if isinstance(error.cause, OSError):
                raise CannotWrite(folder, error.cause) from None
            raise
    raise WorkerLost("all workers died before the model was written; --resume writes it")
