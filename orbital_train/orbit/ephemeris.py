"""Where nodes are: one protocol, and its three sources (SGP4, two-body motion, ground sites).

All states are in TEME axes (true equator, mean equinox of date, the axes that SGP4 works in), centred on the Earth.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
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
HIGHEST_RADIUS_IN_APOGEES = 1.2


class Ephemeris(Protocol):
    """Anything that knows where its nodes are."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the nodes, N of them."""

    def states(self, t_s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Positions [m] and velocities [m/s] in TEME axes, each of shape (N, T, 3), at times of shape (T,)."""


@dataclass(frozen=True)
class Sgp4Ephemeris:
    """Satellites moved by SGP4; ``states`` raises InputError (key ``fleet.path``) at a satellite's first error."""

    names: tuple[str, ...]
    satrecs: tuple[Satrec, ...]
    start: datetime

    def states(self, t_s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See :class:`Ephemeris`."""
        assert api.accelerated, "sgp4 was installed without its compiled part"
        midnight, fraction = julian_day(self.start)
        code, r_km, v_kmps = SatrecArray(self.satrecs).sgp4(np.full(t_s.shape, midnight), fraction + t_s / DAY_S)
        self._refuse_errors(t_s, code, r_km)
        return r_km * 1e3, v_kmps * 1e3

    def _refuse_errors(self, t_s: FloatArray, code: FloatArray, r_km: FloatArray) -> None:
        apogee_km = np.array([s.radiusearthkm * (1.0 + s.alta) for s in self.satrecs])
        radius_km = np.linalg.norm(r_km, axis=-1)
        low = radius_km < (EARTH_RADIUS_M + LOWEST_ALTITUDE_M) / 1e3
        high = radius_km > HIGHEST_RADIUS_IN_APOGEES * apogee_km[:, None]
        bad = (code != 0) | low | high | ~np.isfinite(radius_km)
        if not bad.any():
            return
        # The first error in time counts: what SGP4 says after it is noise.
        node, k = np.nonzero(bad)
        first = int(np.lexsort((node, t_s[k]))[0])
        i, when_s = int(node[first]), float(t_s[k[first]])
        why = SGP4_ERRORS.get(int(code[i, k[first]])) or _altitude_problem(float(radius_km[i, k[first]]))
        others = int(bad.any(axis=1).sum()) - 1
        moment = self.start + timedelta(seconds=when_s)
        more = f" ({others} more satellites fail later)" if others else ""
        problem = f"SGP4 at {moment:%Y-%m-%dT%H:%M:%SZ} ({when_s:.0f} s after the start): {why}{more}"
        raise InputError(
            "fleet.path", self.names[i], f"{problem}; use newer elements, a shorter horizon or leave it out"
        )


def _altitude_problem(radius_km: float) -> str:
    altitude_km = radius_km - EARTH_RADIUS_M / 1e3
    fell = altitude_km < LOWEST_ALTITUDE_M / 1e3
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
