"""What the user gets wrong about links is told in one line, in the recipe's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import small
from tests.unit.cli.command import refused

CLOUDY_RADIO = 'ground_sites=[{name="Oslo", latitude_deg=59.9, longitude_deg=10.7, medium="radio", cloud_fraction=0.5}]'
EXPLICIT = "links.topology=explicit"


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            ["links.photons={transmit_w=1e-6}"],
            "links.photons = '1e-06 W': gives 0.0243 Mbit/s at links.maximum_range_km = 5400; a link needs at least "
            "1 Mbit/s, which this budget gives up to 842 km",
        ),
        (
            ["links.rate_table=[[1000, 10.0]]"],
            "links.rate_table = [[1000.0, 10.0]]: ends at 1000 km, and links reach to links.maximum_range_km = 5400",
        ),
        (
            ["links.fields_of_regard=[{azimuth_deg=0, half_angle_deg=40}]"],
            "links.fields_of_regard = '1 fields': accepted is one for each terminal, and links.terminals is 2",
        ),
        ([EXPLICIT], "links.pairs = []: topology 'explicit' needs at least one pair of satellite names"),
        (
            [EXPLICIT, 'links.pairs=[["p0s0", "p9s0"]]'],
            "links.pairs = ['p0s0', 'p9s0']: 'p9s0' is no satellite; did you mean 'p5s0'?",
        ),
        (
            [CLOUDY_RADIO],
            "ground_sites.0.cloud_fraction = 0.5: clouds stop only optical sites; leave it out",
        ),
        (
            ["links.topology=ring", "fleet.planes=1", "fleet.phasing=0"],
            "links.topology = 'ring': 6 satellites in a plane see their neighbours only from an altitude of 1079 km "
            "(p0s0 and p0s1)",
        ),
    ],
)
def test_what_links_cannot_be(tmp_path: Path, overrides: list[str], told: str) -> None:
    recipe = small.write_recipe(tmp_path)
    settings = [part for override in overrides for part in ("--set", override)]
    assert refused("plan", recipe, *settings, "--out", tmp_path / "out") == f"{recipe}: {told}"
    assert not (tmp_path / "out").exists()
