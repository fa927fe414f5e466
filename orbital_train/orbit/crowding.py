"""Refusing generated fleets whose satellites come too close to each other."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from orbital_train.errors import InputError
from orbital_train.orbit.cluster import ClusterSpec, cluster_satrecs, lattice
from orbital_train.orbit.ephemeris import Sgp4Ephemeris
from orbital_train.orbit.mean_elements import TURN
from orbital_train.orbit.separation import PlaneApproach, closest_neighbours, closest_planes, locked_distance_m
from orbital_train.orbit.shells import CircularSpec, LayeredSpec, Planes, WalkerSpec, planes_of_spec

ADVICE_MARGIN = 1.1  # by which advised phasings clear the minimum
_CLUSTER_STEP_S = 30.0
_LOT = 1 << 17  # pairs of planes compared at once, to bound memory


def check_separation(spec: CircularSpec | ClusterSpec, start: datetime, horizon_s: float) -> None:
    """Refuse a generated fleet with two satellites that come closer than its ``minimum_separation_m``.

    The whole constellation is looked at, whatever is selected from it. Circular planes are judged in closed form, see
    :mod:`orbital_train.orbit.separation`; a cluster by its states every 30 s, over an orbit at either end of the
    horizon, between which its geometry only drifts.

    Raises:
        InputError: two satellites come closer (keys ``fleet.phasing``, ``fleet.satellites``, ``fleet.shells``,
            ``fleet.spacing_m``).
    """
    if isinstance(spec, ClusterSpec):
        _check_cluster(spec, start, horizon_s)
        return
    planes = planes_of_spec(spec, start)
    found = closest_planes(planes, spec.minimum_separation_m)
    if found is not None:
        raise _crowded(spec, planes, found)


def _crowded(spec: CircularSpec, planes: Planes, found: PlaneApproach) -> InputError:
    told = f"{found.distance_m / 1e3:.1f} km of each other (accepted is {spec.minimum_separation_m / 1e3:g} km)"
    if found.a == found.b:
        problem = f"neighbours in plane {found.a} come within {told}; fly fewer satellites in a plane"
        if isinstance(spec, LayeredSpec):
            return InputError("fleet.shells", f"plane {found.a}", problem)
        return InputError("fleet.satellites", spec.satellites, problem)
    problem = f"satellites of planes {found.a} and {found.b} come within {told}"
    if isinstance(spec, WalkerSpec):
        return InputError("fleet.phasing", spec.phasing, f"{problem}; {_phasing_advice(spec, planes)}")
    value = f"planes {found.a} and {found.b}"
    return InputError("fleet.shells", value, f"{problem}; use another phasing, other altitudes or fewer satellites")


def _phasing_advice(spec: WalkerSpec, planes: Planes) -> str:
    gap = np.arange(1, spec.planes)
    step_rad = TURN / spec.satellites * gap.astype(np.float64)  # of a phasing of 1
    rows = max(1, _LOT // gap.size)
    separation_m = np.concatenate(
        [
            locked_distance_m(planes, np.zeros_like(gap), gap, phasing[:, None] * step_rad).min(axis=-1)
            for phasing in np.split(np.arange(spec.planes), range(rows, spec.planes, rows))
        ]
    )
    safe_m = ADVICE_MARGIN * spec.minimum_separation_m
    best = [int(f) for f in np.argsort(-separation_m, kind="stable")[:3] if separation_m[f] > safe_m]
    if not best:
        return "no phasing does, use fewer satellites, other planes or another inclination"
    return "phasing " + " or ".join(f"{f} ({separation_m[f] / 1e3:.0f} km)" for f in best) + " does"


def _check_cluster(spec: ClusterSpec, start: datetime, horizon_s: float) -> None:
    if spec.satellites < 2:
        return
    satrecs = cluster_satrecs(spec, start, lattice(spec.satellites))
    ephemeris = Sgp4Ephemeris(tuple(str(k) for k in range(len(satrecs))), satrecs, start)
    orbit_s = np.arange(0.0, TURN / satrecs[0].no_kozai * 60.0, _CLUSTER_STEP_S)
    apart_m, when_s = min(closest_neighbours(ephemeris, t_s) for t_s in (orbit_s, horizon_s - orbit_s))
    if apart_m < spec.minimum_separation_m:
        told = f"{apart_m:.0f} m of each other {when_s:.0f} s after the start"
        problem = f"two satellites come within {told} (accepted is {spec.minimum_separation_m:g} m); space them wider"
        raise InputError("fleet.spacing_m", spec.spacing_m, problem)
