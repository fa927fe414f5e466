"""The closed form of satellites' separation against a search on SGP4's states."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbital_train.orbit.ephemeris import Sgp4Ephemeris
from orbital_train.orbit.fleet import build_fleet
from orbital_train.orbit.separation import closest_planes
from orbital_train.orbit.shells import WalkerSpec, planes_of_spec
from tests.unit.orbit.approach import closest_approach

START = datetime(2026, 3, 20, tzinfo=UTC)


@st.composite
def walkers(draw: st.DrawFn) -> WalkerSpec:
    planes = draw(st.integers(1, 8))
    return WalkerSpec(
        pattern=draw(st.sampled_from(["delta", "star"])),
        satellites=planes * draw(st.integers(2, 12)),
        planes=planes,
        phasing=draw(st.integers(0, planes - 1)),
        altitude_m=draw(st.floats(400e3, 1500e3)),
        inclination_deg=draw(st.floats(0.0, 180.0)),
    )


@given(walkers())
@settings(max_examples=15, deadline=None, derandomize=True)
def test_closed_form_agrees_with_search(spec: WalkerSpec) -> None:
    closed = closest_planes(planes_of_spec(spec, START), np.inf)
    assert closed is not None
    fleet = build_fleet(spec, START)
    ephemeris = Sgp4Ephemeris(fleet.names, fleet.satrecs, START)
    searched = closest_approach(ephemeris, 1.05 * closed.distance_m + 1e3, 86_400.0)
    assert searched is not None
    assert closed.distance_m == pytest.approx(searched.distance_m, rel=0.005, abs=50.0)
