"""Constellations of evenly spaced circular planes: what can be asked for, and where each plane lies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Literal

import numpy as np
from sgp4.api import Satrec

from orbital_train.errors import InputError
from orbital_train.orbit.arrays import FloatArray, IntArray
from orbital_train.orbit.mean_elements import (
    TURN,
    circular_satrec,
    mean_motion_rad_min,
    mean_satrecs,
    sun_synchronous_inclination_rad,
)
from orbital_train.orbit.selection import Selection
from orbital_train.orbit.times import julian_day, sidereal_angle_rad


@dataclass(frozen=True, kw_only=True)
class WalkerSpec(Selection):
    """A Walker constellation ``i:t/p/f``: delta spreads its ascending nodes over 360 degrees, star over 180."""

    pattern: Literal["delta", "star"]
    satellites: int  # t, of the whole constellation
    planes: int  # p
    phasing: int  # f, 0 to p - 1: a plane leads its western neighbour by f / t of an orbit
    altitude_m: float  # mean, above 6,378.137 km
    inclination_deg: float
    raan_deg: float = 0.0  # right ascension of plane 0's ascending node at the start
    minimum_separation_m: float = 1e3


@dataclass(frozen=True, kw_only=True)
class SunSynchronousSpec(Selection):
    """Evenly spaced satellites in one Sun-synchronous plane."""

    satellites: int
    altitude_m: float  # mean, above 6,378.137 km
    local_time_h: float  # mean solar time at the ascending node; 6 and 18 are dawn-dusk
    minimum_separation_m: float = 1e3


@dataclass(frozen=True, kw_only=True)
class ShellSpec:
    """Planes of evenly spaced satellites, each plane a step higher than its western neighbour."""

    planes: int
    satellites_per_plane: int
    altitude_m: float  # of plane 0: mean, above 6,378.137 km
    altitude_step_m: float = 0.0
    inclination_deg: float | None  # None: Sun-synchronous at each plane's altitude
    phasing: float = 0.0  # a plane leads its western neighbour by phasing / (all satellites of the shell) of an orbit
    node_spread_deg: float = 360.0  # plane k's ascending node is k / planes of this east of plane 0's
    raan_deg: float = 0.0  # right ascension of plane 0's ascending node at the start
    local_time_h: float | None = None  # mean solar time at plane 0's ascending node, instead of raan_deg


@dataclass(frozen=True, kw_only=True)
class LayeredSpec(Selection):
    """Several shells; plane numbers run on from one to the next."""

    shells: tuple[ShellSpec, ...]
    minimum_separation_m: float = 1e3


CircularSpec = WalkerSpec | SunSynchronousSpec | LayeredSpec


@dataclass(frozen=True, kw_only=True)
class Planes:
    """P circular planes of evenly spaced satellites at the scenario's start."""

    satellites: IntArray  # (P,) in each plane
    axis_m: FloatArray  # (P,) mean semi-major axis
    inclination_rad: FloatArray  # (P,)
    raan_rad: FloatArray  # (P,)
    argument_rad: FloatArray  # (P,) mean argument of latitude of slot 0
    motion_rad_min: FloatArray  # (P,) Kozai mean motion

    def numbers(self) -> tuple[IntArray, IntArray]:
        """Plane and slot of every satellite, plane by plane, each of shape (N,)."""
        plane = np.repeat(np.arange(self.satellites.size), self.satellites)
        first = np.cumsum(self.satellites) - self.satellites
        return plane, np.arange(plane.size) - first[plane]

    def satrecs(self, start: datetime, plane: IntArray, slot: IntArray) -> tuple[Satrec, ...]:
        """The satellites in these slots, each of shape (N,)."""
        return mean_satrecs(
            start,
            mean_motion_rad_min=self.motion_rad_min[plane],
            inclination_rad=self.inclination_rad[plane],
            raan_rad=self.raan_rad[plane],
            mean_anomaly_rad=self.argument_rad[plane] + TURN * slot / self.satellites[plane],
        )


def planes_of_spec(spec: CircularSpec, start: datetime) -> Planes:
    """Where the planes of a constellation lie.

    Raises:
        InputError: the constellation cannot be flown (keys ``fleet.*``; of shell k ``fleet.shells.k.*``).
    """
    match spec:
        case WalkerSpec():
            return _shell_planes(_walker_shell(spec), start)
        case SunSynchronousSpec():
            return _shell_planes(_sun_synchronous_shell(spec), start)
        case LayeredSpec():
            return _layered_planes(spec, start)


