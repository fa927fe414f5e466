"""What goes wrong on workers, told in one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError

from orbital_train.errors import InputError


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


def cause_of(error: Exception) -> str:
    """What went wrong, in one line."""
    match error:
        case OutOfMemoryError():
            return "a worker was killed: its machine ran out of memory; take fewer nodes a worker, or a smaller model"
        case RayActorError():
            return f"a worker died{_which(error)}"
        case RayTaskError():
            return f"a worker failed: {_lines(error)[-1]}"
        case RayError():
            return f"Ray failed: {_lines(error)[0]}"
    return str(error)


def _which(error: RayActorError) -> str:
    """Process and machine, from the ``name: value`` lines of Ray's message."""
    fields = dict(line.split(": ", 1) for line in _lines(error) if ": " in line)
    if "pid" not in fields:
        return f" ({_lines(error)[0]})"
    return f" (process {fields['pid']} on {fields.get('ip', 'this machine')}): killed, out of memory, or crashed"


def _lines(error: RayError) -> list[str]:
    return [line.strip() for line in str(error).splitlines() if line.strip()]
