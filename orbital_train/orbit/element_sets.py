"""What the readers of all formats share: an element set, and the error that says where one is broken."""

from __future__ import annotations

import numpy as np
from sgp4.api import SGP4_ERRORS, Satrec

Element = tuple[str, Satrec]  # name of the satellite, its elements
SGP4_XP = "4"  # the ephemeris type of elements that only the SGP4-XP propagator understands


class BrokenElements(ValueError):
    """Text that is not what its format wants, with the line or record."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")


def start_problem(satrec: Satrec) -> str | None:
    """Why SGP4 cannot start from elements: it reports an error, or has no semi-major axis. None if it can."""
    if satrec.error:
        return str(SGP4_ERRORS[satrec.error])
    return None if 0 < satrec.a < np.inf else f"mean motion {satrec.no_kozai} rad/min"


def refuse_xp(place: str, ephemeris_type: str) -> None:
    """Refuse elements for SGP4-XP, which SGP4 would fly kilometres off."""
    if ephemeris_type == SGP4_XP:
        raise BrokenElements(place, "these elements are for SGP4-XP (ephemeris type 4); accepted are those for SGP4")
