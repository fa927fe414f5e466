"""Drives one run on a group of workers: starts it, watches it, takes checkpoints, and ends it.

The workers execute their parts of the trace without asking the driver; it only polls them. A checkpoint is a consistent
cut: all workers are held, the cut is the first operation that none has started, each runs up to it, writes its part,
and goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import ObjectRef
from ray.exceptions import RayActorError, RayError

from orbital_train.cluster.failures import told
from orbital_train.cluster.group import Workers
from orbital_train.cluster.metrics_log import MetricsLog
from orbital_train.cluster.worker import Job, Outcome, Poll
from orbital_train.train import checkpoint

Ref = ObjectRef[Any]

POLL_S = 0.25
BLAME_S = 3.0  # after one worker fails, how long to wait for the news that another one had died


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where the run stands, for display."""

    position: int  # operations done by every worker
    steps_done: int  # inner steps of all nodes in this process
    loss: float | None  # last validation loss


@dataclass(frozen=True, kw_only=True)
class CheckpointRule:
    """When to take checkpoints, and what they belong to."""

    folder: Path
    every_s: float
    keep: int
    recipe_sha256: str
    trace_sha256: str


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What came of a run. Bytes and time are those of this process, also where it continued an earlier one."""

    finished: bool  # False: it was asked to stop, and stands in a checkpoint
    digest: str | None
    real_bytes: int  # between workers
    device: str
    wall_s: float
    loss: float | None


def drive(
    workers: Workers,
    job: Job,
    *,
    metrics: MetricsLog,
    rule: CheckpointRule,
    stop_asked: Callable[[], bool],
    show: Callable[[Progress], None],
) -> RunResult:
    """Run a job to its end, or to a last checkpoint when ``stop_asked`` says so.

    Raises:
        InputError: a worker found that the job's input will not do.
        WorkerLost: a worker died or failed.
    """
    begin_s = time.monotonic()
    with told(lambda: _way_on(rule)):
        ray.get([worker.prepare.remote(job) for worker in workers])
        running = [worker.run.remote() for worker in workers]
        outcomes = _watch(workers, running, metrics, rule, stop_asked, show)
    digests = {outcome.digest for outcome in outcomes}
    assert len(digests) == 1, f"workers end with different models: {digests}"
    return RunResult(
        finished=all(outcome.finished for outcome in outcomes),
        digest=digests.pop(),
        real_bytes=sum(outcome.bytes_sent for outcome in outcomes),
        device=outcomes[0].device,
        wall_s=time.monotonic() - begin_s,
        loss=metrics.last_loss,
    )


def write_model(workers: Workers, folder: Path) -> None:
    """Let worker 0 write the final global model of the job that it has done into a folder."""
    with told(lambda: "--resume writes the model"):
        ray.get(workers[0].write_model.remote(folder.resolve()))


def _watch(
    workers: Workers,
    running: list[Ref],
    metrics: MetricsLog,
    rule: CheckpointRule,
    stop_asked: Callable[[], bool],
    show: Callable[[Progress], None],
) -> list[Outcome]:
    due_s = time.monotonic() + rule.every_s
    while True:
        done, waiting = ray.wait(running, num_returns=len(running), timeout=POLL_S)
        _raise_failures(done, running)
        show(_collect(workers, metrics))
        if not waiting:
            break
        if stop_asked():
            _checkpoint(workers, running, metrics, rule, leave=True)
            break
        if time.monotonic() >= due_s:
            _checkpoint(workers, running, metrics, rule, leave=False)
            due_s = time.monotonic() + rule.every_s
    outcomes: list[Outcome] = ray.get(running)
    show(_collect(workers, metrics))
    metrics.sync()
    return outcomes


def _collect(workers: Workers, metrics: MetricsLog) -> Progress:
    polls: list[Poll] = ray.get([worker.poll.remote() for worker in workers])
    for poll in polls:
        metrics.add(poll.rows)
    position = min(poll.position for poll in polls)
    metrics.write_below(position)
    return Progress(position=position, steps_done=sum(poll.steps_done for poll in polls), loss=metrics.last_loss)


def _checkpoint(
    workers: Workers, running: list[Ref], metrics: MetricsLog, rule: CheckpointRule, *, leave: bool
) -> None:
    cut = max(ray.get([worker.hold.remote() for worker in workers]))
    ray.get([worker.open_until.remote(cut, False) for worker in workers])
    _wait_done(workers, running, cut)
    _collect(workers, metrics)
    temporary = checkpoint.begin(rule.folder, cut)
    files: dict[str, str] = {}
    for part in ray.get([worker.save.remote(temporary) for worker in workers]):
        files |= part
    manifest = checkpoint.Manifest(
        cut=cut,
        recipe_sha256=rule.recipe_sha256,
        trace_sha256=rule.trace_sha256,
        metrics_bytes=metrics.sync(),
        versions=checkpoint.library_versions(),
        files=files,
    )
    checkpoint.commit(temporary, manifest)
    checkpoint.prune(rule.folder, rule.keep)
    limit = cut if leave else None
    ray.get([worker.open_until.remote(limit, leave) for worker in workers])


def _wait_done(workers: Workers, running: list[Ref], cut: int) -> None:
    """Wait until all workers stand at the cut; one that failed on the way never will, and is noticed."""
    waits = [worker.wait_done.remote(cut) for worker in workers]
    while True:
        _, waiting = ray.wait(waits, num_returns=len(waits), timeout=POLL_S)
        _raise_failures(ray.wait(running, num_returns=len(running), timeout=0)[0], running)
        if not waiting:
            ray.get(waits)
            return


def _raise_failures(done: list[Ref], running: list[Ref]) -> None:
    """Raise the failure of a worker that is done, whoever else is still running."""
    for ref in done:
        _get(ref, running)


def _get(ref: Ref, running: list[Ref]) -> None:
    """Result of one worker; when it failed because another one died, the failure of that one."""
    try:
        ray.get(ref)
    except RayActorError:
        raise
    except RayError:
        deadline_s = time.monotonic() + BLAME_S
        for other in running:
            ray.wait([other], timeout=max(0.0, deadline_s - time.monotonic()))
        for other in ray.wait(running, num_returns=len(running), timeout=0)[0]:
            try:
                ray.get(other)
            except RayActorError:
                raise
            except RayError:
                continue
        raise


def _way_on(rule: CheckpointRule) -> str:
    saved, _ = checkpoint.newest_whole(rule.folder)
    if saved is None:
        return "no checkpoint had been taken yet, --resume starts anew"
    return f"--resume continues from operation {saved.manifest.cut}"
