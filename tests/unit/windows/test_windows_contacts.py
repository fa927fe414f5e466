from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime

import numpy as np
import pytest

from orbital_train.errors import InputError
from orbital_train.orbit.constants import LIGHT_SPEED_MPS
from orbital_train.orbit.ephemeris import Ephemeris, GroundSite, Sgp4Ephemeris, SiteEphemeris, joined
from orbital_train.orbit.fleet import Fleet, SunSynchronousSpec, WalkerSpec, build_fleet
from orbital_train.orbit.grid import sample
from orbital_train.windows.contacts import plan_links
from orbital_train.windows.links import LinkSpec, Opportunities, opportunities_on_grid
from orbital_train.windows.plan import ContactPlan, LinkKind
from tests.sampled import contact_plan, opportunities

START = datetime(2026, 3, 20, tzinfo=UTC)
SITES = (GroundSite("kiruna", 67.86, 20.2, 400.0, terminals=2), GroundSite("svalbard", 78.2, 15.4))
DAY_S = 86400.0


def ring(satellites: int = 12) -> Fleet:
    spec = WalkerSpec(
        pattern="delta", satellites=satellites, planes=1, phasing=0, altitude_m=500e3, inclination_deg=97.4
    )
    return build_fleet(spec, START)


def star() -> Fleet:
    spec = WalkerSpec(pattern="star", satellites=24, planes=4, phasing=1, altitude_m=1200e3, inclination_deg=87.0)
    return build_fleet(spec, START)


def nodes(fleet: Fleet, sites: tuple[GroundSite, ...] = SITES) -> Ephemeris:
    return joined(Sgp4Ephemeris(fleet.names, fleet.satrecs, START), SiteEphemeris(sites, START))


def link_spec(**change: object) -> LinkSpec:
    usual = {"topology": "ring", "max_range_m": 6e6, "rate_bps": 1e11, "ground_rate_bps": 1e9}
    return LinkSpec(**{**usual, **change})  # type: ignore[arg-type]


def columns(plan: ContactPlan) -> list[list[float]]:
    names = ("link_id", "source", "dest", "source_terminal", "dest_terminal", "start_s", "end_s", "rate_bps", "owlt_s")
    return [getattr(plan, name).tolist() for name in names]


def test_ring_of_twelve_has_always_on_links_and_ground_passes() -> None:
    fleet = ring()
    plan = contact_plan(fleet, nodes(fleet), SITES, link_spec(), DAY_S)
    assert plan.node_names == (*fleet.names, "kiruna", "svalbard")
    space = plan.kind == LinkKind.ISL
    assert space.sum() == 24
    assert (plan.start_s[space] == 30.0).all()
    assert (plan.acquire_start_s[space] == 0.0).all()
    assert (plan.end_s[space] == DAY_S).all()
    assert (plan.rate_bps[space] == 1e11).all()
    # Even neighbours are 2 r sin(15 degrees) = 3,560 km apart, give or take the oblateness.
    assert plan.owlt_s[space] * LIGHT_SPEED_MPS == pytest.approx(np.full(24, 3560.3e3), abs=12e3)
    ground = ~space
    assert ground.sum() > 100
    assert (plan.rate_bps[ground] == 1e9).all()
    assert set(plan.source_terminal[ground & (plan.source < 12)]) == {4}
    assert set(plan.source_terminal[plan.source == 12]) <= {0, 1}
    assert set(plan.source_terminal[plan.source == 13]) == {0}


def test_rows_are_pairs_of_directions_in_order() -> None:
    fleet = ring()
    plan = contact_plan(fleet, nodes(fleet), SITES, link_spec(), DAY_S)
    assert plan.contact_id.tolist() == list(range(len(plan)))
    assert (np.diff(plan.start_s) >= 0).all()
    out, back = slice(0, None, 2), slice(1, None, 2)
    assert (plan.link_id[out] == plan.link_id[back]).all()
    assert np.unique(plan.link_id).size * 2 == len(plan)
    assert (plan.source[out] == plan.dest[back]).all()
    assert (plan.source_terminal[out] == plan.dest_terminal[back]).all()
    assert plan.start_s - plan.acquire_start_s == pytest.approx(30.0)


def test_contacts_lie_inside_opportunities_after_acquisition() -> None:
    fleet = star()
    spec = link_spec(topology="all_visible")
    plan = contact_plan(fleet, nodes(fleet), SITES, spec, 20_000.0)
    found = opportunities(fleet, nodes(fleet), SITES, spec, 20_000.0)
    forward = np.flatnonzero(plan.source < plan.dest)
    for row in forward:
        fits = (found.a == plan.source[row]) & (found.b == plan.dest[row]) & (found.end_s == plan.end_s[row])
        assert (found.start_s[fits] <= plan.acquire_start_s[row]).all()
        assert fits.sum() == 1


