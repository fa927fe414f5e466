"""Where nodes are: one protocol, and its three sources (SGP4, two-body motion, ground sites).

All states are in TEME axes (true equator, mean equinox of date, the axes that SGP4 works in), centred on the Earth.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sgp4 import api
from sgp4.api import SGP4_ERRORS, Satrec, SatrecArray

from orbital_train.errors import InputError
from orbital_train.orbit.arrays import FloatArray
from orbital_train.orbit.constants import DAY_S, EARTH_RADIUS_M
from orbital_train.orbit.geodesy import earth_fixed_m
from orbital_train.orbit.kepler import propagate
from orbital_train.orbit.times import julian_day, sidereal_angle_rad

# After decay SGP4 can return code 0 with nonsense. No satellite flies below this, and none climbs this far beyond the
# apogee of its own elements (lunar and solar pulls move a high apogee by less).
LOWEST_ALTITUDE_M = 100e3
LOWEST_RADIUS_KM = (EARTH_RADIUS_M + LOWEST_ALTITUDE_M) / 1e3
HIGHEST_RADIUS_IN_APOGEES = 1.2
MOST_NAMED = 3  # satellites that an error names beside the first


class Ephemeris(Protocol):
    """Anything that knows where its nodes are."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the nodes, N of them."""

    def states(self, t_s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Positions [m] and velocities [m/s] in TEME axes, each of shape (N, T, 3), at times of shape (T,)."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """The first time at which SGP4 cannot say where a satellite is."""

    node: int
    t_s: float
    why: str


@dataclass(frozen=True)
class Sgp4Ephemeris:
    """Satellites moved by SGP4; ``states`` raises InputError (key ``fleet.path``) where a satellite fails."""

    names: tuple[str, ...]
    satrecs: tuple[Satrec, ...]
    start: datetime

    def states(self, t_s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See :class:`Ephemeris`."""
        code, r_km, v_kmps = self._sgp4(t_s)
        if code.any() or not self._in_bounds(r_km):
            raise self.failed(self._failures(t_s, code, _radius_km(r_km)))
        # In place: new arrays of this size would cost a tenth of SGP4 itself.
        r_km *= 1e3
        v_kmps *= 1e3
        return r_km, v_kmps

    def failures(self, t_s: FloatArray) -> tuple[list[Failure], FloatArray]:
        """The first failure of every satellite that fails at any of these times, by time; and how low each comes.

        Returns:
            Failures, and the lowest altitude of every satellite [m], not a number where SGP4 gives none, shape (N,).
        """
        code, r_km, _ = self._sgp4(t_s)
        radius_km = _radius_km(r_km)
        return self._failures(t_s, code, radius_km), radius_km.min(axis=1) * 1e3 - EARTH_RADIUS_M

    def failed(self, failures: list[Failure]) -> InputError:
        """The error that tells the first failure, and which others follow."""
        first, *others = failures
        moment = self.start + timedelta(seconds=first.t_s)
        problem = f"SGP4 at {moment:%Y-%m-%dT%H:%M:%SZ} ({first.t_s:.0f} s after the start): {first.why}"
        if others:
            told = [f"{self.names[f.node]} ({f.t_s:.0f} s: {f.why})" for f in others[:MOST_NAMED]]
            more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
            problem = f"{problem}; then {', '.join(told)}{more}"
        cure = "use newer elements, a shorter horizon, or fleet.drop_failing = true"
        if len(failures) == len(self.names):
            cure = "all fail: use newer elements or a shorter horizon"
        return InputError("fleet.path", self.names[first.node], f"{problem}; {cure}")

    def _sgp4(self, t_s: FloatArray) -> tuple[NDArray[np.uint8], FloatArray, FloatArray]:
        assert api.accelerated, "sgp4 was installed without its compiled part"
        midnight, fraction = julian_day(self.start)
        code, r_km, v_kmps = self._array.sgp4(np.full(t_s.shape, midnight), fraction + t_s / DAY_S)
        return code, r_km, v_kmps

    @cached_property
    def _array(self) -> SatrecArray:
        return SatrecArray(self.satrecs)

    @cached_property
    def _highest_km(self) -> FloatArray:
        return HIGHEST_RADIUS_IN_APOGEES * np.array([s.radiusearthkm * (1.0 + s.alta) for s in self.satrecs])

    def _in_bounds(self, r_km: FloatArray) -> bool:
        # Comparisons with a NaN are false, and so it is out of bounds.
        radius_squared = np.einsum("ntk,ntk->nt", r_km, r_km)
        low = radius_squared.min(axis=1, initial=np.inf) >= LOWEST_RADIUS_KM**2
        high = radius_squared.max(axis=1, initial=0.0) <= self._highest_km**2
        return bool(low.all() and high.all())

    def _failures(self, t_s: FloatArray, code: NDArray[np.uint8], radius_km: FloatArray) -> list[Failure]:
        good = (code == 0) & (radius_km >= LOWEST_RADIUS_KM) & (radius_km <= self._highest_km[:, None])
        # The first error in time counts: what SGP4 says after it is noise.
        when_s = np.where(good, np.inf, t_s)
        found = []
        for i in np.flatnonzero(~good.all(axis=1)).tolist():
            k = int(when_s[i].argmin())
            why = SGP4_ERRORS.get(int(code[i, k])) or _altitude_problem(float(radius_km[i, k]))
            found.append(Failure(node=i, t_s=float(t_s[k]), why=why))
        return sorted(found, key=lambda f: (f.t_s, f.node))


def _radius_km(r_km: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(np.einsum("ntk,ntk->nt", r_km, r_km)))


def _altitude_problem(radius_km: float) -> str:
    fell = radius_km < LOWEST_RADIUS_KM
    altitude_km = radius_km - EARTH_RADIUS_M / 1e3
    return f"altitude {altitude_km:.0f} km, " + ("it has decayed" if fell else "far above its elements' apogee")


@dataclass(frozen=True)
class KeplerEphemeris:
    """Two-body motion from states at time 0, in whatever inertial axes these are given in (eccentricity below 1)."""

    names: tuple[str, ...]
    r_m: FloatArray  # (N, 3)
    v_mps: FloatArray  # (N, 3)
    mu: float  # gravitational parameter [m3/s2]

    def states(self, t_s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See :class:`Ephemeris`."""
        return propagate(self.r_m, self.v_mps, self.mu, t_s)


@dataclass(frozen=True)
class GroundSite:
    """A place on the ground, in WGS84 geodetic coordinates, with the satellites that it can serve at once.

    Raises:
        InputError: a coordinate is off the globe, or there is no terminal (keys ``sites.latitude_deg`` and so on).
    """

    name: str
    latitude_deg: float
    longitude_deg: float
    altitude_m: float = 0.0
    terminals: int = 1

    def __post_init__(self) -> None:
        if not -90.0 <= self.latitude_deg <= 90.0:
            raise InputError(
                "sites.latitude_deg", self.latitude_deg, f"{self.name}: accepted is -90 to 90, north positive"
            )
        if not -180.0 <= self.longitude_deg <= 360.0:
            raise InputError(
                "sites.longitude_deg", self.longitude_deg, f"{self.name}: accepted is -180 to 360, east positive"
            )
        if not -500.0 <= self.altitude_m <= 9000.0:
            raise InputError("sites.altitude_m", self.altitude_m, f"{self.name}: accepted is -500 to 9000 m")
        if self.terminals < 1:
            raise InputError("sites.terminals", self.terminals, f"{self.name}: a site needs at least 1")


@dataclass(frozen=True)
class SiteEphemeris:
    """Ground sites, carried round by the Earth."""

    sites: tuple[GroundSite, ...]
    start: datetime

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sites."""
        return tuple(site.name for site in self.sites)

    def states(self, t_s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See :class:`Ephemeris`."""
        table = np.array([(s.latitude_deg, s.longitude_deg, s.altitude_m) for s in self.sites]).reshape(-1, 3)
        fixed_m = earth_fixed_m(table[:, 0], table[:, 1], table[:, 2])
        angle_rad, rate_rad_s = sidereal_angle_rad(self.start, t_s)
        x_m, y_m, z_m = (fixed_m[:, i, None] for i in range(3))
        cos, sin = np.cos(angle_rad), np.sin(angle_rad)
        east_m, north_m = x_m * cos - y_m * sin, x_m * sin + y_m * cos
        r_m = np.stack([east_m, north_m, np.broadcast_to(z_m, east_m.shape)], axis=-1)
        v_mps = np.stack([-rate_rad_s * north_m, rate_rad_s * east_m, np.zeros_like(east_m)], axis=-1)
        return r_m, v_mps


@dataclass(frozen=True)
class _Joined:
    parts: tuple[Ephemeris, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for part in self.parts for name in part.names)

    def states(self, t_s: FloatArray) -> tuple[FloatArray, FloatArray]:
        states = [part.states(t_s) for part in self.parts]
        return np.concatenate([r for r, _ in states]), np.concatenate([v for _, v in states])


def joined(a: Ephemeris, b: Ephemeris) -> Ephemeris:
    """One ephemeris with the nodes of ``a``, then those of ``b``."""
    return _Joined((a, b))
