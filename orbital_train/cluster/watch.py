"""Watches one run on a group of workers: asks them, polls them, holds them at a cut, and calls them off."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray import ObjectRef
from ray.exceptions import GetTimeoutError, OutOfMemoryError, RayActorError, RayTaskError

from orbital_train.cluster.cuts import CheckpointRule, Cuts
from orbital_train.cluster.dropout import Book, Dropout
from orbital_train.cluster.failure_policy import Phase
from orbital_train.cluster.failures import is_out_of_memory
from orbital_train.cluster.group import Group
from orbital_train.cluster.metrics_log import MetricsLog
from orbital_train.cluster.patience import Patience
from orbital_train.cluster.worker import Job, Outcome, Poll

Ref = ObjectRef[Any]

POLL_S = 0.25
ANSWER_S = 10.0  # a worker that is silent for longer, and for 20 times its longest silence so far, is given up
LEAVE_S = 20.0  # the same for leaving the trace when another one is lost
STUCK_S = 600.0  # no worker gets on for longer, and for 20 times the longest time so far: one of them hangs


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where the run stands, for display."""

    position: int  # operations done by every worker
    loss: float | None  # last validation loss


class Broken(RuntimeError):
    """The group cannot go on as it is."""


class Disconnected(Broken):
    """A worker lost the connection to another one, which may be lost."""


