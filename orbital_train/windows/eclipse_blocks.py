"""The shadow on fleets whose illumination would not fit into memory, measured satellite block by satellite block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import datetime

import numpy as np

from orbital_train.orbit.ephemeris import Ephemeris
from orbital_train.orbit.grid import StateGrid, sample
from orbital_train.orbit.sun import SunPositions, sun_path
from orbital_train.windows.intervals import subtract
from orbital_train.windows.light import LightSpec, mean_fraction, occulter_of
from orbital_train.windows.measures import Eclipses
from orbital_train.windows.shadow import STEP_S, Occulter, find_shadows


def eclipses_of_blocks(
    blocks: Iterable[Ephemeris], start: datetime, horizon_s: float, spec: LightSpec
) -> Iterator[Eclipses]:
    """What :func:`~orbital_train.windows.measures.eclipses` says of the illumination of each of these blocks.

    Raises:
        InputError: the opaque atmosphere reaches up to the satellites (key ``light.shadow_margin_m``).
    """
    occulter, sun = occulter_of(spec), sun_path(start, horizon_s)
    for satellites in blocks:
        yield _eclipses(sample(satellites, horizon_s, STEP_S), sun, occulter)


def joined_eclipses(parts: Sequence[Eclipses]) -> Eclipses:
    """Several blocks as one."""
    return Eclipses(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Eclipses)})


def _eclipses(grid: StateGrid, sun: SunPositions, occulter: Occulter) -> Eclipses:
    nodes, horizon_s = len(grid.r_m), float(grid.t_s[-1])
    found = find_shadows(grid, sun, occulter)
    umbra, penumbra = found.umbra, found.penumbra
    umbra_s = np.bincount(umbra.track, weights=umbra.end_s - umbra.start_s, minlength=nodes)
    partial = subtract(penumbra, umbra)
    lit = mean_fraction(grid, sun, occulter, partial.track, partial.start_s, partial.end_s)
    lost_s = np.bincount(partial.track, weights=(partial.end_s - partial.start_s) * (1.0 - lit), minlength=nodes)
    longest_s = np.zeros(nodes)
    np.maximum.at(longest_s, penumbra.track, penumbra.end_s - penumbra.start_s)
    return Eclipses(umbra=umbra_s / horizon_s, shaded=(umbra_s + lost_s) / horizon_s, longest_s=longest_s)
