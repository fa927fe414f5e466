"""Fleets: what a recipe can ask for, and the satellites that come of it."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from sgp4.api import Satrec

from orbital_train.errors import InputError, InputWarning
from orbital_train.orbit.arrays import IntArray
from orbital_train.orbit.cluster import ClusterSpec, cluster_satrecs, lattice
from orbital_train.orbit.constants import DAY_S
from orbital_train.orbit.element_sets import Element, start_problem
from orbital_train.orbit.elements import Format, read_elements
from orbital_train.orbit.planes import planes_of
from orbital_train.orbit.selection import Selection, in_planes, named, renumbered
from orbital_train.orbit.shells import CircularSpec, LayeredSpec, SunSynchronousSpec, WalkerSpec, planes_of_spec
from orbital_train.orbit.times import julian_day

OLD_DAYS = 3.0
TOO_OLD_DAYS = 30.0
MOST_DUPLICATES_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class ElementFileSpec(Selection):
    """Satellites from a file of element sets."""

    path: Path | str  # a file, gzipped if its name ends in .gz, or an http(s) URL
    format: Format  # omm is JSON, CSV or XML
    cache_s: float = DAY_S  # what came from a URL is used again while it is younger than this
    allow_old: bool = False  # fly elements more than 30 days from their epoch
    drop_failing: bool = False  # leave out satellites that SGP4 loses before the horizon


FleetSpec = CircularSpec | ClusterSpec | ElementFileSpec
Pattern = Literal["delta", "star", "single", "layered", "cluster", "subset", "file"]


@dataclass(frozen=True)
class Fleet:
    """N satellites with their mean elements and their places in the constellation.

    In a ``cluster`` a satellite's plane and slot are its row and column in the lattice, counted from 0. A ``subset`` is
    what was selected from a generated constellation: planes and slots keep their order, but not their gaps.
    """

    names: tuple[str, ...]
    satrecs: tuple[Satrec, ...]
    plane: IntArray  # (N,) orbital plane, from 0 eastwards
    slot: IntArray  # (N,) place in the plane, in flight direction from 0
    pattern: Pattern
    phasing: int = 0  # slots by which the last plane leads plane 0 (Walker's f)
    path: str | None = None  # the file of element sets, or its URL

    def __len__(self) -> int:
        return len(self.names)

    def take(self, index: IntArray) -> Fleet:
        """These satellites, with their planes and slots numbered without gaps; shape (M,)."""
        plane, slot = renumbered(self.plane[index], self.slot[index])
        names, satrecs = (tuple(part[i] for i in index.tolist()) for part in (self.names, self.satrecs))
        return replace(self, names=names, satrecs=satrecs, plane=plane, slot=slot)


def build_fleet(spec: FleetSpec, start: datetime) -> Fleet:
    """The satellites of a specification; those that are not from a file have their epoch at ``start`` and no drag.

    Raises:
        InputError: the specification cannot be flown (keys ``fleet.*``).
    """
    if isinstance(spec, ElementFileSpec):
        return _from_file(spec, start)
    if isinstance(spec, ClusterSpec):
        return _cluster(spec, start)
    return _circular(spec, start)


def check_age(fleet: Fleet, start: datetime, horizon_s: float, allow_old: bool) -> None:
    """Warn of element sets that are flown more than 3 days from their epoch, and refuse more than 30.

    The rule for the position error to expect, mostly along track: 1 km + 1 km/day + 0.2 km/day² in low orbit (a
    kilometre at the epoch and 1 to 3 km a day is what comparisons with precise orbits find; drag makes it grow
    quadratically).

    Raises:
        InputError: some satellite's elements are too old and ``allow_old`` is off (key ``fleet.path``).
    """
    if fleet.pattern != "file":
        return
    midnight, fraction = julian_day(start)
    epoch = np.array([(s.jdsatepoch - midnight) + (s.jdsatepochF - fraction) for s in fleet.satrecs])
    age_days = np.maximum(np.abs(epoch), np.abs(epoch - horizon_s / DAY_S))
    worst = int(age_days.argmax())
    days = float(age_days[worst])
    error_km = 1.0 + days + 0.2 * days * days
    found = f"{fleet.names[worst]} is flown {days:.1f} days from its epoch; expect {error_km:.0f} km of position error"
    if days > TOO_OLD_DAYS and not allow_old:
        problem = f"{found}; accepted is {TOO_OLD_DAYS:.0f} days, or fleet.allow_old = true"
        raise InputError("fleet.path", fleet.path, problem)
    if days > OLD_DAYS:
        warnings.warn(f"fleet.path = {fleet.path!r}: {found}", InputWarning, stacklevel=2)


def _circular(spec: CircularSpec, start: datetime) -> Fleet:
    planes = planes_of_spec(spec, start)
    plane, slot = planes.numbers()
    pattern: Pattern
    if isinstance(spec, SunSynchronousSpec):
        digits = max(2, len(str(spec.satellites - 1)))
        names, pattern = tuple([f"s{s:0{digits}d}" for s in slot.tolist()]), "single"
    else:
        names = tuple([f"p{p}s{s}" for p, s in zip(plane.tolist(), slot.tolist(), strict=True)])
        pattern = "layered" if isinstance(spec, LayeredSpec) else spec.pattern
    index = _selected(spec, names, plane)
    plane, slot = plane[index], slot[index]
    satrecs = planes.satrecs(start, plane, slot)
    if len(index) == len(names):
        return Fleet(names, satrecs, plane, slot, pattern, spec.phasing if isinstance(spec, WalkerSpec) else 0)
    return Fleet(tuple(names[i] for i in index.tolist()), satrecs, *renumbered(plane, slot), "subset")


def _cluster(spec: ClusterSpec, start: datetime) -> Fleet:
    points = lattice(spec.satellites)
    row, column = (points - points.min(axis=0)).T
    names = tuple([f"r{r}c{c}" for r, c in zip(row.tolist(), column.tolist(), strict=True)])
    index = _selected(spec, names, row)
    satrecs = cluster_satrecs(spec, start, points[index])
    return Fleet(tuple(names[i] for i in index.tolist()), satrecs, row[index], column[index], "cluster")


def _selected(spec: Selection, names: tuple[str, ...], plane: IntArray) -> IntArray:
    index = named(spec, names)
    return index[in_planes(spec, plane[index])]


def _from_file(spec: ElementFileSpec, start: datetime) -> Fleet:
    elements = read_elements(spec.path, spec.format, cache_s=spec.cache_s, now_s=time.time())
    names = tuple([name for name, _ in elements])
    index = _startable(spec, elements, named(spec, names).tolist())
    satrecs = tuple([elements[i][1] for i in index])
    fleet = Fleet(tuple([names[i] for i in index]), satrecs, *planes_of(satrecs, start), "file", path=str(spec.path))
    fleet = fleet.take(in_planes(spec, fleet.plane))
    _refuse_duplicates(fleet)
    return fleet


def _startable(spec: ElementFileSpec, elements: list[Element], index: list[int]) -> list[int]:
    """Those that SGP4 can start from; others are refused by name, or left out with a warning."""
    problems = {i: problem for i in index if (problem := start_problem(elements[i][1]))}
    if not problems:
        return index
    first = next(iter(problems))
    more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
    told = f"SGP4 cannot use the elements of {elements[first][0]!r}{more}: {problems[first]}"
    if not spec.drop_failing or len(problems) == len(index):
        raise InputError("fleet.path", str(spec.path), f"{told}; fleet.drop_failing = true leaves such satellites out")
    warnings.warn(f"fleet.path = {str(spec.path)!r}: left out: {told}", InputWarning, stacklevel=2)
    return [i for i in index if i not in problems]


def _refuse_duplicates(fleet: Fleet) -> None:
    twice = [name for name, times in Counter(fleet.names).items() if times > 1]
    if not twice:
        return
    told = ", ".join(repr(name) for name in twice[:MOST_DUPLICATES_NAMED])
    more = f" and {len(twice) - MOST_DUPLICATES_NAMED} more" if len(twice) > MOST_DUPLICATES_NAMED else ""
    problem = f"names occur more than once: {told}{more}; choose with fleet.names or edit the file"
    raise InputError("fleet.path", fleet.path, problem)
