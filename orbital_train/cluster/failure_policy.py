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


@dataclass(frozen=True)
class Recover:
    """Replace who is lost, go back to the last cut, and go on."""


@dataclass(frozen=True)
class GiveUp:
    """End the run; its checkpoints stay."""

    why: str


@dataclass(kw_only=True)
class FailurePolicy:
    """Recover for as long as the run gets further between failures.

    Args:
        vain: so many failures in a row without progress end the run.
    """

    vain: int = 10
    _in_vain: int = 0
    _furthest: int = -1

    def on(self, failure: Failure) -> Recover | GiveUp:
        """The decision, given all failures until now."""
        if failure.is_input:
            return GiveUp(failure.problem)
        self._in_vain = 1 if failure.position > self._furthest else self._in_vain + 1
        self._furthest = max(self._furthest, failure.position)
        if self._in_vain >= self.vain:
            return GiveUp(f"{failure.problem}; the {self.vain}th time in a row without getting further")
        return Recover()
