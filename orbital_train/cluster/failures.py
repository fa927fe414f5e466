"""What goes wrong on workers, told in one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError

from orbital_train.errors import InputError

FEWER = "take fewer nodes a worker, or a smaller model"


class WorkerLost(RuntimeError):
    """A worker died or failed; the run stops, and can be resumed from its last checkpoint."""


class CannotWrite(RuntimeError):
    """A file that the run cannot do without cannot be written; the run stops, and can be resumed."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"{path} cannot be written ({reason(error)}); --resume goes on once it can")


@contextmanager
def needed(path: Path) -> Iterator[None]:
    """Something is written to ``path`` that the run cannot do without.

    Raises:
        CannotWrite: the disk is full, or may not be written.
    """
    try:
        yield
    except OSError as error:
        raise CannotWrite(path, error) from None


def reason(error: OSError) -> str:
    """Why something could not be read or written; object stores give no number with their own reasons."""
    return error.strerror or str(error)


@contextmanager
def told(rest: Callable[[], str]) -> Iterator[None]:
    """Tell Ray's errors in the project's own words; ``rest`` says what the user can do now.

    Raises:
        InputError: a worker found the user's input wrong, as a corpus that is missing on its machine.
        WorkerLost: anything else.
    """
    try:
        yield
    except RayError as error:
        if isinstance(error, RayTaskError) and isinstance(error.cause, InputError):
            raise error.cause from None
        raise WorkerLost(f"{cause_of(error)}; {rest()}") from None


def cause_of(error: Exception, oom_kills: int = 0) -> str:
    """What went wrong, in one line; ``oom_kills``: processes that the kernel ended meanwhile for want of memory."""
    match error:
        case OutOfMemoryError():
            return f"a worker was killed by Ray: its machine ran out of memory; {FEWER}"
        case RayActorError() if oom_kills:
            killed = f"the kernel ended {oom_kills} process{'es' * (oom_kills > 1)} here for want of memory"
            return f"a worker died{_process(error)}, most likely out of memory: {killed}; {FEWER}"
        case RayActorError():
            return f"a worker died{_which(error)}"
        case RayTaskError() if is_out_of_memory(error):
            return f"a worker ran out of memory ({_lines(error)[-1]}); {FEWER}"
        case RayTaskError():
            return f"a worker failed: {_lines(error)[-1]}"
        case RayError():
            return f"Ray failed: {_lines(error)[0]}"
    return str(error)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says itself that there was not enough memory, of the machine, a limit or a device."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, OutOfMemoryError | MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(cause, RuntimeError) and "DefaultCPUAllocator" in str(cause)  # torch has no type for it


def _which(error: RayActorError) -> str:
    """Process and machine, and what may have happened to it; or what Ray says."""
    process = _process(error)
    return f"{process}: killed, out of memory, or crashed" if process else f" ({_lines(error)[0]})"


def _process(error: RayActorError) -> str:
    """Process and machine, from the ``name: value`` lines of Ray's message."""
    fields = dict(line.split(": ", 1) for line in _lines(error) if ": " in line)
    return f" (process {fields['pid']} on {fields.get('ip', 'this machine')})" if "pid" in fields else ""


def _lines(error: RayError) -> list[str]:
    return [line.strip() for line in str(error).splitlines() if line.strip()]
