"""Light and links of an ephemeris and a horizon: the functions that take sampled states, with the sampling."""

from __future__ import annotations

from datetime import datetime

from orbital_train.orbit.ephemeris import Ephemeris, GroundSite
from orbital_train.orbit.fleet import Fleet
from orbital_train.orbit.grid import sample
from orbital_train.orbit.sun import SunPositions
from orbital_train.windows.contacts import plan_links
from orbital_train.windows.light import LightSpec, illuminate_on_grid
from orbital_train.windows.links import STEP_S, LinkSpec, Opportunities, opportunities_on_grid
from orbital_train.windows.plan import ContactPlan, Illumination


def contact_plan(
    fleet: Fleet,
    ephemeris: Ephemeris,
    sites: tuple[GroundSite, ...],
    spec: LinkSpec,
    horizon_s: float,
    sun: SunPositions | None = None,
) -> ContactPlan:
    """The contacts; the ephemeris is of the satellites, then the sites, in TEME axes."""
    return plan_links(fleet, sample(ephemeris, horizon_s, STEP_S), sites, spec, sun).contacts


def opportunities(
    fleet: Fleet,
    ephemeris: Ephemeris,
    sites: tuple[GroundSite, ...],
    spec: LinkSpec,
    horizon_s: float,
    sun: SunPositions | None = None,
) -> Opportunities:
    """All link opportunities."""
    return opportunities_on_grid(fleet, sample(ephemeris, horizon_s, STEP_S), sites, spec, sun)


def illuminate(
    ephemeris: Ephemeris, satellites: int, start: datetime, horizon_s: float, spec: LightSpec
) -> Illumination:
    """The light on every node."""
    return illuminate_on_grid(ephemeris.names, sample(ephemeris, horizon_s, STEP_S), satellites, start, spec)
