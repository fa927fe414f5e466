from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from orbital_train.errors import InputError
from orbital_train.orbit.constants import LIGHT_SPEED_MPS
from orbital_train.orbit.ephemeris import GroundSite, Sgp4Ephemeris, SiteEphemeris, joined
from orbital_train.orbit.fleet import SunSynchronousSpec, build_fleet
from orbital_train.windows.links import LinkSpec
from orbital_train.windows.plan import COLUMNS, ContactPlan, LinkKind
from orbital_train.windows.terrestrial import great_circles_m
from tests.sampled import contact_plan

START = datetime(2026, 3, 20, tzinfo=UTC)
KIRUNA = GroundSite("kiruna", 67.86, 20.2, 400.0, terminals=2)
SVALBARD = GroundSite("svalbard", 78.2, 15.4)
TROLL = GroundSite("troll", -72.0, 2.5)
HORIZON_S = 6 * 3600.0


def plan(sites: tuple[GroundSite, ...], **change: object) -> ContactPlan:
    fleet = build_fleet(SunSynchronousSpec(satellites=3, altitude_m=550e3, local_time_h=10.5), START)
    spec = LinkSpec(topology="ground_relay", max_range_m=5e6, rate_bps=1e11, ground_rate_bps=1e9)
    nodes = joined(Sgp4Ephemeris(fleet.names, fleet.satrecs, START), SiteEphemeris(sites, START))
    return contact_plan(fleet, nodes, sites, replace(spec, **change), HORIZON_S)  # type: ignore[arg-type]


def test_any_two_sites_are_linked_for_good_and_nothing_else_changes() -> None:
    without, joined_up = (plan((KIRUNA, SVALBARD, TROLL), **c) for c in ({}, {"terrestrial_bps": 1e10}))
    cable = joined_up.kind == LinkKind.TERRESTRIAL
    assert [*zip(joined_up.source[cable].tolist(), joined_up.dest[cable].tolist(), strict=True)] == [
        (3, 4), (3, 5), (4, 3), (4, 5), (5, 3), (5, 4),
    ]  # fmt: skip
    assert joined_up.acquire_start_s[cable].tolist() == joined_up.start_s[cable].tolist() == [0.0] * 6
    assert joined_up.end_s[cable].tolist() == [HORIZON_S] * 6
    assert joined_up.rate_bps[cable].tolist() == [1e10] * 6
    link = joined_up.link_id[cable] - joined_up.link_id[~cable].max() - 1
    assert link.tolist() == [0, 1, 0, 2, 1, 2]
    assert joined_up.contact_id.tolist() == list(range(len(joined_up)))
    for name in COLUMNS:
        if name != "contact_id":
            assert getattr(joined_up, name)[~cable].tolist() == getattr(without, name).tolist()


def test_each_cable_has_a_port_of_its_own_beside_the_site_s_terminals() -> None:
    found = plan((KIRUNA, SVALBARD, TROLL), terrestrial_bps=1e10)
    cable = found.kind == LinkKind.TERRESTRIAL
    ports = {}
    for source, dest, here, there in zip(
        *(getattr(found, c)[cable].tolist() for c in ("source", "dest", "source_terminal", "dest_terminal")),
        strict=True,
    ):
        ports[source, dest] = here
        assert ports.get((dest, source), there) == there
    assert len({(source, port) for (source, _), port in ports.items()}) == 6
    assert all(port >= (2 if source == 3 else 1) for (source, _), port in ports.items())


def test_light_takes_half_as_long_again_as_along_the_surface_in_vacuum() -> None:
    """From pole to pole is half of the meridian, 20,004 km on the ellipsoid; a quarter of the equator is exact here."""
    sites = (GroundSite("north", 90.0, 0.0), GroundSite("south", -90.0, 0.0), GroundSite("gulf", 0.0, 0.0),
             GroundSite("congo", 0.0, 90.0))  # fmt: skip
    apart_m = great_circles_m(sites)
    assert apart_m[0, 1] == pytest.approx(20_003_931.0, rel=2e-3)
    assert apart_m[2, 3] == pytest.approx(10_018_754.17, abs=1.0)
    assert np.diag(apart_m).tolist() == [0.0] * 4
    found = plan(sites[2:], terrestrial_bps=1e10)
    cable = found.kind == LinkKind.TERRESTRIAL
    assert found.owlt_s[cable] == pytest.approx(np.full(2, 1.5 * 10_018_754.17 / LIGHT_SPEED_MPS))


def test_one_site_or_none_has_nobody_to_be_linked_to() -> None:
    found = plan((KIRUNA,), terrestrial_bps=1e10)
    assert len(found)
    assert set(found.kind.tolist()) == {LinkKind.GROUND}
    assert len(plan((), topology="all_visible", terrestrial_bps=1e10)) == 0


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        plan((KIRUNA, SVALBARD), terrestrial_bps=0.0)
    assert str(caught.value) == "links.terrestrial_bps = 0.0: accepted is a number above 0, or none"
