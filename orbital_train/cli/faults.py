"""A fault plan that another run has recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from orbital_train.errors import InputError
from orbital_train.schedule.fault_times import NEVER_US
from orbital_train.schedule.faults import FaultPlan


def read_faults(path: Path | None, *, resume: bool) -> FaultPlan | None:
    """The plan of a file, if one is given. Nodes that were out when that run ended are out to the end here too.

    Raises:
        InputError: it is no such file, or the run has a plan already (``--faults``).
    """
    if path is None:
        return None
    if resume:
        raise InputError("--faults", str(path), "the run that --resume continues has its faults: leave one of them out")
    try:
        plan = FaultPlan.read(path)
    except OSError as error:
        raise InputError("--faults", str(path), f"cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AssertionError):
        raise InputError("--faults", str(path), "is no fault plan; give plan/faults.jsonl of a run directory") from None
    # An end, since nodes without one rejoin as soon as there is a worker for them, and here there always is.
    losses = (replace(lost, end_us=NEVER_US) if lost.end_us is None else lost for lost in plan.worker_losses)
    return replace(plan, worker_losses=tuple(losses))
