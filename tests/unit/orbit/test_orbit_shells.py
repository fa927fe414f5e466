from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from orbital_train.errors import InputError
from orbital_train.orbit.ephemeris import Sgp4Ephemeris
from orbital_train.orbit.fleet import build_fleet
from orbital_train.orbit.shells import LayeredSpec, ShellSpec, WalkerSpec, planes_of_spec
from orbital_train.orbit.times import sidereal_angle_rad

START = datetime(2026, 3, 20, tzinfo=UTC)


def shell(**change: object) -> ShellSpec:
    usual = {"planes": 3, "satellites_per_plane": 4, "altitude_m": 500e3, "inclination_deg": None}
    return ShellSpec(**{**usual, **change})  # type: ignore[arg-type]


def layered(*shells: ShellSpec, **change: object) -> LayeredSpec:
    return LayeredSpec(shells=shells, **change)  # type: ignore[arg-type]


def test_a_layered_shell_climbs_from_plane_to_plane() -> None:
    """Sun-synchronous planes, each 7 km above the one to its west, in steps of two hours of local time."""
    spec = layered(shell(altitude_step_m=7e3, node_spread_deg=90.0, local_time_h=6.0, phasing=1.5))
    fleet = build_fleet(spec, START)
    assert fleet.names[:5] == ("p0s0", "p0s1", "p0s2", "p0s3", "p1s0")
    assert (fleet.pattern, fleet.plane.tolist()) == ("layered", [0] * 4 + [1] * 4 + [2] * 4)
    first = fleet.satrecs[::4]
    altitude_km = [s.a * s.radiusearthkm - 6378.137 for s in first]
    assert altitude_km == pytest.approx([500.0, 507.0, 514.0], abs=1e-5)
    assert [np.degrees(s.nodedot) * 1440 for s in first] == pytest.approx([360 / 365.24219] * 3, abs=1e-9)
    sidereal_rad = sidereal_angle_rad(START, np.zeros(1))[0][0]
    hours = [(np.degrees(s.nodeo - sidereal_rad) / 15.0) % 24.0 for s in first]
    assert hours == pytest.approx([6.0, 8.0, 10.0], abs=1e-6)
    assert [np.degrees(s.mo) for s in first] == pytest.approx([0.0, 45.0, 90.0])


def test_shells_follow_one_another() -> None:
    fleet = build_fleet(layered(shell(planes=1), shell(planes=2, inclination_deg=30.0, satellites_per_plane=2)), START)
    assert fleet.plane.tolist() == [0, 0, 0, 0, 1, 1, 2, 2]
    assert fleet.slot.tolist() == [0, 1, 2, 3, 0, 1, 0, 1]
    assert np.degrees([s.inclo for s in fleet.satrecs]) == pytest.approx([97.426] * 4 + [30.0] * 4, abs=1e-3)
    r_m, _ = Sgp4Ephemeris(fleet.names, fleet.satrecs, START).states(np.zeros(1))
    assert np.linalg.norm(r_m, axis=-1) == pytest.approx(np.full((8, 1), 6878.137e3), abs=20e3)


def test_a_shell_without_steps_is_a_walker() -> None:
    walker = WalkerSpec(
        pattern="star", satellites=12, planes=3, phasing=2, altitude_m=500e3, inclination_deg=86.0, raan_deg=10.0
    )
    same = shell(phasing=2, inclination_deg=86.0, node_spread_deg=180.0, raan_deg=10.0)
    one, other = (planes_of_spec(spec, START) for spec in (walker, layered(same)))
    for name, value in vars(one).items():
        assert value.tolist() == getattr(other, name).tolist()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"planes": 0}, "fleet.shells.1.planes = 0: at least 1 plane is needed"),
        ({"satellites_per_plane": 0}, "fleet.shells.1.satellites_per_plane = 0: at least 1 satellite is needed"),
        ({"inclination_deg": 190.0}, "fleet.shells.1.inclination_deg = 190.0: accepted is 0 to 180"),
        ({"local_time_h": 24.0}, "fleet.shells.1.local_time_h = 24.0: accepted is 0 to below 24 hours"),
        (
            {"altitude_step_m": 5_000e3},
            "fleet.shells.1.altitude_m = 10500000.0: too high for a Sun-synchronous orbit; accepted is below 5,900 km",
        ),
        (
            {"altitude_step_m": -300e3},
            "fleet.shells.1.altitude_m = -100000.0: accepted is 200 to 50000 km",
        ),
    ],
)
def test_bad_shells_are_named(change: dict[str, object], told: str) -> None:
    with pytest.raises(InputError) as caught:
        build_fleet(layered(shell(), shell(**change)), START)
    assert str(caught.value) == told


def test_no_shells() -> None:
    with pytest.raises(InputError) as caught:
        build_fleet(layered(), START)
    assert str(caught.value) == "fleet.shells = []: at least 1 shell is needed"
