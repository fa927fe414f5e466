"""Satellites that SGP4 loses before the horizon ends: found before any long work, and left out if so wished."""

from __future__ import annotations

import warnings
from datetime import datetime

import numpy as np

from orbital_train.errors import InputWarning
from orbital_train.orbit.arrays import FloatArray
from orbital_train.orbit.ephemeris import MOST_NAMED, Failure, Sgp4Ephemeris
from orbital_train.orbit.fleet import Fleet

# Decay takes days, so that a look every half hour finds it. Satellites that fail at one, or come low at one and may
# have been lower in between, are looked at every minute.
COARSE_STEP_S = 1800.0
FINE_STEP_S = 60.0
LOW_ALTITUDE_M = 250e3
_BLOCK_STATES = 1_000_000


def flyable(fleet: Fleet, start: datetime, horizon_s: float, *, drop_failing: bool) -> Fleet:
    """The satellites of a file that fly to the horizon.

    Costs 3 % of propagating them once in steps of a minute. A satellite that fails and comes back in less than half an
    hour can pass; then :meth:`Sgp4Ephemeris.states` refuses it later.

    Args:
        fleet: the satellites.
        start: the scenario's start.
        horizon_s: how long they must fly.
        drop_failing: leave out those that do not, with an InputWarning, instead of refusing the fleet.

    Raises:
        InputError: a satellite fails and ``drop_failing`` is off, or all fail (key ``fleet.path``).
    """
    ephemeris = Sgp4Ephemeris(fleet.names, fleet.satrecs, start)
    failures = _first_failures(ephemeris, horizon_s)
    if not failures:
        return fleet
    if not drop_failing or len(failures) == len(fleet):
        raise ephemeris.failed(failures)
    first = failures[0]
    told = ", ".join(fleet.names[f.node] for f in failures[:MOST_NAMED])
    more = f" and {len(failures) - MOST_NAMED} more" if len(failures) > MOST_NAMED else ""
    problem = f"{len(failures)} of {len(fleet)} satellites fail before the horizon and are left out: {told}{more}"
    problem = f"{problem}; the first {first.t_s:.0f} s after the start: {first.why}"
    warnings.warn(f"fleet.path = {fleet.path!r}: {problem}", InputWarning, stacklevel=2)
    return fleet.take(np.setdiff1d(np.arange(len(fleet)), [f.node for f in failures]))


def _first_failures(ephemeris: Sgp4Ephemeris, horizon_s: float) -> list[Failure]:
    """Of every satellite that fails within the horizon, by time."""
    failures, lowest_m = _looked_at(ephemeris, horizon_s, COARSE_STEP_S)
    low = np.flatnonzero(lowest_m < LOW_ALTITUDE_M)
    suspects = np.union1d(low, [f.node for f in failures]).astype(np.int64)
    if suspects.size == 0:
        return []
    names, satrecs = ([part[i] for i in suspects] for part in (ephemeris.names, ephemeris.satrecs))
    failures, _ = _looked_at(Sgp4Ephemeris(tuple(names), tuple(satrecs), ephemeris.start), horizon_s, FINE_STEP_S)
    return [Failure(node=int(suspects[f.node]), t_s=f.t_s, why=f.why) for f in failures]


def _looked_at(ephemeris: Sgp4Ephemeris, horizon_s: float, step_s: float) -> tuple[list[Failure], FloatArray]:
    """First failures and lowest altitudes, at the horizon and every step before it, in blocks of time."""
    t_s = np.append(np.arange(0.0, horizon_s, step_s), horizon_s)
    first: dict[int, Failure] = {}
    lowest_m = np.full(len(ephemeris.names), np.inf)
    for block_s in np.array_split(t_s, -(-t_s.size * lowest_m.size // _BLOCK_STATES)):
        failures, block_m = ephemeris.failures(block_s)
        lowest_m = np.minimum(lowest_m, block_m)
        for failure in failures:
            first.setdefault(failure.node, failure)
    return sorted(first.values(), key=lambda f: (f.t_s, f.node)), lowest_m
