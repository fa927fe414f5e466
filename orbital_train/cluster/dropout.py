"""Going on without workers that are lost: the survivors rewind nothing, and the lost nodes rejoin with another worker.

What a loss means is decided in simulated time (:mod:`orbital_train.schedule.worker_losses`): faults are appended to the
fault plan, and what was not executed yet is simulated again. The survivors, who have left the trace, meet without the
lost, get to where the furthest of them stands, and follow the new trace from there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import ObjectRef
from ray.exceptions import RayError

from orbital_train.cluster.cuts import Ask, CheckpointRule
from orbital_train.cluster.group import Group
from orbital_train.cluster.metrics_log import MetricsLog
from orbital_train.cluster.worker import Job, Poll
from orbital_train.schedule.faults import FaultPlan
from orbital_train.schedule.ops.run import Evaluate
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.worker_losses import continues, rejoined, worker_losses
from orbital_train.train.placement import place

VAIN = 10  # so many workers in a row that die before they can take part are the last that are tried


class CannotGoOn(RuntimeError):
    """The rest of the trace needs values that nobody has any more."""


@dataclass(frozen=True, kw_only=True)
class Book:
    """Where a run's faults and trace come from, and where they are recorded."""

    faults: FaultPlan
    trace: Trace
    simulate: Callable[[FaultPlan], Trace]  # the same scenario with other faults
    propose: Callable[[Trace], Path]  # put a trace where workers can read it
    record: Callable[[FaultPlan, Trace], CheckpointRule]  # what the run follows from now on


