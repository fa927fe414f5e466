"""Ground passes that Skyfield and brahe compute with the same propagator: low, Molniya, transfer and 12-hour orbits."""

from __future__ import annotations

import numpy as np
import pytest

from tests.reference import cases


@pytest.mark.parametrize("name", cases.flown())
def test_skyfield_find_events(name: str) -> None:
    """Achieved: 0.24 s from find_events, which itself stops within half a second; 0.002 s from its elevation."""
    events_s, elevation_s = cases.skyfield_pass_misses_s(name)
    assert events_s.size >= 8
    assert events_s.max() < 1.0
    assert np.abs(elevation_s).max() < 0.01


@pytest.mark.parametrize("name", cases.flown())
def test_brahe_location_accesses(name: str) -> None:
    """Achieved: 0.06 s (brahe turns the Earth by the IAU 2006 rotation, we by the IAU 1982 sidereal time)."""
    misses_s = cases.brahe_pass_misses_s(name)
    assert misses_s.size >= 16
    assert np.abs(misses_s).max() < 1.0
