"""What to do when workers are lost. Decisions only: nothing here touches a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Phase(Enum):
    """What a run is doing."""

    STARTING = "starting"
    TRAINING = "training"
    RECOVERING = "recovering"
    FINISHING = "finishing"
    DONE = "done"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Something that ended the work of the group."""

    problem: str  # one line
    position: int  # the furthest operation that was ever reached by all workers
    is_input: bool = False  # it would happen again: a program or an input is wrong, and not a machine
    out_of_memory: bool = False  # as far as can be told


@dataclass(frozen=True)
class Recover:
    """Replace who is lost, go back to the last cut, and go on."""


@dataclass(frozen=True)
class GiveUp:
    """End the run; its checkpoints stay."""

    why: str


class Way(Enum):
    """How a run goes on."""

    REPLAY = "replay"  # replace who is lost, and let all do again what came after the last copy
    DROPOUT = "dropout"  # go on without who is lost, until a worker is back
    RESTART = "restart"  # nobody is left: from the last checkpoint


def after_loss(survivors: int | None) -> Way:
    """How to go on with so many survivors that go on without the others; None: they do not."""
    if survivors is None:
        return Way.REPLAY
    return Way.DROPOUT if survivors else Way.RESTART


@dataclass(kw_only=True)
class FailurePolicy:
    """Recover for as long as the run gets further between failures.

    Args:
        vain: so many failures in a row without progress end the run.
        vain_memory: the same where the last one was for want of memory, which is seldom better the next time.
    """

    vain: int = 10
    vain_memory: int = 3
    _in_vain: int = 0
    _furthest: int = -1

    def on(self, failure: Failure) -> Recover | GiveUp:
        """The decision, given all failures until now."""
        if failure.is_input:
            return GiveUp(failure.problem)
        self._in_vain = 1 if failure.position > self._furthest else self._in_vain + 1
        self._furthest = max(self._furthest, failure.position)
        if self._in_vain >= (self.vain_memory if failure.out_of_memory else self.vain):
            return GiveUp(f"{failure.problem}; {self._in_vain} times in a row without getting further")
        return Recover()
