"""Where the Sun is, in the axes of SGP4.

The position is geometric: neither light time nor aberration (20.5 arc seconds, 0.25 s of eclipse time). It comes from
JPL's DE421, installed with the package ``skyfield-data``; without that, from the Astronomical Almanac's low-precision
formula, which is off by up to 38 arc seconds (0.17 s of eclipse time at 550 km), and an InputWarning says so.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.interpolate import CubicSpline
from skyfield.api import load
from skyfield.jpllib import SpiceKernel
from skyfield.sgp4lib import TEME
from skyfield.timelib import Time, Timescale

from orbital_train.errors import InputError, InputWarning
from orbital_train.orbit.arrays import FloatArray
from orbital_train.orbit.constants import ASTRONOMICAL_UNIT_M, DAY_S
from orbital_train.orbit.times import julian_day

SunPositions = Callable[[FloatArray], FloatArray]
"""Times (T,) in seconds since the start to positions (T, 3) in metres."""

# A quarter of a day between points of the spline: 0.4 m of error at one astronomical unit.
SPLINE_STEP_S = DAY_S / 4
DE421_YEARS = (1900, 2052)


def sun_positions_m(start: datetime, t_s: FloatArray) -> FloatArray:
    """Geometric positions of the Sun from the Earth's centre, TEME axes.

    Args:
        start: the scenario's start.
        t_s: seconds since then, shape (T,).

    Returns:
        Positions in metres, shape (T, 3).

    Raises:
        InputError: the times lie outside DE421 (key ``start``).
    """
    path = _de421_path()
    if path is None:
        problem = "DE421 is not installed; the Sun is taken from the Almanac's formula (up to 38 arc seconds off)"
        warnings.warn(f"{problem}. For DE421: pip install 'orbital-train[ephemeris]'", InputWarning, stacklevel=2)
        return sun_positions_almanac_m(start, t_s)
    return sun_positions_de421_m(path, start, t_s)


def sun_source() -> Literal["DE421", "formula"]:
    """Where :func:`sun_positions_m` takes the Sun from here."""
    return "formula" if _de421_path() is None else "DE421"


def sun_path(start: datetime, horizon_s: float) -> SunPositions:
    """The Sun over a whole scenario as a cubic spline: :func:`sun_positions_m` that costs next to nothing.

    Times may reach a step beyond either end.
    """
    # Three more points at either end keep the spline's free ends out of the scenario.
    knots_s: FloatArray = np.arange(-3.0, np.ceil(horizon_s / SPLINE_STEP_S) + 4) * SPLINE_STEP_S
    spline = CubicSpline(knots_s, sun_positions_m(start, knots_s))
    return lambda t_s: np.asarray(spline(t_s), dtype=np.float64)


def sun_positions_de421_m(path: Path, start: datetime, t_s: FloatArray) -> FloatArray:
    """The Sun from this DE421 file, rotated from ICRS to TEME axes; see :func:`sun_positions_m`."""
    first, last = (start + timedelta(seconds=float(t)) for t in (t_s.min(), t_s.max()))
    if first.year < DE421_YEARS[0] or last.year > DE421_YEARS[1]:
        raise InputError("start", start.isoformat(), f"the Sun is known from {DE421_YEARS[0]} to {DE421_YEARS[1]}")
    clock = _timescale().from_datetime(start)
    time = Time(_timescale(), clock.whole, clock.tt_fraction + t_s / DAY_S)
    kernel = _kernel(path)
    icrs_m = (kernel["sun"].at(time).xyz.m - kernel["earth"].at(time).xyz.m).T
    return np.asarray(np.einsum("ijt,tj->ti", TEME.rotation_at(time), icrs_m))


def sun_positions_almanac_m(start: datetime, t_s: FloatArray) -> FloatArray:
    """The Sun by the Astronomical Almanac's low-precision formula (page C5); see :func:`sun_positions_m`.

    Its axes are those of date, so it needs no rotation to TEME; used as if it were ICRS it would be 25 arc minutes off.
    """
    midnight, fraction = julian_day(start)
    days = midnight - 2_451_545.0 + fraction + t_s / DAY_S
    anomaly_rad = np.radians(357.528 + 0.9856003 * days)
    # The formula gives the apparent place; 0.0057 degrees of aberration are added back.
    mean_deg = 280.460 + 0.0057 + 0.9856474 * days
    longitude_rad = np.radians(mean_deg + 1.915 * np.sin(anomaly_rad) + 0.020 * np.sin(2 * anomaly_rad))
    obliquity_rad = np.radians(23.439 - 0.0000004 * days)
    range_m = ASTRONOMICAL_UNIT_M * (1.00014 - 0.01671 * np.cos(anomaly_rad) - 0.00014 * np.cos(2 * anomaly_rad))
    sin = np.sin(longitude_rad)
    unit = np.stack([np.cos(longitude_rad), np.cos(obliquity_rad) * sin, np.sin(obliquity_rad) * sin], axis=-1)
    return np.asarray(unit * range_m[:, None])


def _de421_path() -> Path | None:
    """DE421's file inside ``skyfield-data``, if that is installed (found without importing it: it warns on import)."""
    spec = importlib.util.find_spec("skyfield_data")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "data" / "de421.bsp"


@cache
def _kernel(path: Path) -> SpiceKernel:
    return SpiceKernel(path)


@cache
def _timescale() -> Timescale:
    return load.timescale(builtin=True)
