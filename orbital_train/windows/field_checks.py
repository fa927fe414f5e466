"""Fields of regard that hold no link: told once it is known where partners are seen."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from orbital_train.errors import InputError, InputWarning
from orbital_train.orbit.fleet import Fleet
from orbital_train.orbit.grid import StateGrid
from orbital_train.windows.field_of_regard import FieldOfRegard, direction_deg
from orbital_train.windows.plan import ContactPlan, IntArray, LinkKind

_KEY = "links.fields_of_regard"


def warn_of_idle_terminals(fields: Sequence[FieldOfRegard], terminals: IntArray) -> None:
    """Name those that are not among the ``terminals`` (K,) that could hold a link, unless none of them could."""
    used = set(terminals.tolist())
    for k, field in enumerate(fields):
        if used and k not in used:
            shown = (
                f"{field.half_angle_deg:g} deg about azimuth {field.azimuth_deg:g}, elevation {field.elevation_deg:g}"
            )
            problem = "this terminal can hold no link within the horizon: nobody whom it sees can point back"
            warnings.warn(f"{_KEY}.{k} = {shown!r}: {problem}", InputWarning, stacklevel=4)


def judge_useless_fields(
    fields: Sequence[FieldOfRegard], fleet: Fleet, grid: StateGrid, left: ContactPlan, free: ContactPlan
) -> None:
    """Warn of fields of regard that left no link between satellites, where there would be some without; refuse them if
    they left no contact at all.

    Links to the ground have a terminal of their own, and satellites can meet through sites alone.

    Args:
        fields: of the terminals.
        fleet: the satellites.
        grid: their states.
        left: the contacts with these fields, none of them between satellites.
        free: the contacts without any fields.

    Raises:
        InputError: there is a link between satellites in ``free``, and ``left`` is empty; where the ends of the first
            one see each other is named (key ``links.fields_of_regard``).
    """
    rows = np.flatnonzero(free.kind == LinkKind.ISL)
    if not rows.size:
        return
    a, b, t_s = int(free.source[rows[0]]), int(free.dest[rows[0]]), free.start_s[rows[:1]]
    seen = [
        f"{fleet.names[here]} sees {fleet.names[there]} at azimuth {azimuth:.0f} and elevation {elevation:.0f} deg"
        for here, there in ((a, b), (b, a))
        for azimuth, elevation in [direction_deg(*grid.at(np.array([here]), t_s), grid.at(np.array([there]), t_s)[0])]
    ]
    first = f"without them the first is at {t_s[0]:.0f} s, when {', and '.join(seen)}"
    what = f"{len(fields)} field{'s' if len(fields) > 1 else ''}"
    told = f"hold no link between satellites; {first}: some terminal of each must point there"
    if not len(left):
        raise InputError(_KEY, what, told)
    warnings.warn(f"{_KEY} = {what!r}: {told}. Ground sites are all that links them", InputWarning, stacklevel=3)
