"""The recipe's keys for links and sites, in the units and dataclasses of the layers that use them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from orbital_train.config import build
from orbital_train.config.load import dump_recipe, parse_recipe
from orbital_train.errors import InputError
from orbital_train.windows.field_of_regard import FieldOfRegard
from orbital_train.windows.rates import PhotonBudget, RateTable
from orbital_train.windows.sites import SiteLinkSpec
from tests import small

LOOKING = "{azimuth_deg=0, half_angle_deg=40}, {azimuth_deg=180, elevation_deg=-10, half_angle_deg=40}"
FIELDS = f"links.fields_of_regard=[{LOOKING}]"
SITES = """ground_sites=[
  {name="Oslo", latitude_deg=59.9, longitude_deg=10.7},
  {name="Hobart", latitude_deg=-42.9, longitude_deg=147.3, medium="radio", rate_gbps=3.0, uplink_gbps=0.5},
  {name="Quito", latitude_deg=-0.2, longitude_deg=-78.5, mask_deg=30},
]""".replace("\n", "")


def test_usual_links(tmp_path: Path) -> None:
    links = build.link_spec(small.recipe(tmp_path))
    assert (links.sun_exclusion_deg, links.minimum_life_s, links.fields_of_regard) == (5.0, 60.0, ())
    assert (links.rate_law, links.pairs, links.site_links) == (None, (), {})
    assert links.terrestrial_bps is None


def test_a_network_between_sites(tmp_path: Path) -> None:
    assert build.link_spec(small.recipe(tmp_path, "links.terrestrial_gbps=2.5")).terrestrial_bps == 2.5e9
    with pytest.raises(InputError) as caught:
        small.recipe(tmp_path, "links.terrestrial_gbps=0")
    assert str(caught.value) == "links.terrestrial_gbps = 0: must be greater than 0"


def test_rates_by_photons_or_by_table(tmp_path: Path) -> None:
    usual = build.link_spec(small.recipe(tmp_path, "links.photons={}"))
    assert usual.rate_law == PhotonBudget()
    own = "links.photons={transmit_w=1, aperture_cm=8, wavelength_nm=1064, loss_db=3, photons_per_bit=100}"
    assert build.link_spec(small.recipe(tmp_path, own)).rate_law == PhotonBudget(
        transmit_w=1.0,
        transmit_aperture_m=0.08,
        receive_aperture_m=0.08,
        wavelength_m=1064e-9,
        loss_db=3.0,
        photons_per_bit=100.0,
    )
    table = build.link_spec(small.recipe(tmp_path, "links.rate_table=[[1000, 200], [5400, 25.5]]"))
    assert table.rate_law == RateTable(range_m=(1e6, 5.4e6), rate_bps=(200e9, 25.5e9))


def test_fields_of_regard(tmp_path: Path) -> None:
    assert build.link_spec(small.recipe(tmp_path, FIELDS)).fields_of_regard == (
        FieldOfRegard(azimuth_deg=0.0, elevation_deg=0.0, half_angle_deg=40.0),
        FieldOfRegard(azimuth_deg=180.0, elevation_deg=-10.0, half_angle_deg=40.0),
    )


def test_sites_have_the_usual_mask_of_their_medium_the_recipes_or_their_own(tmp_path: Path) -> None:
    sites = build.link_spec(small.recipe(tmp_path, SITES))
    assert sites.site_links == {
        "Oslo": SiteLinkSpec(mask_deg=20.0, down_bps=1.8e9, up_bps=1.8e9),
        "Hobart": SiteLinkSpec(medium="radio", mask_deg=10.0, down_bps=3e9, up_bps=0.5e9),
        "Quito": SiteLinkSpec(mask_deg=30.0, down_bps=1.8e9, up_bps=1.8e9),
    }
    same = build.link_spec(small.recipe(tmp_path, SITES, "links.ground_mask_deg=15"))
    assert [own.mask_deg for own in same.site_links.values()] == [15.0, 15.0, 30.0]
    assert [site.name for site in build.ground_sites(small.recipe(tmp_path, SITES))] == ["Oslo", "Hobart", "Quito"]


def test_a_recipe_with_all_of_it_survives_being_written(tmp_path: Path) -> None:
    recipe = small.recipe(
        tmp_path, FIELDS, SITES, "links.topology=explicit", 'links.pairs=[["p0s0", "p1s0"]]', "links.photons={}"
    )
    assert parse_recipe(tomllib.loads(dump_recipe(recipe))) == recipe
    assert build.link_spec(recipe).pairs == (("p0s0", "p1s0"),)


def test_a_rate_by_table_and_by_photons_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        build.link_spec(small.recipe(tmp_path, "links.photons={}", "links.rate_table=[[5400, 25.0]]"))
    assert str(caught.value) == "links.rate_table = '1 rows': give this or links.photons, not both"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        (
            "links.topology=star",
            "links.topology = 'star': must be 'ring', 'grid', 'nearest', 'all_visible', 'explicit' or 'ground_relay'",
        ),
        ("links.pairs=[['a']]", "links.pairs.0 = ['a']: is too short: entry 2 is missing"),
        ("links.pairs=[['a', 'b', 'c']]", "links.pairs.0 = ['a', 'b', 'c']: must be an array of 2, not of 3"),
        ("links.rate_table=[[1, 2, 3]]", "links.rate_table.0 = [1, 2, 3]: must be an array of 2, not of 3"),
        ("links.rate_gbps=1e300", "links.rate_gbps = 1e+300: must be less than or equal to 1000000"),
        ("links.maximum_range_km=1e9", "links.maximum_range_km = 1000000000.0: must be less than or equal to 1000000"),
        ("links.minimum_life_s=1e6", "links.minimum_life_s = 1000000.0: must be less than or equal to 86400"),
        (
            'ground_sites=[{name=" ", latitude_deg=0, longitude_deg=0}]',
            "ground_sites.0.name = ' ': must not be empty",
        ),
        (
            'ground_sites=[{name="O", latitude_deg=0, longitude_deg=0, cloudy_h=1e-9}]',
            "ground_sites.0.cloudy_h = 1e-09: must be greater than or equal to 0.01",
        ),
        ("links.sun_exclusion_deg=90", "links.sun_exclusion_deg = 90: must be less than 90"),
        (
            "links.photons={watts=5}",
            "links.photons.watts = 5: unknown key; accepted: transmit_w, aperture_cm, "
            "wavelength_nm, loss_db, photons_per_bit",
        ),
        ("links.rate_table=[[5400, 0]]", "links.rate_table.0.1 = 0: must be greater than 0"),
        (
            'ground_sites=[{name="O", latitude_deg=0, longitude_deg=0, medium="laser"}]',
            "ground_sites.0.medium = 'laser': must be 'optical' or 'radio'",
        ),
        (
            "links.fields_of_regard=[{azimuth_deg=360, half_angle_deg=1}]",
            "links.fields_of_regard.0.azimuth_deg = 360: must be less than 360",
        ),
    ],
)
def test_bad_values_are_told(tmp_path: Path, override: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        small.recipe(tmp_path, override)
    assert str(caught.value) == told
