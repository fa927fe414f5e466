from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from orbital_train.orbit.fleet import WalkerSpec, build_fleet
from orbital_train.orbit.planes import planes_of

START = datetime(2026, 3, 20, tzinfo=UTC)


def walker_satrecs(altitude_m: float = 550e3) -> tuple:  # type: ignore[type-arg]
    spec = WalkerSpec(
        pattern="delta",
        satellites=24,
        planes=4,
        phasing=1,
        altitude_m=altitude_m,
        inclination_deg=53.0,
        raan_deg=10.0,
    )
    return build_fleet(spec, START).satrecs


def test_planes_and_slots_of_a_walker_are_found_again_in_any_order() -> None:
    satrecs = walker_satrecs()
    order = np.random.default_rng(3).permutation(24)
    plane, slot = planes_of([satrecs[k] for k in order], START)
    expected_plane, expected_slot = np.divmod(order, 6)
    # Phases are 15 degrees a plane and slots 60 degrees apart, so no slot has passed a whole turn yet.
    assert plane.tolist() == expected_plane.tolist()
    assert slot.tolist() == expected_slot.tolist()


def test_planes_are_those_of_the_start_not_of_the_epochs() -> None:
    """Ten days on the nodes have moved 45 degrees west, all together."""
    satrecs = walker_satrecs()
    plane, _ = planes_of(satrecs, START + timedelta(days=10))
    assert np.unique(plane).size == 4
    # 10 degrees went below zero to 325: the first plane is now the easternmost.
    assert plane.reshape(4, 6)[:, 0].tolist() == [3, 0, 1, 2]


def test_shells_in_the_same_plane_are_kept_apart_lower_first() -> None:
    plane, _ = planes_of([*walker_satrecs(600e3), *walker_satrecs(550e3)], START)
    assert plane[:24].min() == 4
    assert plane[24:].max() == 3


def test_one_satellite() -> None:
    plane, slot = planes_of(walker_satrecs()[:1], START)
    assert (plane.tolist(), slot.tolist()) == ([0], [0])
