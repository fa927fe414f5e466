"""Drives one run on a group of workers: starts it, watches it, copies its state, and replaces workers that are lost.

The workers execute their parts of the trace without asking the driver; it only polls them. A copy of the state is a
consistent cut: all workers are held, the cut is the first operation that none has started, each runs up to it, copies
its part, and goes on; what is done with the copies does not keep them waiting (``cuts.py``).

When a worker is lost, the others leave what they are doing. The lost one is replaced, all are put back to the last cut,
and what came after it is done again. The result does not change by one bit. Or the others go on from where they are,
and what is lost is lost (``dropout.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ray
from ray import ObjectRef
from ray.exceptions import (
    GetTimeoutError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
)

from orbital_train.cluster.cuts import CheckpointRule, Cuts
from orbital_train.cluster.dropout import Book, CannotGoOn, Dropout
from orbital_train.cluster.failure_policy import Failure, FailurePolicy, GiveUp, Phase, Way, after_loss
from orbital_train.cluster.failures import CannotWrite, WorkerLost, cause_of, is_out_of_memory, reason
from orbital_train.cluster.group import Group
from orbital_train.cluster.metrics_log import MetricsLog
from orbital_train.cluster.oom import OomKills
from orbital_train.cluster.patience import Patience
from orbital_train.cluster.worker import Job, Outcome, Poll
from orbital_train.errors import InputError
from orbital_train.train import checkpoint
from orbital_train.train.transport import PeerLost

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


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """How the run went on after a failure."""

    problem: str
    way: str
    replaced: tuple[int, ...]  # ranks
    position: int  # the furthest that all workers had come
    cut: int  # where they went on from
    seconds: float  # from the news of the failure to all workers at work again


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


class _Broken(RuntimeError):
    """The group cannot go on as it is."""


class _Disconnected(_Broken):
    """A worker lost the connection to another one, which may be lost."""


@dataclass(kw_only=True)
class Driver:
    """One run.

    Args:
        group: of workers; some may be dead from an earlier run.
        job: what they are to do.
        metrics: takes the rows.
        rule: when to take checkpoints.
        stop_asked: whether to end the run now, in a checkpoint.
        book: of a run that goes on without workers that are lost; None: it replaces them, and replays.
        show: takes the progress.
        tell: takes one line for people about what happened.
    """

    group: Group
    job: Job
    metrics: MetricsLog
    rule: CheckpointRule
    stop_asked: Callable[[], bool]
    book: Book | None  # of a run that goes on without workers that are lost
    show: Callable[[Progress], None]
    tell: Callable[[str], None]
    answer: Patience = field(default_factory=lambda: Patience(floor_s=ANSWER_S))
    stuck: Patience = field(default_factory=lambda: Patience(floor_s=STUCK_S))
    policy: FailurePolicy = field(default_factory=FailurePolicy)
    phase: Phase = Phase.STARTING

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
        self._recoveries: list[Recovery] = []
        self._failure: tuple[str, float] = ("", 0.0)  # problem, when it was noticed
        self._oom_kills = OomKills()
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
                except (RayError, _Broken) as error:
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

    # -- phases ------------------------------------------------------------------------------------------------------

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

    def _go(self) -> Phase:
        self._running = [worker.run.remote() for worker in self.group.workers]
        self._advanced_s = time.monotonic()
        return Phase.TRAINING

    def _train(self) -> Phase:
        while True:
            done, waiting = ray.wait(self._running, num_returns=len(self._running), timeout=POLL_S)
            for ref in done:
                _check_outcome(ray.get(ref))
            self._poll()
            if not waiting:
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
            _check_outcome(outcome)
        self._poll()
        self._cuts.end(self._ask)
        self.metrics.sync()
        digests = {outcome.digest for outcome in self._outcomes}
        assert len(digests) == 1, f"workers end with different models: {digests}"
        return Phase.DONE

    def _recover(self) -> Phase:
        problem, since_s = self._failure
        self._cuts.drop_unfinished()
        lost = self._call_off()
        if self._dropout is not None:
            if after_loss(self._dropout.survivors(lost)) is Way.DROPOUT:
                return self._go_on_without(self._dropout, lost)
            return self._restart(self._dropout, lost)
        names = ", ".join(self.group.name(rank) for rank in lost) or "the connection of the workers"
        for rank in lost:
            self.group.kill(rank)
        self.group.start(lost)
        self.group.connect()
        self.metrics.forget_waiting()
        cut = self._cuts.cut
        if cut is None:
            self.tell(f"{names} was lost; starting again")
            return Phase.STARTING
        self._ask([self.group.workers[rank].prepare.remote(self.job) for rank in lost])
        try:
            self._ask(self._cuts.restore())
        except ObjectLostError:
            self._fall_back()
            return Phase.STARTING
        phase = self._go()
        recovery = Recovery(
            problem=problem,
            way=Way.REPLAY.value,
            replaced=tuple(lost),
            position=self._furthest,
            cut=cut,
            seconds=time.monotonic() - since_s,
        )
        self._recoveries.append(recovery)
        self._position = cut
        self.tell(f"{names} was lost at operation {self._furthest}; went on from {cut} after {recovery.seconds:.1f} s")
        return phase

    def _go_on_without(self, dropout: Dropout, lost: list[int]) -> Phase:
        """The others go on from where they are."""
        problem, since_s = self._failure
        names = ", ".join(self.group.name(rank) for rank in lost)
        seats = tuple(self.group.seats[rank] for rank in lost)
        dropout.lose(lost)
        try:
            position, rule = dropout.go_on(self._ask)
        except CannotGoOn as error:
            self.tell(f"{error}")
            return self._restart(dropout, [])
        self._follow(position, rule)
        phase = self._go()
        seconds = time.monotonic() - since_s
        way = Way.DROPOUT.value
        recovery = Recovery(problem=problem, way=way, replaced=seats, position=position, cut=position, seconds=seconds)
        self._recoveries.append(recovery)
        what = f"{names} was lost; the others went on" if lost else "the workers lost their connection; they went on"
        self.tell(f"{what} at operation {position} after {seconds:.1f} s")
        return phase

    def _readmit(self, dropout: Dropout) -> Phase:
        """Let nodes rejoin whose worker was lost, and that have another one."""
        begin_s, cut = time.monotonic(), self._stand()
        self._ask([worker.open_until.remote(cut, True) for worker in self.group.workers])
        for outcome in self._ask(self._running):
            _check_outcome(outcome)
        if cut == len(dropout.trace.ops):
            return Phase.FINISHING
        self._running = []
        try:
            rule = dropout.readmit(cut, self._ask)
        except CannotGoOn as error:
            self.tell(f"{error}")
            return self._restart(dropout, [])
        self._follow(cut, rule)
        phase = self._go()
        seconds = time.monotonic() - begin_s
        self.tell(f"{len(self.group)} workers are at work again from operation {cut} on, after {seconds:.1f} s")
        return phase

    def _restart(self, dropout: Dropout, lost: list[int]) -> Phase:
        """Nobody is left who could go on: start from the last checkpoint of this trace."""
        dropout.dismiss()
        for rank in lost:
            self.group.kill(rank)
        self.group.let_go(lost)
        found = self._newest_whole()
        saved = found if found and found.manifest.trace_sha256 == self.rule.trace_sha256 else None
        self.job = replace(self.job, checkpoint=saved)
        cut, kept_bytes = (saved.manifest.cut, saved.manifest.metrics_bytes) if saved else (0, 0)
        self.metrics.cut_back(kept_bytes, cut)
        self._cuts.follow(self.rule)
        self._cuts.written, self._position = saved, cut
        where = "the beginning" if saved is None else f"the checkpoint at operation {cut}"
        self.tell(f"no worker is left that could go on; going on from {where}")
        return Phase.STARTING

    # -- helpers -----------------------------------------------------------------------------------------------------

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
                _check_outcome(ray.get(ref))
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
            raise _Broken(f"no worker got on for {self.stuck.limit_s:.0f} s, and the one that was furthest behind hung")
        self.show(Progress(position=position, loss=self.metrics.last_loss))

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
            _Broken: a worker does not answer any more.
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
            raise _Broken(f"a worker has been silent for {self.answer.limit_s:.0f} s")
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

    def _fall_back(self) -> None:
        """The copies in memory went with their machines: go on from the disk."""
        saved = self._newest_whole()
        self.job = replace(self.job, checkpoint=saved)
        where = "the beginning" if saved is None else f"the checkpoint at operation {saved.manifest.cut}"
        self.tell(f"the copies in memory are lost too; going on from {where}")

    def _newest_whole(self) -> checkpoint.Checkpoint | None:
        """The checkpoint to go on from.

        Raises:
            _Broken: their place cannot be read now; that is tried again.
        """
        try:
            return checkpoint.newest_whole(self.rule.store)[0]
        except OSError as error:
            raise _Broken(f"{self.rule.store} cannot be read ({reason(error)})") from None

    def _behind(self, error: Exception) -> Exception:
        """What another worker died of, or failed over, where one lost the connection to it."""
        if isinstance(error, _Disconnected):
            for ref in ray.wait(self._running, num_returns=len(self._running), timeout=POLL_S)[0]:
                try:
                    ray.get(ref)
                except RayError as found:
                    return found
        return error

    def _note_failure(self, error: Exception) -> None:
        """Take note of what went wrong, and end the run if that is all that can be done.

        Raises:
            InputError: a worker found the user's input wrong.
            WorkerLost: the run cannot go on.
        """
        if isinstance(error, RayTaskError) and isinstance(error.cause, InputError):
            raise error.cause from None
        known_s = self._failure[1] if self.phase is Phase.RECOVERING else time.monotonic()
        error = self._behind(error)
        oom_kills, said_so = self._oom_kills.fresh(), is_out_of_memory(error)
        problem = cause_of(error, oom_kills)
        self._failure = (problem, known_s)
        machine = said_so or not isinstance(error, RayTaskError) or isinstance(error.cause, RayError | PeerLost)
        short = said_so or (isinstance(error, RayActorError) and oom_kills > 0)
        failure = Failure(problem=problem, position=self._furthest, is_input=not machine, out_of_memory=short)
        if short:
            self.tell(problem)
        decision = self.policy.on(failure)
        if isinstance(decision, GiveUp):
            raise WorkerLost(f"{decision.why}; {self._cuts.way_on()}") from None


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


def _check_outcome(outcome: Outcome) -> None:
    if outcome.problem is not None:
        raise _Disconnected(f"a worker lost the connection to another one ({outcome.problem})")


def _answered(ref: Ref) -> bool:
    """Whether a worker has answered, and is there."""
    try:
        ray.get(ref, timeout=0)
    except (GetTimeoutError, RayActorError, OutOfMemoryError):
        return False
    except RayTaskError as error:
        return not is_out_of_memory(error)  # another process gets what this one may still hold
    return True