class Dropout:
    """Of one run."""

    def __init__(
        self, book: Book, group: Group, job: Job, metrics: MetricsLog, polls: Callable[[], list[Poll]]
    ) -> None:
        self._book, self._group, self._job, self._metrics, self._polls = book, group, job, metrics, polls
        self.faults, self.trace = book.faults, book.trace
        self._seat_of = place(book.trace.fleet_nodes, len(group))
        self._heard: dict[int, int] = {}  # how far others have heard of the operations of each seat's worker
        self._gone: dict[int, int] = {}  # the same of lost nodes whose loss is not recorded yet
        self._hired: dict[int, tuple[Any, ObjectRef[Any]]] = {}  # who is being started, by seat
        self._fresh: set[int] = set()  # seats of workers that have not taken part yet
        self._in_vain = 0

    def hear(self, position: Sequence[int]) -> None:
        """All workers have told of their operations up to these positions."""
        self._heard |= zip(self._group.seats, position, strict=True)

    def survivors(self, lost: Collection[int]) -> int:
        """How many are left that have taken part, without these ranks."""
        seats = {seat for rank, seat in enumerate(self._group.seats) if rank not in lost}
        return len(seats - self._fresh)

    def lose(self, lost: Sequence[int]) -> None:
        """Let workers go that are lost, and begin to start others in their places."""
        seats = [self._group.seats[rank] for rank in lost]
        out = self._out()
        self._gone |= {
            node: self._heard.get(seat, 0) for node, seat in self._seat_of.items() if seat in seats and node not in out
        }
        for rank in lost:
            self._group.kill(rank)
        self._group.let_go(lost)
        self._fresh.difference_update(seats)
        for seat in seats:
            self._hire(seat)

    def go_on(self, ask: Ask) -> tuple[int, CheckpointRule | None]:
        """Let the survivors go on, without anybody who was lost.

        Returns:
            The position at which all stand, and the rule of the new trace, if there is one.

        Raises:
            CannotGoOn: nobody has a value that is needed.
            RayError: another worker was lost; this is to be done again.
        """
        standing = zip(self._group.seats, self._polls(), strict=True)
        position = max(poll.position for seat, poll in standing if seat not in self._fresh)
        if not self._gone:
            self._regroup(self.trace, position, ask)
            self._fresh.clear()
            return position, None
        faults = self.faults
        heard = {node: min(until, position) for node, until in self._gone.items()}  # what only they did is undone
        for loss in worker_losses(self.trace, heard, position):
            faults = faults.with_fault(loss)
        self._metrics.forget_nodes(heard, position)
        return position, self._follow(faults, position, ask)

    def ready(self) -> bool:
        """Whether there are workers again for nodes that are out."""
        for seat, (_, prepared) in list(self._hired.items()):
            if ray.wait([prepared], timeout=0)[0] and not _is_there(prepared):
                self._in_vain += 1
                self._hire(seat)
        return bool(self._waiting() or self._back())

    def readmit(self, position: int, ask: Ask) -> CheckpointRule:
        """Let nodes rejoin that have a worker again, where all stand at a position and have left the trace.

        Raises:
            CannotGoOn, RayError: as :meth:`go_on`.
        """
        for seat in self._waiting():
            self._group.admit(seat, self._hired.pop(seat)[0])
            self._fresh.add(seat)
            self._in_vain = 0
        back = self._back()
        losses = tuple(
            rejoined(lost, self.trace, position) if lost.end_us is None and lost.node in back else lost
            for lost in self.faults.worker_losses
        )
        return self._follow(replace(self.faults, worker_losses=losses), position, ask)

    def dismiss(self) -> None:
        """Nobody is started any more, and the group may be another one."""
        for worker, _ in self._hired.values():
            ray.kill(worker)
        self._hired.clear()
        self._fresh.clear()
        self._gone.clear()

    def _out(self) -> set[int]:
        """Nodes without a worker."""
        return {lost.node for lost in self.faults.worker_losses if lost.end_us is None}

    def _back(self) -> set[int]:
        """Of these, who has one again."""
        return {node for node in self._out() if self._seat_of[node] in self._group.seats}

    def _waiting(self) -> list[int]:
        """Seats whose new workers can take part."""
        return [seat for seat, (_, prepared) in self._hired.items() if ray.wait([prepared], timeout=0)[0]]

    def _hire(self, seat: int) -> None:
        if self._in_vain >= VAIN:
            self._hired.pop(seat, None)
            return
        worker = self._group.hire(seat)
        job = replace(self._job, checkpoint=None)
        self._hired[seat] = worker, worker.prepare.remote(job, dict.fromkeys(self._seat_of, -1))

    def _follow(self, faults: FaultPlan, position: int, ask: Ask) -> CheckpointRule:
        """Simulate again, let all follow that, and record it once they do."""
        trace = self._book.simulate(faults)
        assert continues(trace, self.trace, position), "nothing changes of what was executed"
        missing = self._regroup(trace, position, ask)
        self.faults, self.trace = faults, trace
        self._gone.clear()
        self._fresh.clear()
        rule = self._book.record(faults, trace)
        if missing:
            raise CannotGoOn(f"{missing[0]} is needed and nobody has it")
        return rule

    def _regroup(self, trace: Trace, position: int, ask: Ask) -> list[str]:
        """Let all meet and get to a position; returns what is missing there."""
        group, path = self._group, self._book.propose(trace)
        ranks = {seat: rank for rank, seat in enumerate(group.seats)}
        owners = {node: ranks.get(seat, -1) for node, seat in self._seat_of.items()}
        group.connect()
        fresh = [seat in self._fresh for seat in group.seats]
        stand = ask([worker.follow.remote(path, owners) for worker in group.workers])
        ahead = group.workers[max(range(len(stand)), key=lambda rank: -1 if fresh[rank] else stand[rank])]
        if any(new or at < position for new, at in zip(fresh, stand, strict=True)):
            shared = ahead.give.remote()
            ask(
                [
                    worker.start_at.remote(position, shared) if new else worker.catch_up.remote(position, shared)
                    for worker, new, at in zip(group.workers, fresh, stand, strict=True)
                    if new or at < position
                ]
            )
        missing = ask([worker.form_sums.remote() for worker in group.workers])
        lost = [op.id for op in trace.of_kind(Evaluate) if op.id < position and self._metrics.lacks(op.id, "evaluate")]
        ask([ahead.evaluate.remote(lost)])
        self.hear([position] * len(group))
        return [value for of_worker in missing for value in of_worker]


def _is_there(prepared: ObjectRef[Any]) -> bool:
    """Whether a worker has got ready, and did not die over it."""
    try:
        ray.get(prepared)
    except RayError:
        return False
    return True
