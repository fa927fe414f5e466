"""The contact plan of a fleet: opportunities, then terminals, then one row for each direction of every link."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from orbital_train.errors import InputError
from orbital_train.orbit.constants import LIGHT_SPEED_MPS
from orbital_train.orbit.ephemeris import Ephemeris, GroundSite
from orbital_train.orbit.fleet import Fleet
from orbital_train.orbit.grid import StateGrid, sample
from orbital_train.windows.links import STEP_S, LinkSpec, Opportunities, opportunities_on_grid
from orbital_train.windows.nearest_plan import with_nearest
from orbital_train.windows.plan import ContactPlan, FloatArray, IntArray, LinkKind
from orbital_train.windows.search import maximum_between
from orbital_train.windows.terminals import Links, Pools, match


@dataclass(frozen=True, kw_only=True)
class PlannedLinks:
    """The contacts of a scenario, and the opportunities that they were chosen from."""

    opportunities: Opportunities
    contacts: ContactPlan


def contact_plan(
    fleet: Fleet, ephemeris: Ephemeris, sites: tuple[GroundSite, ...], spec: LinkSpec, horizon_s: float
) -> ContactPlan:
    """Plan all contacts of a scenario; see :func:`plan_links`."""
    return plan_links(fleet, ephemeris, sites, spec, horizon_s).contacts


def plan_links(
    fleet: Fleet,
    ephemeris: Ephemeris,
    sites: tuple[GroundSite, ...],
    spec: LinkSpec,
    horizon_s: float,
    note: Callable[[str], None] = lambda stage: None,
) -> PlannedLinks:
    """Plan all contacts of a scenario.

    Args:
        fleet: the satellites.
        ephemeris: the satellites, then the sites, in TEME axes.
        sites: the ground sites.
        spec: topology, limits and costs of links.
        horizon_s: length of the scenario; contacts are clipped to it.
        note: told of each stage as it begins.

    Returns:
        Opportunities, and contacts with a fixed rate and the light time of the largest range in the contact, so that no
        message is planned to be heard too early.

    Raises:
        InputError: the links cannot be (keys ``links.*``).
    """
    _refuse_bad_spec(spec)
    note("propagating the fleet")
    grid = sample(ephemeris, horizon_s, STEP_S)
    note("finding links")
    found = opportunities_on_grid(fleet, grid, sites, spec)
    note("matching terminals")
    links = match(found, _pools(found, len(fleet), sites, spec.terminals), spec.acquisition_s)
    if spec.topology == "nearest":
        found, links = with_nearest(found, links, grid, len(fleet), spec)
    contacts = _plan(tuple(ephemeris.names), horizon_s, grid, found, links, spec)
    return PlannedLinks(opportunities=found, contacts=contacts)


def _refuse_bad_spec(spec: LinkSpec) -> None:
    for name in ("max_range_m", "rate_bps", "max_rate_deg_s", "ground_rate_bps"):
        if not getattr(spec, name) > 0:
            raise InputError(f"links.{name}", getattr(spec, name), "accepted is a number above 0")
    if spec.neighbours < 1:
        raise InputError("links.neighbours", spec.neighbours, "a satellite needs at least 1 to link to another")
    if spec.minimum_life_s < 0:
        raise InputError("links.minimum_life_s", spec.minimum_life_s, "accepted is 0 or more seconds")
    if spec.terminals < 1:
        raise InputError("links.terminals", spec.terminals, "a satellite needs at least 1 to link to another")
    if spec.acquisition_s < 0:
        raise InputError("links.acquisition_s", spec.acquisition_s, "accepted is 0 or more seconds")
    if not 0.0 <= spec.grazing_altitude_m <= 200e3:
        raise InputError("links.grazing_altitude_m", spec.grazing_altitude_m, "accepted is 0 to 200 km, in metres")
    if not 0.0 <= spec.ground_mask_deg < 90.0:
        raise InputError("links.ground_mask_deg", spec.ground_mask_deg, "accepted is 0 to below 90")


def _pools(found: Opportunities, satellites: int, sites: tuple[GroundSite, ...], terminals: int) -> Pools:
    """A pool for each node's links in space (or a site's), then one for each satellite's ground terminal."""
    nodes = satellites + len(sites)
    in_space = [range(terminals)] * satellites
    on_ground = [range(site.terminals) for site in sites]
    to_ground = [range(terminals, terminals + 1)] * satellites
    ground = found.kind == LinkKind.GROUND
    return Pools(terminals=in_space + on_ground + to_ground, a=np.where(ground, nodes + found.a, found.a), b=found.b)


def _plan(
    names: tuple[str, ...], horizon_s: float, grid: StateGrid, found: Opportunities, links: Links, spec: LinkSpec
) -> ContactPlan:
    """Two rows a link, in the order of (start, link, direction)."""
    a, b, kind = found.a[links.opportunity], found.b[links.opportunity], found.kind[links.opportunity]
    order = np.argsort(links.start_s, kind="stable")
    link, back = np.repeat(order, 2), np.tile([False, True], order.size)
    ground = kind == LinkKind.GROUND
    owlt_s = _largest_range_m(grid, a, b, links.start_s, links.end_s) / LIGHT_SPEED_MPS
    return ContactPlan(
        node_names=names,
        horizon_s=horizon_s,
        contact_id=np.arange(link.size),
        link_id=np.repeat(np.arange(order.size), 2),
        source=np.where(back, b[link], a[link]),
        dest=np.where(back, a[link], b[link]),
        source_terminal=np.where(back, links.terminal_b[link], links.terminal_a[link]),
        dest_terminal=np.where(back, links.terminal_a[link], links.terminal_b[link]),
        acquire_start_s=links.acquire_start_s[link],
        start_s=links.start_s[link],
        end_s=links.end_s[link],
        rate_bps=np.where(ground[link], spec.ground_rate_bps, spec.rate_bps),
        owlt_s=owlt_s[link],
        kind=kind[link],
    )


def _largest_range_m(grid: StateGrid, a: IntArray, b: IntArray, start_s: FloatArray, end_s: FloatArray) -> FloatArray:
    """Largest range of each contact: the largest of its samples and ends, refined to the peak beside it."""

    def range_m(row: IntArray, t_s: FloatArray) -> FloatArray:
        ra_m, rb_m = grid.at(a[row], t_s)[0], grid.at(b[row], t_s)[0]
        return np.asarray(np.linalg.norm(ra_m - rb_m, axis=-1))

    rows = np.arange(a.size)
    at_start_m, at_end_m = range_m(rows, start_s), range_m(rows, end_s)
    peak_s, peak_m = np.where(at_end_m > at_start_m, end_s, start_s), np.maximum(at_end_m, at_start_m)
    first, last = np.searchsorted(grid.t_s, start_s), np.searchsorted(grid.t_s, end_s, side="right")
    for row in np.flatnonzero(last > first):
        inside = slice(int(first[row]), int(last[row]))
        sampled_m = np.linalg.norm(grid.r_m[a[row], inside] - grid.r_m[b[row], inside], axis=-1)
        if sampled_m.max() > peak_m[row]:
            peak_s[row] = grid.t_s[inside][sampled_m.argmax()]
    step_s = grid.t_s[1] - grid.t_s[0]
    left_s, right_s = np.maximum(peak_s - step_s, start_s), np.minimum(peak_s + step_s, end_s)
    _, refined_m = maximum_between(range_m, rows, left_s, right_s)
    return np.maximum(refined_m, peak_m)
