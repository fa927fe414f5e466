from __future__ import annotations

import pytest

from orbital_train.errors import InputError
from orbital_train.windows.field_of_regard import FieldOfRegard
from orbital_train.windows.link_checks import refuse_bad_links
from orbital_train.windows.links import LinkSpec
from orbital_train.windows.rates import PhotonBudget
from orbital_train.windows.sites import SiteLinkSpec

FORE = FieldOfRegard(azimuth_deg=0.0, elevation_deg=0.0, half_angle_deg=60.0)
AFT = FieldOfRegard(azimuth_deg=180.0, elevation_deg=0.0, half_angle_deg=60.0)


def link_spec(**change: object) -> LinkSpec:
    usual = {"topology": "grid", "max_range_m": 5.4e6, "rate_bps": 1e11, "ground_rate_bps": 1e9}
    return LinkSpec(**{**usual, **change})  # type: ignore[arg-type]


def site(**change: object) -> dict[str, object]:
    usual = {"mask_deg": 20.0, "down_bps": 1e9, "up_bps": 1e9}
    return {"site_links": {"madrid": SiteLinkSpec(**{**usual, **change})}}  # type: ignore[arg-type]


def field(**change: float) -> dict[str, object]:
    usual = {"azimuth_deg": 0.0, "elevation_deg": 0.0, "half_angle_deg": 60.0}
    return {"terminals": 1, "fields_of_regard": (FieldOfRegard(**{**usual, **change}),)}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sun_exclusion_deg": 90.0}, "links.sun_exclusion_deg = 90.0: accepted is 0 to below 90"),
        ({"minimum_life_s": -1.0}, "links.minimum_life_s = -1.0: accepted is 0 or more seconds"),
        (
            {"rate_law": PhotonBudget(loss_db=80.0)},
            "links.photons = '5 W': gives 0.00484 Mbit/s at links.maximum_range_km = 5400; a link needs at least "
            "1 Mbit/s, which this budget gives up to 376 km",
        ),
        (
            {"fields_of_regard": (FORE, AFT)},
            "links.fields_of_regard = '2 fields': accepted is one for each terminal, and links.terminals is 4",
        ),
        (
            {"fields_of_regard": (FORE, AFT), "terminals": 2, "topology": "nearest"},
            "links.fields_of_regard = '2 different fields': with topology 'nearest' any terminal serves any link: all "
            "of them need the same field",
        ),
        (field(elevation_deg=91.0), "links.fields_of_regard.elevation_deg = 91.0: accepted is -90 to 90"),
        (field(half_angle_deg=0.0), "links.fields_of_regard.half_angle_deg = 0.0: accepted is above 0 to 180"),
        (site(mask_deg=90.0), "ground_sites.mask_deg = 90.0: madrid: accepted is 0 to below 90"),
        (site(up_bps=0.0), "ground_sites.rate_gbps = 0.0: madrid: accepted is a number above 0"),
    ],
)
def test_what_cannot_be_flown_is_refused(change: dict[str, object], told: str) -> None:
    with pytest.raises(InputError) as caught:
        refuse_bad_links(link_spec(**change))
    assert str(caught.value) == told


def test_what_can_be_flown_is_not() -> None:
    refuse_bad_links(link_spec(**site(mask_deg=0.0)))
    refuse_bad_links(link_spec(fields_of_regard=(FORE, AFT), terminals=2))
    refuse_bad_links(link_spec(fields_of_regard=(FORE, FORE), terminals=2, topology="nearest"))
    refuse_bad_links(link_spec(rate_law=PhotonBudget()))
