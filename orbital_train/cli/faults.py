"""A fault plan that another run has recorded."""

from __future__ import annotations

from pathlib import Path

from orbital_train.errors import InputError
from orbital_train.schedule.faults import FaultPlan


def read_faults(path: Path | None, *, resume: bool) -> FaultPlan | None:
    """The plan of a file, if one is given.

    Raises:
        InputError: it is no such file, or the run has a plan already (``--faults``).
    """
    if path is None:
        return None
    if resume:
        raise InputError("--faults", str(path), "the run that --resume continues has its faults: leave one of them out")
    try:
        return FaultPlan.read(path)
    except OSError as error:
        raise InputError("--faults", str(path), f"cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AssertionError):
        raise InputError("--faults", str(path), "is no fault plan; give plan/faults.jsonl of a run directory") from None
