"""Fleets: what a recipe can ask for, and the satellites that come of it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import numpy as np
from sgp4.api import Satrec

from orbital_train.errors import InputError, InputWarning
from orbital_train.orbit.arrays import FloatArray, IntArray
from orbital_train.orbit.constants import DAY_S
from orbital_train.orbit.elements import Element, read_omm, read_tle
from orbital_train.orbit.ephemeris import Ephemeris
from orbital_train.orbit.mean_elements import (
    circular_satrec,
    mean_motion_rad_min,
    sun_synchronous_inclination_rad,
)
from orbital_train.orbit.planes import planes_of
from orbital_train.orbit.separation import closest_approach, walker_separation_m
from orbital_train.orbit.times import julian_day, sidereal_angle_rad

OLD_DAYS = 3.0
TOO_OLD_DAYS = 30.0


@dataclass(frozen=True, kw_only=True)
class WalkerSpec:
    """A Walker constellation ``i:t/p/f``: delta spreads its ascending nodes over 360 degrees, star over 180."""

    pattern: Literal["delta", "star"]
    satellites: int  # t, of the whole constellation
    planes: int  # p
    phasing: int  # f, 0 to p - 1: a plane leads its western neighbour by f / t of an orbit
    altitude_m: float  # mean, above 6,378.137 km
    inclination_deg: float
    raan_deg: float = 0.0  # right ascension of plane 0's ascending node at the start


@dataclass(frozen=True, kw_only=True)
class SunSynchronousSpec:
    """Evenly spaced satellites in one Sun-synchronous plane."""

    satellites: int
    altitude_m: float  # mean, above 6,378.137 km
    local_time_h: float  # mean solar time at the ascending node; 6 and 18 are dawn-dusk


@dataclass(frozen=True, kw_only=True)
class ElementFileSpec:
    """Satellites from a file of element sets."""

    path: Path
    format: Literal["tle", "omm"]  # omm is JSON, gzipped if the name ends in .gz
    names: tuple[str, ...] = ()  # shell patterns; a satellite is taken if any fits; none given takes all
    limit: int | None = None  # at most so many, the first ones in the file's order
    allow_old: bool = False  # fly elements more than 30 days from their epoch


FleetSpec = WalkerSpec | SunSynchronousSpec | ElementFileSpec


@dataclass(frozen=True)
class Fleet:
    """N satellites with their mean elements and their places in the constellation."""

    names: tuple[str, ...]
    satrecs: tuple[Satrec, ...]
    plane: IntArray  # (N,) orbital plane, from 0 eastwards
    slot: IntArray  # (N,) place in the plane, in flight direction from 0
    pattern: Literal["delta", "star", "single", "file", "cluster"]
    phasing: int = 0  # slots by which the last plane leads plane 0 (Walker's f)
    path: Path | None = None  # the file of element sets

    def __len__(self) -> int:
        return len(self.names)


def build_fleet(spec: FleetSpec, start: datetime) -> Fleet:
    """The satellites of a specification; those that are not from a file have their epoch at ``start`` and no drag.

    Raises:
        InputError: the specification cannot be flown (keys ``fleet.*``).
    """
    if isinstance(spec, WalkerSpec):
        return _walker(spec, start)
    if isinstance(spec, SunSynchronousSpec):
        return _sun_synchronous(spec, start)
    return _from_file(spec, start)


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
        raise InputError("fleet.path", str(fleet.path), problem)
    if days > OLD_DAYS:
        warnings.warn(f"fleet.path = {str(fleet.path)!r}: {found}", InputWarning, stacklevel=2)


def check_separation(ephemeris: Ephemeris, minimum_m: float, horizon_s: float, spec: WalkerSpec | None = None) -> None:
    """Refuse a generated fleet whose satellites come too close to each other.

    Args:
        ephemeris: the satellites.
        minimum_m: closest approach that is accepted.
        horizon_s: length of the scenario; one orbit of it is searched.
        spec: the Walker constellation that was asked for; with it the error names the phasings that would do.

    Raises:
        InputError: two satellites come closer (key ``fleet.phasing``).
    """
    approach = closest_approach(ephemeris, minimum_m, horizon_s)
    if approach is None:
        return
    a, b = ephemeris.names[approach.a], ephemeris.names[approach.b]
    problem = (
        f"{a} and {b} come within {approach.distance_m / 1e3:.1f} km of each other {approach.t_s:.0f} s after the start"
        f" (accepted is {minimum_m / 1e3:g} km); {_phasing_advice(spec, minimum_m)}"
    )
    raise InputError("fleet.phasing", spec.phasing if spec else None, problem)


def _phasing_advice(spec: WalkerSpec | None, minimum_m: float) -> str:
    if spec is None:
        return "use another phasing, other altitudes or fewer satellites"
    separation_m = walker_separation_m(
        satellites=spec.satellites,
        planes=spec.planes,
        phasing=np.arange(spec.planes),
        spread_rad=2 * np.pi if spec.pattern == "delta" else np.pi,
        altitude_m=spec.altitude_m,
        inclination_rad=float(np.radians(spec.inclination_deg)),
    )
    # The closed form knows no oblateness, which moves satellites by a few kilometres.
    safe_m = minimum_m + 20e3
    best = [int(f) for f in np.argsort(-separation_m, kind="stable")[:3] if separation_m[f] > safe_m]
    if not best:
        return "no phasing does, use fewer satellites, other planes or another inclination"
    return "phasing " + " or ".join(f"{f} ({separation_m[f] / 1e3:.0f} km)" for f in best) + " does"


def _walker(spec: WalkerSpec, start: datetime) -> Fleet:
    _refuse_bad_walker(spec)
    per_plane = spec.satellites // spec.planes
    plane, slot = np.divmod(np.arange(spec.satellites), per_plane)
    spread_deg = 360.0 if spec.pattern == "delta" else 180.0
    raan_rad = np.radians(spec.raan_deg + spread_deg * plane / spec.planes)
    argument_rad = 2.0 * np.pi * (slot / per_plane + spec.phasing * plane / spec.satellites)
    satrecs = _circular(start, spec.altitude_m, np.radians(spec.inclination_deg), raan_rad, argument_rad)
    names = tuple(f"p{p}s{s}" for p, s in zip(plane, slot, strict=True))
    return Fleet(names, satrecs, plane, slot, spec.pattern, spec.phasing)


def _refuse_bad_walker(spec: WalkerSpec) -> None:
    if spec.planes < 1:
        raise InputError("fleet.planes", spec.planes, "at least 1 plane is needed")
    if spec.satellites < 1 or spec.satellites % spec.planes:
        near = max(1, round(spec.satellites / spec.planes)) * spec.planes
        problem = f"{spec.planes} planes need a multiple of {spec.planes} satellites, for example {near}"
        raise InputError("fleet.satellites", spec.satellites, problem)
    if not 0 <= spec.phasing < spec.planes:
        raise InputError("fleet.phasing", spec.phasing, f"accepted is 0 to planes - 1 = {spec.planes - 1}")
    if not 0.0 <= spec.inclination_deg <= 180.0:
        raise InputError("fleet.inclination_deg", spec.inclination_deg, "accepted is 0 to 180")


def _sun_synchronous(spec: SunSynchronousSpec, start: datetime) -> Fleet:
    if spec.satellites < 1:
        raise InputError("fleet.satellites", spec.satellites, "at least 1 satellite is needed")
    if not 0.0 <= spec.local_time_h < 24.0:
        raise InputError("fleet.local_time_h", spec.local_time_h, "accepted is 0 to below 24 hours")
    inclination_rad = sun_synchronous_inclination_rad(start, spec.altitude_m)
    # Mean solar time at a meridian is UTC plus its longitude, and the node's longitude is raan - sidereal angle.
    sidereal_rad = sidereal_angle_rad(start, np.zeros(1))[0][0]
    utc_day = (julian_day(start)[1]) % 1.0
    raan_rad = sidereal_rad + 2.0 * np.pi * (spec.local_time_h / 24.0 - utc_day)
    slot = np.arange(spec.satellites)
    argument_rad = 2.0 * np.pi * slot / spec.satellites
    satrecs = _circular(start, spec.altitude_m, inclination_rad, np.full(slot.shape, raan_rad), argument_rad)
    digits = max(2, len(str(spec.satellites - 1)))
    names = tuple(f"s{s:0{digits}d}" for s in slot)
    return Fleet(names, satrecs, np.zeros_like(slot), slot, "single")


def _circular(
    start: datetime, altitude_m: float, inclination_rad: float, raan_rad: FloatArray, argument_rad: FloatArray
) -> tuple[Satrec, ...]:
    motion = mean_motion_rad_min(start, altitude_m, inclination_rad)
    places = zip(raan_rad, argument_rad, strict=True)
    return tuple(circular_satrec(start, motion, inclination_rad, float(node), float(u)) for node, u in places)


def _from_file(spec: ElementFileSpec, start: datetime) -> Fleet:
    elements = read_tle(spec.path) if spec.format == "tle" else read_omm(spec.path)
    chosen = _select(spec, elements)
    names = tuple(name for name, _ in chosen)
    seen: set[str] = set()
    for name in names:
        if name in seen:
            problem = f"the name {name!r} occurs twice; choose one with fleet.names or edit the file"
            raise InputError("fleet.path", str(spec.path), problem)
        seen.add(name)
    satrecs = tuple(satrec for _, satrec in chosen)
    plane, slot = planes_of(satrecs, start)
    return Fleet(names, satrecs, plane, slot, "file", path=spec.path)


def _select(spec: ElementFileSpec, elements: list[Element]) -> list[Element]:
    for pattern in spec.names:
        if not any(fnmatchcase(name, pattern) for name, _ in elements):
            example = elements[0][0]
            problem = f"no satellite in {spec.path} has a name like this; its names look like {example!r}"
            raise InputError("fleet.names", pattern, problem)
    if spec.limit is not None and spec.limit < 1:
        raise InputError("fleet.limit", spec.limit, "accepted is 1 or more")
    wanted = [e for e in elements if not spec.names or any(fnmatchcase(e[0], p) for p in spec.names)]
    return wanted[: spec.limit]
