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


def refuse_unflyable(place: str, satrec: Satrec) -> None:
    """Refuse elements that SGP4 cannot start from: it reports an error, or has no semi-major axis."""
    if satrec.error:
        raise BrokenElements(place, f"SGP4 cannot use these elements: {SGP4_ERRORS[satrec.error]}")
    if not 0 < satrec.a < np.inf:
        raise BrokenElements(place, f"SGP4 cannot use these elements: mean motion {satrec.no_kozai} rad/min")


def refuse_xp(place: str, ephemeris_type: str) -> None:
    """Refuse elements for SGP4-XP, which SGP4 would fly kilometres off."""
    if ephemeris_type == SGP4_XP:
        raise BrokenElements(place, "these elements are for SGP4-XP (ephemeris type 4); accepted are those for SGP4")
