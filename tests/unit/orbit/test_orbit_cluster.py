from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from orbital_train.errors import InputError
from orbital_train.orbit.arrays import FloatArray, IntArray
from orbital_train.orbit.cluster import ClusterSpec, lattice
from orbital_train.orbit.ephemeris import Sgp4Ephemeris
from orbital_train.orbit.fleet import Fleet, build_fleet
from orbital_train.orbit.times import sidereal_angle_rad

START = datetime(2026, 3, 20, tzinfo=UTC)
DAY_S = 86_400.0


def suncatcher(**change: object) -> Fleet:
    return build_fleet(ClusterSpec(**{"altitude_m": 650e3, "local_time_h": 18.0, **change}), START)  # type: ignore[arg-type]


def neighbours(fleet: Fleet) -> IntArray:
    """Pairs that are next to each other in a row or a column."""
    place = {(p, s): i for i, (p, s) in enumerate(zip(fleet.plane.tolist(), fleet.slot.tolist(), strict=True))}
    pairs = [(i, place[q]) for (p, s), i in place.items() for q in ((p + 1, s), (p, s + 1)) if q in place]
    return np.array(pairs)


def states(fleet: Fleet, t_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    return Sgp4Ephemeris(fleet.names, fleet.satrecs, START).states(t_s)


def test_81_points_fill_radius_5() -> None:
    points = lattice(81)
    assert len(points) == 81
    assert (points**2).sum(axis=1).max() == 25
    assert lattice(1).tolist() == [[0, 0]]
    assert lattice(2).tolist() == [[-1, 0], [0, 0]]
    assert lattice(5).tolist() == [[-1, 0], [0, -1], [0, 0], [0, 1], [1, 0]]


def test_rows_and_columns_are_planes_and_slots() -> None:
    fleet = suncatcher()
    assert (fleet.pattern, len(fleet), len(neighbours(fleet))) == ("cluster", 81, 140)
    assert (fleet.plane.min(), fleet.plane.max(), fleet.slot.min(), fleet.slot.max()) == (0, 10, 0, 10)
    assert fleet.names[0] == "r0c5"
    assert fleet.names[40] == "r5c5"
    assert (fleet.plane[40], fleet.slot[40]) == (5, 5)


@pytest.mark.parametrize(
    ("first_day", "along_m", "across_m"), [(0, 1000.5, 0.3), (29, 1001.1, 1.2), (364, 1001.1, 13.0)]
)
def test_neighbours_stay_together_for_a_day_by_sgp4(first_day: int, along_m: float, across_m: float) -> None:
    """The 81 of Suncatcher: neighbours 100 to 201 m apart, all within 1 km along track and 0.5 km radially.

    Worst found on the first day: 100.00 and 200.10 m, 1,000.48 m and 500.00 m; 0.2 m across the plane.
    """
    fleet = suncatcher()
    r_m, v_mps = states(fleet, np.arange(0.0, DAY_S + 1.0, 60.0) + first_day * DAY_S)
    a, b = neighbours(fleet).T
    apart_m = np.linalg.norm(r_m[a] - r_m[b], axis=-1)
    assert apart_m.min() >= (100.0 if first_day == 0 else 99.999)
    assert apart_m.max() < 200.3
    centre_m, offset_m = r_m[40], r_m - r_m[40]
    radial = centre_m / np.linalg.norm(centre_m, axis=-1, keepdims=True)
    across = np.cross(centre_m, v_mps[40])
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    assert np.abs((offset_m * radial).sum(-1)).max() < 500.05
    assert np.abs((offset_m * np.cross(across, radial)).sum(-1)).max() < along_m
    assert np.abs((offset_m * across).sum(-1)).max() < across_m


def test_the_centre_flies_at_its_local_time_and_altitude() -> None:
    fleet = suncatcher(satellites=1, local_time_h=6.0)
    (satrec,) = fleet.satrecs
    sidereal_rad = sidereal_angle_rad(START, np.zeros(1))[0][0]
    assert (np.degrees(satrec.nodeo - sidereal_rad) / 15.0) % 24.0 == pytest.approx(6.0, abs=1e-6)
    assert satrec.a * satrec.radiusearthkm - 6378.137 == pytest.approx(650.0, abs=1e-3)
    assert (satrec.ecco, satrec.argpo, satrec.bstar) == (0.001, np.pi / 2, 0.0)
    assert np.degrees(satrec.nodedot) * 1440 == pytest.approx(360 / 365.24219, abs=1e-4)


def test_spacing_scales_the_cluster() -> None:
    fleet = suncatcher(satellites=2, spacing_m=1000.0)
    r_m, _ = states(fleet, np.arange(0.0, 6000.0, 30.0))
    apart_m = np.linalg.norm(r_m[0] - r_m[1], axis=-1)
    assert apart_m.min() == pytest.approx(1000.0, rel=0.002)
    assert apart_m.max() == pytest.approx(2000.0, rel=0.002)


def test_a_selection_keeps_its_places_in_the_lattice() -> None:
    fleet = suncatcher(only_planes=(5,), limit=3)
    assert fleet.names == ("r5c0", "r5c1", "r5c2")
    assert (fleet.plane.tolist(), fleet.slot.tolist()) == ([5, 5, 5], [0, 1, 2])
    assert fleet.satrecs[0].ecco == suncatcher().satrecs[35].ecco


def test_bad_clusters_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        suncatcher(satellites=0)
    assert str(caught.value) == "fleet.satellites = 0: at least 1 satellite is needed"
    with pytest.raises(InputError) as caught:
        suncatcher(local_time_h=24.0)
    assert str(caught.value) == "fleet.local_time_h = 24.0: accepted is 0 to below 24 hours"
