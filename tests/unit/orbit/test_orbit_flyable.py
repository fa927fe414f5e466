from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from sgp4.api import WGS72, Satrec

from orbital_train.errors import InputError, InputWarning
from orbital_train.orbit.ephemeris import Sgp4Ephemeris
from orbital_train.orbit.fleet import ElementFileSpec, Fleet, build_fleet
from orbital_train.orbit.flyable import flyable
from orbital_train.orbit.mean_elements import circular_satrec
from tests.unit.orbit.test_orbit_fleet import SNAPSHOT

START = datetime(2026, 3, 20, tzinfo=UTC)
DAY_S = 86_400.0


def falling(drag: float, eccentricity: float = 0.0, anomaly: float = 0.0) -> Satrec:
    satrec = Satrec()
    satrec.sgp4init(WGS72, "i", 1, 27838.0, drag, 0.0, 0.0, eccentricity, 0.0, 0.9, anomaly, 0.0695, 0.0)
    return satrec


def fleet(*satrecs: Satrec) -> Fleet:
    names = tuple("ABCDEFGH"[: len(satrecs)])
    number = np.arange(len(satrecs))
    return Fleet(names, satrecs, number * 0, number, "file", path="sky.tle")


def steady() -> Satrec:
    return circular_satrec(START, 0.066, 0.9, 0.0, 0.0)


def test_all_that_fly_stay_as_they_are() -> None:
    made = fleet(steady(), falling(0.01))
    assert flyable(made, START, 2 * DAY_S, drop_failing=False) is made


def test_who_falls_is_named_with_the_time() -> None:
    """To a minute: the falls are looked at more closely than the rest."""
    made = fleet(falling(0.01), steady(), falling(0.02))
    with pytest.raises(InputError) as caught:
        flyable(made, START, 20 * DAY_S, drop_failing=False)
    assert str(caught.value) == (
        "fleet.path = 'C': SGP4 at 2026-03-21T16:25:00Z (145500 s after the start): altitude 100 km, it has decayed; "
        "then A (294120 s: altitude 100 km, it has decayed); use newer elements, a shorter horizon, or "
        "fleet.drop_failing = true"
    )


def test_who_falls_is_left_out_if_so_wished() -> None:
    made = fleet(falling(0.01), steady(), *(falling(0.01 + 0.001 * k) for k in range(1, 4)), steady())
    with pytest.warns(InputWarning) as caught:
        left = flyable(made, START, 20 * DAY_S, drop_failing=True)
    assert (left.names, left.slot.tolist(), left.path) == (("B", "F"), [0, 1], "sky.tle")
    told = str(caught[0].message)
    assert told.startswith(
        "fleet.path = 'sky.tle': 4 of 6 satellites fail before the horizon and are left out: E, D, C and 1 more; "
        "the first "
    )
    assert told.endswith(" it has decayed")


def test_when_all_fall_none_is_left_out() -> None:
    with pytest.raises(InputError) as caught:
        flyable(fleet(falling(0.01)), START, 20 * DAY_S, drop_failing=True)
    assert str(caught.value) == (
        "fleet.path = 'A': SGP4 at 2026-03-23T09:42:00Z (294120 s after the start): altitude 100 km, it has decayed; "
        "all fail: use newer elements or a shorter horizon"
    )


def test_a_low_perigee_between_two_looks_is_found() -> None:
    """Perigee 95 km, apogee 495 km, and the first orbits are looked at 60, 180 and 300 degrees from perigee."""
    dipping = falling(0.0, eccentricity=0.03, anomaly=np.pi / 3)
    ephemeris = Sgp4Ephemeris(("A",), (dipping,), START)
    failures, _ = ephemeris.failures(np.arange(0.0, 4 * 3600.0, 1800.0))
    assert failures == []
    with pytest.raises(InputError, match="it has decayed"):
        flyable(fleet(dipping), START, 4 * 3600.0, drop_failing=False)


@pytest.mark.skipif(not SNAPSHOT.exists(), reason="the Starlink snapshot is not here")
def test_the_snapshot_flies_two_days_without_one() -> None:
    start = datetime(2024, 5, 21, tzinfo=UTC)
    whole = build_fleet(ElementFileSpec(path=SNAPSHOT, format="omm"), start)
    with pytest.warns(
        InputWarning, match="1 of 5977 satellites fail before the horizon and are left out: STARLINK-1851"
    ):
        left = flyable(whole, start, 2 * DAY_S, drop_failing=True)
    assert len(left) == 5976
    Sgp4Ephemeris(left.names, left.satrecs, start).states(np.arange(0.0, 2 * DAY_S + 1, 1200.0))