def _walker_shell(spec: WalkerSpec) -> ShellSpec:
    if spec.planes < 1:
        raise InputError("fleet.planes", spec.planes, "at least 1 plane is needed")
    if spec.satellites < 1 or spec.satellites % spec.planes:
        near = max(1, round(spec.satellites / spec.planes)) * spec.planes
        problem = f"{spec.planes} planes need a multiple of {spec.planes} satellites, for example {near}"
        raise InputError("fleet.satellites", spec.satellites, problem)
    if not 0 <= spec.phasing < spec.planes:
        raise InputError("fleet.phasing", spec.phasing, f"accepted is 0 to planes - 1 = {spec.planes - 1}")
    return ShellSpec(
        planes=spec.planes,
        satellites_per_plane=spec.satellites // spec.planes,
        altitude_m=spec.altitude_m,
        inclination_deg=spec.inclination_deg,
        phasing=spec.phasing,
        node_spread_deg=360.0 if spec.pattern == "delta" else 180.0,
        raan_deg=spec.raan_deg,
    )


def _sun_synchronous_shell(spec: SunSynchronousSpec) -> ShellSpec:
    if spec.satellites < 1:
        raise InputError("fleet.satellites", spec.satellites, "at least 1 satellite is needed")
    return ShellSpec(
        planes=1,
        satellites_per_plane=spec.satellites,
        altitude_m=spec.altitude_m,
        inclination_deg=None,
        local_time_h=spec.local_time_h,
    )


def _layered_planes(spec: LayeredSpec, start: datetime) -> Planes:
    if not spec.shells:
        raise InputError("fleet.shells", [], "at least 1 shell is needed")
    parts = []
    for k, shell in enumerate(spec.shells):
        try:
            parts.append(_shell_planes(shell, start))
        except InputError as error:
            key = error.key.replace("fleet.", f"fleet.shells.{k}.")
            raise InputError(key, error.value, error.problem) from None
    return Planes(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})


def _shell_planes(shell: ShellSpec, start: datetime) -> Planes:
    _refuse_bad_shell(shell)
    number = np.arange(shell.planes)
    altitudes_m = (shell.altitude_m + shell.altitude_step_m * number).tolist()
    # A shell without steps has one altitude, which is solved once.
    solved = cache(lambda altitude_m: _inclination_and_motion(shell, start, altitude_m))
    inclination_rad, motion_rad_min, axis_m = np.array([solved(altitude_m) for altitude_m in altitudes_m]).T
    first_rad = _first_node_rad(shell, start)
    return Planes(
        satellites=np.full(shell.planes, shell.satellites_per_plane),
        axis_m=axis_m,
        inclination_rad=inclination_rad,
        raan_rad=first_rad + np.radians(shell.node_spread_deg) * number / shell.planes,
        argument_rad=TURN * shell.phasing * number / (shell.planes * shell.satellites_per_plane),
        motion_rad_min=motion_rad_min,
    )


def _inclination_and_motion(shell: ShellSpec, start: datetime, altitude_m: float) -> tuple[float, float, float]:
    """Inclination [rad], Kozai mean motion [rad/min] and mean semi-major axis [m]."""
    if shell.inclination_deg is None:
        inclination_rad = sun_synchronous_inclination_rad(start, altitude_m)
    else:
        inclination_rad = float(np.radians(shell.inclination_deg))
    motion_rad_min = mean_motion_rad_min(start, altitude_m, inclination_rad)
    satrec = circular_satrec(start, motion_rad_min, inclination_rad, 0.0, 0.0)
    return inclination_rad, motion_rad_min, satrec.a * satrec.radiusearthkm * 1e3


def _first_node_rad(shell: ShellSpec, start: datetime) -> float:
    if shell.local_time_h is None:
        return float(np.radians(shell.raan_deg))
    return node_rad(start, shell.local_time_h)


def node_rad(start: datetime, local_time_h: float) -> float:
    """Right ascension of an ascending node at this mean solar time.

    Raises:
        InputError: there is no such time of day (key ``fleet.local_time_h``).
    """
    if not 0.0 <= local_time_h < 24.0:
        raise InputError("fleet.local_time_h", local_time_h, "accepted is 0 to below 24 hours")
    # Mean solar time at a meridian is UTC plus its longitude, and the node's longitude is raan - sidereal angle.
    sidereal_rad = sidereal_angle_rad(start, np.zeros(1))[0][0]
    utc_day = julian_day(start)[1] % 1.0
    return float(sidereal_rad + TURN * (local_time_h / 24.0 - utc_day))


def _refuse_bad_shell(shell: ShellSpec) -> None:
    if shell.planes < 1:
        raise InputError("fleet.planes", shell.planes, "at least 1 plane is needed")
    if shell.satellites_per_plane < 1:
        raise InputError("fleet.satellites_per_plane", shell.satellites_per_plane, "at least 1 satellite is needed")
    if shell.inclination_deg is not None and not 0.0 <= shell.inclination_deg <= 180.0:
        raise InputError("fleet.inclination_deg", shell.inclination_deg, "accepted is 0 to 180")