@dataclass(kw_only=True)
class Watch:
    """One run under way.

    Args:
        group: of workers; some may be dead from an earlier run.
        job: what they are to do.
        metrics: takes the rows.
        rule: when to take checkpoints.
        book: of a run that goes on without workers that are lost; None: it replaces them, and replays.
        show: takes the progress.
        tell: takes one line for people about what happened.
    """

    group: Group
    job: Job
    metrics: MetricsLog
    rule: CheckpointRule
    book: Book | None  # of a run that goes on without workers that are lost
    show: Callable[[Progress], None]
    tell: Callable[[str], None]
    answer: Patience = field(default_factory=lambda: Patience(floor_s=ANSWER_S))
    stuck: Patience = field(default_factory=lambda: Patience(floor_s=STUCK_S))

    def __post_init__(self) -> None:
        self._running: list[Ref] = []
        self._cuts = Cuts(
            rule=self.rule, metrics=self.metrics, group=self.group, tell=self.tell, written=self.job.checkpoint
        )
        self._dropout: Dropout | None = None
        if self.book is not None:
            self.job = replace(self.job, lasting=True)
        self._sent: dict[str, int] = {}  # bytes by worker
        self._told: dict[str, int] = {}  # number of rows that have come, by worker
        self._position = self._furthest = 0
        self._advanced_s = time.monotonic()

    def _go(self) -> Phase:
        self._running = [worker.run.remote() for worker in self.group.workers]
        self._advanced_s = time.monotonic()
        return Phase.TRAINING

    def _follow(self, position: int, rule: CheckpointRule | None) -> None:
        """All stand at a position; where the trace is another one from here on, what was copied before is of no use."""
        self._position, self._advanced_s = position, time.monotonic()
        self._furthest = max(self._furthest, position)
        if rule is not None:
            self.rule = rule
            self._cuts.follow(rule)
            self._cuts.take(position, self._ask, whole=True, to_disk=True)

    def _stand(self) -> int:
        """Let all workers stand at a consistent cut."""
        workers = self.group.workers
        cut: int = max(self._ask([worker.hold.remote() for worker in workers]))
        self._ask([worker.open_until.remote(cut, False) for worker in workers])
        while not all(self._ask([worker.wait_done.remote(cut, POLL_S) for worker in workers])):
            for ref in ray.wait(self._running, num_returns=len(workers), timeout=0)[0]:
                check_outcome(ray.get(ref))
        self._poll()
        return cut

    def _cut(self, *, leave: bool) -> None:
        """Copy the state at a consistent cut, and let the workers go on, or leave."""
        begin_s = time.monotonic()
        workers, cut = self.group.workers, self._stand()
        self._cuts.take(cut, self._ask, to_disk=leave or self._cuts.disk_due(cut))
        self._ask([worker.open_until.remote(cut if leave else None, leave) for worker in workers])
        self._cuts.took(time.monotonic() - begin_s)

    def _poll(self) -> None:
        polls = self._polls()
        if self._dropout:
            self._dropout.hear([poll.position for poll in polls])
        position = min(poll.position for poll in polls)
        self.metrics.write_below(position)
        now_s = time.monotonic()
        if position > self._position:
            self.stuck.answered(now_s - self._advanced_s)
            self._position, self._advanced_s = position, now_s
            self._furthest = max(self._furthest, position)
        elif now_s - self._advanced_s > self.stuck.limit_s:
            slowest = min(range(len(polls)), key=lambda rank: polls[rank].position)
            self.group.kill(slowest)
            raise Broken(f"no worker got on for {self.stuck.limit_s:.0f} s, and the one that was furthest behind hung")
        self.show(Progress(position=position, loss=self.metrics.last_loss))

    def _all_done(self) -> bool:
        """Wait for a moment and take the news; whether all workers have come back."""
        done, waiting = ray.wait(self._running, num_returns=len(self._running), timeout=POLL_S)
        for ref in done:
            check_outcome(ray.get(ref))
        self._poll()
        return not waiting

    def _polls(self) -> list[Poll]:
        """News of all workers; their rows are taken."""
        names = [self.group.name(rank) for rank in range(len(self.group))]
        polls: list[Poll] = self._ask(
            [
                worker.poll.remote(self._position, self._told.get(name, 0))
                for name, worker in zip(names, self.group.workers, strict=True)
            ]
        )
        for name, poll in zip(names, polls, strict=True):
            self.metrics.add(poll.rows)
            self._sent[name], self._told[name] = poll.bytes_sent, poll.told
        return polls

    def _ask(self, refs: list[Ref]) -> list[Any]:
        """Answers of workers; while they do not come, whether all are still there.

        Raises:
            RayError: a worker died or failed.
            Broken: a worker does not answer any more.
        """
        while True:
            done, waiting = ray.wait(refs, num_returns=len(refs), timeout=POLL_S)
            for ref in done:
                ray.get(ref)
            if not waiting:
                return list(ray.get(refs))
            self._check_alive()

    def _check_alive(self) -> None:
        begin_s = time.monotonic()
        pings = [worker.host.remote() for worker in self.group.workers]
        silent = ray.wait(pings, num_returns=len(pings), timeout=self.answer.limit_s)[1]
        if silent:
            raise Broken(f"a worker has been silent for {self.answer.limit_s:.0f} s")
        self.answer.answered(time.monotonic() - begin_s)
        ray.get(pings)

    def _call_off(self) -> list[int]:
        """Let all who live leave the trace; returns the ranks of those who are dead, silent, or do not leave."""
        workers = self.group.workers
        asked = [worker.abort.remote() for worker in workers]
        ray.wait(asked, num_returns=len(asked), timeout=self.answer.limit_s)
        lost = {rank for rank, ref in enumerate(asked) if not _answered(ref)}
        for rank in lost:
            self.group.kill(rank)  # at once: those who wait for it learn of it by its closed connections
        left = [ref for rank, ref in enumerate(self._running) if rank not in lost]
        if left:
            ray.wait(left, num_returns=len(left), timeout=max(LEAVE_S, self.answer.limit_s))
        lost |= {rank for rank, ref in enumerate(self._running) if rank not in lost and not _answered(ref)}
        self._running = []
        return sorted(lost)


def check_outcome(outcome: Outcome) -> None:
    """What a worker came back with must be the end of its work.

    Raises:
        Disconnected: it lost the connection to another one.
    """
    if outcome.problem is not None:
        raise Disconnected(f"a worker lost the connection to another one ({outcome.problem})")


def _answered(ref: Ref) -> bool:
    """Whether a worker has answered, and is there."""
    try:
        ray.get(ref, timeout=0)
    except (GetTimeoutError, RayActorError, OutOfMemoryError):
        return False
    except RayTaskError as error:
        return not is_out_of_memory(error)  # another process gets what this one may still hold
    return True
