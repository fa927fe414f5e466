"""The closed form of satellites' separation against a search on SGP4's states."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbital_train.orbit.ephemeris import Sgp4Ephemeris
from orbital_train.orbit.fleet import build_fleet
from orbital_train.orbit.separation import closest_planes, plane_distance_m
from orbital_train.orbit.shells import LayeredSpec, ShellSpec, WalkerSpec, planes_of_spec
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
@settings(max_examples=8, deadline=None, derandomize=True)
def test_closed_form_agrees_with_search(spec: WalkerSpec) -> None:
    closed = closest_planes(planes_of_spec(spec, START), np.inf)
    assert closed is not None
    fleet = build_fleet(spec, START)
    ephemeris = Sgp4Ephemeris(fleet.names, fleet.satrecs, START)
    searched = closest_approach(ephemeris, 1.05 * closed.distance_m + 1e3, 86_400.0)
    assert searched is not None
    assert closed.distance_m == pytest.approx(searched.distance_m, rel=0.005, abs=50.0)


@st.composite
def shells(draw: st.DrawFn) -> ShellSpec:
    """Of few altitudes and inclinations, so that several shells often have the same ones."""
    return ShellSpec(
        planes=draw(st.integers(1, 12)),
        satellites_per_plane=draw(st.sampled_from([1, 2, 5, 8])),
        altitude_m=draw(st.sampled_from([550e3, 550.4e3, 600e3, 36_000e3])),
        altitude_step_m=draw(st.sampled_from([0.0, 0.0, 0.3, 200.0, -1500.0])),
        inclination_deg=draw(st.sampled_from([0.0, 30.0, 53.0, 90.0, None])) if draw(st.booleans()) else 53.0,
        phasing=draw(st.floats(0.0, 3.0)),
        node_spread_deg=draw(st.sampled_from([0.0, 90.0, 180.0, 360.0])),
        raan_deg=draw(st.sampled_from([0.0, 0.0, 7.0])),
    )


@given(st.lists(shells(), min_size=1, max_size=4), st.sampled_from([100.0, 1e4, np.inf]))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_the_closest_planes_are_those_of_all_pairs(several: list[ShellSpec], below_m: float) -> None:
    several = [s for s in several if s.inclination_deg is not None or s.altitude_m < 5_900e3]
    if not several:
        return
    planes = planes_of_spec(LayeredSpec(shells=tuple(several)), START)
    p, q = np.triu_indices(planes.satellites.size, 1)
    along_m = np.where(planes.satellites > 1, 2 * planes.axis_m * np.sin(np.pi / planes.satellites), np.inf)
    own = np.array([along_m.argmin()])
    every_m = np.concatenate([along_m[own], plane_distance_m(planes, p, q)])
    equal = np.flatnonzero(every_m <= every_m.min() + 1.1e-3)
    found = closest_planes(planes, below_m)
    if found is None:
        assert every_m.min() >= below_m - 1e-3
        return
    assert found.distance_m == pytest.approx(every_m.min(), abs=1.1e-3)
    assert (found.a, found.b) in zip(np.append(own, p)[equal].tolist(), np.append(own, q)[equal].tolist(), strict=True)
