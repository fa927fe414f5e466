"""How a run goes on when workers are lost.

The others leave what they are doing. The lost one is replaced, all are put back to the last cut, and what came after it
is done again. The result does not change by one bit. Or the others go on from where they are, and what is lost is lost
(``dropout.py``).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import ray
from ray.exceptions import ObjectLostError, RayActorError, RayError, RayTaskError

from orbital_train.cluster import watch
from orbital_train.cluster.dropout import CannotGoOn, Dropout
from orbital_train.cluster.failure_policy import Failure, FailurePolicy, GiveUp, Phase, Way, after_loss
from orbital_train.cluster.failures import WorkerLost, cause_of, is_out_of_memory, reason
from orbital_train.cluster.oom import OomKills
from orbital_train.cluster.watch import Broken, Disconnected, Watch, check_outcome
from orbital_train.errors import InputError
from orbital_train.train import checkpoint
from orbital_train.train.transport import PeerLost


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """How the run went on after a failure."""

    problem: str
    way: str
    replaced: tuple[int, ...]  # ranks
    position: int  # the furthest that all workers had come
    cut: int  # where they went on from
    seconds: float  # from the news of the failure to all workers at work again


@dataclass(kw_only=True)
class Recovering(Watch):
    """A run under way that goes on when workers are lost. ``policy`` says for how long."""

    policy: FailurePolicy = field(default_factory=FailurePolicy)
    phase: Phase = Phase.STARTING

    def __post_init__(self) -> None:
        super().__post_init__()
        self._recoveries: list[Recovery] = []
        self._failure: tuple[str, float] = ("", 0.0)  # problem, when it was noticed
        self._oom_kills = OomKills()

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

    def _behind(self, error: Exception) -> Exception:
        """What another worker died of, or failed over, where one lost the connection to it."""
        if isinstance(error, Disconnected):
            for ref in ray.wait(self._running, num_returns=len(self._running), timeout=watch.POLL_S)[0]:
                try:
                    ray.get(ref)
                except RayError as found:
                    return found
        return error

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
            check_outcome(outcome)
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

    def _fall_back(self) -> None:
        """The copies in memory went with their machines: go on from the disk."""
        saved = self._newest_whole()
        self.job = replace(self.job, checkpoint=saved)
        where = "the beginning" if saved is None else f"the checkpoint at operation {saved.manifest.cut}"
        self.tell(f"the copies in memory are lost too; going on from {where}")

    def _newest_whole(self) -> checkpoint.Checkpoint | None:
        """The checkpoint to go on from.

        Raises:
            Broken: their place cannot be read now; that is tried again.
        """
        try:
            return checkpoint.newest_whole(self.rule.store)[0]
        except OSError as error:
            raise Broken(f"{self.rule.store} cannot be read ({reason(error)})") from None
