from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from orbital_train.orbit.ephemeris import Ephemeris, GroundSite, Sgp4Ephemeris, SiteEphemeris, joined
from orbital_train.orbit.fleet import Fleet, WalkerSpec, build_fleet
from orbital_train.windows.links import LinkSpec, Opportunities
from orbital_train.windows.sites import SiteLinkSpec
from tests.sampled import contact_plan, opportunities

START = datetime(2026, 3, 20, tzinfo=UTC)
SITES = (GroundSite("madrid", 40.43, -4.25), GroundSite("kiruna", 67.86, 20.2), GroundSite("quito", -0.2, -78.5))
HORIZON_S = 2 * 86400.0
RADIO = SiteLinkSpec(medium="radio", mask_deg=10.0, down_bps=3e9, up_bps=1e8)


def fleet() -> Fleet:
    spec = WalkerSpec(pattern="star", satellites=16, planes=2, phasing=1, altitude_m=600e3, inclination_deg=97.0)
    return build_fleet(spec, START)


def nodes(sites: tuple[GroundSite, ...] = SITES) -> Ephemeris:
    of = fleet()
    return joined(Sgp4Ephemeris(of.names, of.satrecs, START), SiteEphemeris(sites, START))


def link_spec(**own: SiteLinkSpec) -> LinkSpec:
    return LinkSpec(topology="ground_relay", max_range_m=6e6, rate_bps=1e11, ground_rate_bps=1e9, site_links=own)


def found(spec: LinkSpec, sites: tuple[GroundSite, ...] = SITES) -> Opportunities:
    return opportunities(fleet(), nodes(sites), sites, spec, HORIZON_S)


def elevation_deg(satellite: int, site: int, t_s: np.ndarray) -> np.ndarray:
    """Above the sphere's horizontal: within a fifth of a degree of the ellipsoid's."""
    r_m, _ = nodes().states(t_s)
    up = r_m[site] / np.linalg.norm(r_m[site], axis=-1, keepdims=True)
    d_m = r_m[satellite] - r_m[site]
    return np.degrees(np.arcsin((d_m * up).sum(-1) / np.linalg.norm(d_m, axis=-1)))


def test_each_site_has_its_own_mask() -> None:
    of = found(link_spec(kiruna=RADIO))
    for site, mask_deg in ((16, 20.0), (17, 10.0), (18, 20.0)):
        rows = np.flatnonzero((of.b == site) & (of.start_s > 0))[:20]
        rises = [elevation_deg(int(of.a[row]), site, of.start_s[row : row + 1])[0] for row in rows]
        assert rises == pytest.approx([mask_deg] * 20, abs=0.25)


def test_each_site_has_its_own_rates_up_and_down() -> None:
    spec = link_spec(kiruna=RADIO)
    plan = contact_plan(fleet(), nodes(), SITES, spec, 40_000.0)
    down, up = plan.dest == 17, plan.source == 17
    assert set(plan.rate_bps[down].tolist()) == {3e9}
    assert set(plan.rate_bps[up].tolist()) == {1e8}
    assert set(plan.rate_bps[~(down | up)].tolist()) == {1e9}
    assert down.sum() == up.sum() > 10


def test_ground_relay_has_ground_links_only() -> None:
    plan = contact_plan(fleet(), nodes(), SITES, link_spec(), 40_000.0)
    assert len(plan) > 50
    assert ((plan.source >= 16) != (plan.dest >= 16)).all()
