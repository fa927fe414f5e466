"""The simulated time, shown while a schedule is simulated."""

from __future__ import annotations

from orbital_train.report.stages import Stages
from orbital_train.schedule.simulation import Watch


def clock(note: Stages) -> Watch:
    """Shows how far a simulation has come."""
    return lambda now_us, horizon_us: note.reached(f"{now_us / 3.6e9:.1f} of at most {horizon_us / 3.6e9:.1f} h")
