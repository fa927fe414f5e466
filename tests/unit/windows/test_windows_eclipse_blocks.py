"""Eclipses of large fleets are those of small ones."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime

import numpy as np
import pytest

from orbital_train.orbit.ephemeris import Sgp4Ephemeris
from orbital_train.orbit.fleet import build_fleet
from orbital_train.orbit.shells import LayeredSpec, ShellSpec
from orbital_train.windows.eclipse_blocks import eclipses_of_blocks, joined_eclipses
from orbital_train.windows.light import LightSpec
from orbital_train.windows.measures import Eclipses, eclipses
from tests.sampled import illuminate

START = datetime(2026, 6, 21, tzinfo=UTC)
HORIZON_S = 8_000.0
# Dawn-dusk satellites without eclipses and with short ones, and inclined ones in and out of the shadow at the start.
SHELLS = (
    ShellSpec(
        planes=8, satellites_per_plane=3, altitude_m=500e3, altitude_step_m=130e3, inclination_deg=None,
        local_time_h=18.0, node_spread_deg=0.0,
    ),
    ShellSpec(planes=4, satellites_per_plane=5, altitude_m=800e3, inclination_deg=53.0, phasing=1.0),
)  # fmt: skip
FLEET = build_fleet(LayeredSpec(shells=SHELLS), START)


def measured(block: int, spec: LightSpec) -> Eclipses:
    parts = [slice(i, i + block) for i in range(0, len(FLEET), block)]
    blocks = (Sgp4Ephemeris(FLEET.names[p], FLEET.satrecs[p], START) for p in parts)
    return joined_eclipses(list(eclipses_of_blocks(blocks, START, HORIZON_S, spec)))


@pytest.mark.parametrize("spec", [LightSpec(), LightSpec(shadow_margin_m=20e3)])
def test_blocks_of_satellites_are_measured_as_the_light_on_all(spec: LightSpec) -> None:
    everyone = Sgp4Ephemeris(FLEET.names, FLEET.satrecs, START)
    whole = eclipses(illuminate(everyone, len(FLEET), START, HORIZON_S, spec))
    assert (whole.umbra == 0.0).any()
    assert whole.umbra.max() > 0.2
    for block in (1, 7, len(FLEET)):
        streamed = measured(block, spec)
        for field in fields(Eclipses):
            ours, theirs = getattr(streamed, field.name), getattr(whole, field.name)
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9, err_msg=field.name)
