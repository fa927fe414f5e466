"""What goes wrong on workers, told in one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ray.exceptions import RayActorError, RayError, RayTaskError

from orbital_train.errors import InputError


class WorkerLost(RuntimeError):
    """A worker died or failed; the run stops, and can be resumed from its last checkpoint."""


@contextmanager
def told(rest: Callable[[], str]) -> Iterator[None]:
    """Tell Ray's errors in the project's own words; ``rest`` says what the user can do now.

    Raises:
        InputError: a worker found the user's input wrong, as a corpus that is missing on its machine.
        WorkerLost: anything else.
    """
    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise error.cause from None
        raise WorkerLost(f"a worker failed: {_lines(error)[-1]}; {rest()}") from None
    except RayActorError as error:
        raise WorkerLost(f"a worker died{_which(error)}; {rest()}") from None
    except RayError as error:
        raise WorkerLost(f"Ray failed: {_lines(error)[0]}; {rest()}") from None


def _which(error: RayActorError) -> str:
    """Process and machine, from the ``name: value`` lines of Ray's message."""
    fields = dict(line.split(": ", 1) for line in _lines(error) if ": " in line)
    if "pid" not in fields:
        return f" ({_lines(error)[0]})"
    return f" (process {fields['pid']} on {fields.get('ip', 'this machine')}): killed, out of memory, or crashed"


def _lines(error: RayError) -> list[str]:
    return [line.strip() for line in str(error).splitlines() if line.strip()]