@pytest.mark.parametrize(("topology", "every"), [("grid", 1), ("all_visible", 37)])
def test_light_time_is_that_of_the_largest_range(topology: str, every: int) -> None:
    """Never too early, and not a millionth of a second too late, also where the peak is inside the contact."""
    fleet = star()
    ephemeris = nodes(fleet)
    plan = contact_plan(fleet, ephemeris, SITES, link_spec(topology=topology, max_range_m=9e6), 6_000.0)
    peaks_inside = 0
    for row in range(0, len(plan), 2 * every):
        t_s = np.linspace(plan.start_s[row], plan.end_s[row], 400)
        r_m, _ = ephemeris.states(t_s)
        range_m = np.linalg.norm(r_m[plan.source[row]] - r_m[plan.dest[row]], axis=-1)
        assert plan.owlt_s[row] == pytest.approx(range_m.max() / LIGHT_SPEED_MPS, abs=1e-6)
        assert plan.owlt_s[row] > range_m.max() / LIGHT_SPEED_MPS - 1e-8
        peaks_inside += 0 < int(range_m.argmax()) < 399
    assert peaks_inside > 0


def test_plan_is_deterministic() -> None:
    fleet = star()
    plans = [contact_plan(fleet, nodes(fleet), SITES, link_spec(topology="all_visible"), 20_000.0) for _ in range(2)]
    assert columns(plans[0]) == columns(plans[1])


def test_more_terminals_make_more_contact_time() -> None:
    fleet = star()
    spec = link_spec(topology="all_visible")
    seconds = []
    for terminals in (1, 2, 4):
        plan = contact_plan(fleet, nodes(fleet), (), replace(spec, terminals=terminals), 10_000.0)
        seconds.append(float((plan.end_s - plan.start_s).sum()))
    assert seconds[0] < seconds[1] < seconds[2]


def test_one_satellite_without_partners() -> None:
    fleet = build_fleet(SunSynchronousSpec(satellites=1, altitude_m=325e3, local_time_h=12.0), START)
    alone = contact_plan(fleet, Sgp4Ephemeris(fleet.names, fleet.satrecs, START), (), link_spec(topology="grid"), DAY_S)
    assert len(alone) == 0
    served = contact_plan(fleet, nodes(fleet), SITES, link_spec(topology="all_visible"), DAY_S)
    assert len(served) > 10


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"max_range_m": 0.0}, "links.max_range_m"),
        ({"rate_bps": -1.0}, "links.rate_bps"),
        ({"ground_rate_bps": 0.0}, "links.ground_rate_bps"),
        ({"max_rate_deg_s": 0.0}, "links.max_rate_deg_s"),
        ({"terminals": 0}, "links.terminals"),
        ({"acquisition_s": -1.0}, "links.acquisition_s"),
        ({"grazing_altitude_m": 300e3}, "links.grazing_altitude_m"),
        ({"ground_mask_deg": 90.0}, "links.ground_mask_deg"),
    ],
)
def test_bad_specs_are_refused(change: dict[str, object], key: str) -> None:
    fleet = ring()
    with pytest.raises(InputError) as caught:
        contact_plan(fleet, nodes(fleet), SITES, link_spec(**change), DAY_S)
    assert caught.value.key == key


def test_nearest_links_are_taken_from_the_opportunities_of_all_visible_pairs() -> None:
    fleet = star()
    grid = sample(nodes(fleet), 20_000.0, 60.0)
    spec = link_spec(topology="nearest", max_rate_deg_s=0.3)
    planned = plan_links(fleet, grid, SITES, spec)
    every, found = (
        opportunities_on_grid(fleet, grid, SITES, replace(spec, topology="all_visible")),
        planned.opportunities,
    )
    assert all((getattr(found, f.name) == getattr(every, f.name)).all() for f in fields(Opportunities))
    plan = planned.contacts
    forward = np.flatnonzero(plan.source < plan.dest)
    assert forward.size < 0.9 * len(found)
    for row in forward:
        same = (found.a == plan.source[row]) & (found.b == plan.dest[row])
        fits = (found.start_s <= plan.acquire_start_s[row] + 1e-6) & (plan.end_s[row] <= found.end_s + 2e-3)
        assert (same & fits).sum() == 1


def test_nearest_links_of_many_satellites_are_their_own_opportunities() -> None:
    spec = WalkerSpec(pattern="delta", satellites=700, planes=28, phasing=1, altitude_m=1200e3, inclination_deg=60.0)
    fleet = build_fleet(spec, START)
    grid = sample(Sgp4Ephemeris(fleet.names, fleet.satrecs, START), 4_500.0, 60.0)
    planned = plan_links(fleet, grid, (), link_spec(topology="nearest", max_range_m=2e6))
    plan, found = planned.contacts, planned.opportunities
    forward = plan.source < plan.dest
    assert sorted(zip(plan.source[forward].tolist(), plan.acquire_start_s[forward].tolist(), strict=True)) == sorted(
        zip(found.a.tolist(), found.start_s.tolist(), strict=True)
    )
