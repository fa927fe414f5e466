from __future__ import annotations

from datetime import UTC, datetime

import pytest

from orbital_train.errors import InputError
from orbital_train.orbit.cluster import ClusterSpec
from orbital_train.orbit.crowding import check_separation
from orbital_train.orbit.shells import CircularSpec, LayeredSpec, ShellSpec, SunSynchronousSpec, WalkerSpec

START = datetime(2026, 3, 20, tzinfo=UTC)
DAY_S = 86_400.0


def starlink(**change: object) -> WalkerSpec:
    usual = {
        "pattern": "delta",
        "satellites": 1584,
        "planes": 72,
        "phasing": 1,
        "altitude_m": 550e3,
        "inclination_deg": 53.0,
    }
    return WalkerSpec(**{**usual, **change})  # type: ignore[arg-type]


def layered(step_m: float, **change: object) -> LayeredSpec:
    shell = ShellSpec(
        planes=50, satellites_per_plane=300, altitude_m=500e3, altitude_step_m=step_m, inclination_deg=None
    )
    return LayeredSpec(shells=(shell,), **change)  # type: ignore[arg-type]


def refused(spec: CircularSpec | ClusterSpec, horizon_s: float = DAY_S) -> str:
    with pytest.raises(InputError) as caught:
        check_separation(spec, START, horizon_s)
    return str(caught.value)


def test_walkers_name_the_planes_and_phasings_that_would_do() -> None:
    """72 planes of 22 at F = 1 pass within 0.8 km."""
    assert refused(starlink()) == (
        "fleet.phasing = 1: satellites of planes 0 and 5 come within 0.8 km of each other (accepted is 1 km); "
        "phasing 65 (64 km) or 3 (44 km) or 39 (41 km) does"
    )
    for phasing in (65, 3, 39):
        check_separation(starlink(phasing=phasing, minimum_separation_m=40e3), START, DAY_S)


def test_walkers_that_no_phasing_helps() -> None:
    pair = starlink(pattern="star", satellites=2, planes=2, phasing=0, inclination_deg=90.0)
    assert refused(pair) == (
        "fleet.phasing = 0: satellites of planes 0 and 1 come within 0.0 km of each other (accepted is 1 km); "
        "phasing 1 (9792 km) does"
    )
    wide = starlink(
        pattern="star", satellites=2, planes=2, phasing=0, inclination_deg=90.0, minimum_separation_m=15_000e3
    )
    assert refused(wide) == (
        "fleet.phasing = 0: satellites of planes 0 and 1 come within 0.0 km of each other (accepted is 15000 km); "
        "no phasing does, use fewer satellites, other planes or another inclination"
    )


def test_crowded_planes() -> None:
    plane = SunSynchronousSpec(satellites=6, altitude_m=500e3, local_time_h=10.5, minimum_separation_m=8000e3)
    assert refused(plane) == (
        "fleet.satellites = 6: neighbours in plane 0 come within 6878.1 km of each other (accepted is 8000 km); "
        "fly fewer satellites in a plane"
    )
    assert refused(layered(5e3, minimum_separation_m=200e3)).startswith(
        "fleet.shells = 'planes 48 and 49': satellites of planes 48 and 49 come within 5.0 km of each other"
    )
    dense = ShellSpec(planes=1, satellites_per_plane=50_000, altitude_m=500e3, inclination_deg=30.0)
    assert refused(LayeredSpec(shells=(dense,))) == (
        "fleet.shells = 'plane 0': neighbours in plane 0 come within 0.9 km of each other (accepted is 1 km); "
        "fly fewer satellites in a plane"
    )


def test_layers_must_be_further_apart_than_the_minimum() -> None:
    check_separation(layered(5e3), START, DAY_S)
    assert refused(layered(500.0)) == (
        "fleet.shells = 'planes 0 and 1': satellites of planes 0 and 1 come within 0.5 km of each other "
        "(accepted is 1 km); use another phasing, other altitudes or fewer satellites"
    )


def test_a_hundred_thousand_satellites() -> None:
    """Planes are compared and not satellites: 0.2 s."""
    shell = ShellSpec(planes=400, satellites_per_plane=300, altitude_m=500e3, altitude_step_m=2e3, inclination_deg=30.0)
    check_separation(LayeredSpec(shells=(shell,)), START, DAY_S)
    assert "come within 2.0 km" in refused(LayeredSpec(shells=(shell,), minimum_separation_m=2.1e3))


def test_clusters() -> None:
    def cluster(spacing_m: float, **change: object) -> ClusterSpec:
        return ClusterSpec(altitude_m=650e3, local_time_h=18.0, spacing_m=spacing_m, **change)  # type: ignore[arg-type]

    check_separation(cluster(100.0), START, 30 * DAY_S)
    check_separation(cluster(10.0, satellites=1), START, DAY_S)
    assert refused(cluster(40.0)).startswith("fleet.spacing_m = 40.0: two satellites come within 40 m of each other ")
    assert refused(cluster(40.0)).endswith(" s after the start (accepted is 50 m); space them wider")
    assert refused(cluster(100.0, minimum_separation_m=101.0)).startswith(
        "fleet.spacing_m = 100.0: two satellites come within 100 m of each other "
    )
