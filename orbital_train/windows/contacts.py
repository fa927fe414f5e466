"""The contact plan of a fleet: opportunities, then terminals, then one row for each direction of every link."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from orbital_train.orbit.ephemeris import GroundSite
from orbital_train.orbit.fleet import Fleet
from orbital_train.orbit.grid import StateGrid
from orbital_train.orbit.sun import SunPositions
from orbital_train.windows.contact_rows import plan_of_links
from orbital_train.windows.field_checks import judge_useless_fields, warn_of_idle_terminals
from orbital_train.windows.field_of_regard import windows_by_terminal
from orbital_train.windows.link_checks import refuse_bad_links
from orbital_train.windows.links import LinkSpec, Opportunities, opportunities_on_grid
from orbital_train.windows.nearest_plan import with_nearest
from orbital_train.windows.plan import ContactPlan, LinkKind
from orbital_train.windows.search import Windows
from orbital_train.windows.terminals import Pools, match
from orbital_train.windows.terrestrial import with_terrestrial

# Of pairs of satellites: up to here all opportunities of nearest-k links are listed. 150 satellites over a day.
_MOST_SAMPLES = 1 << 24


@dataclass(frozen=True, kw_only=True)
class PlannedLinks:
    """The contacts of a scenario, and the opportunities that they were chosen from."""

    opportunities: Opportunities
    contacts: ContactPlan


def plan_links(
    fleet: Fleet,
    grid: StateGrid,
    sites: tuple[GroundSite, ...],
    spec: LinkSpec,
    sun: SunPositions | None = None,
    note: Callable[[str], None] = lambda stage: None,
) -> PlannedLinks:
    """Plan all contacts of a scenario.

    Args:
        fleet: the satellites.
        grid: states of the satellites, then the sites, in TEME axes; contacts are clipped to its time.
        sites: the ground sites.
        spec: topology, limits and costs of links.
        sun: what blinds receivers, in the axes of the states; None leaves it out.
        note: told of each stage as it begins.

    Returns:
        Contacts with the light time of the largest range in the contact, so that no message is planned to be heard too
        early; a link whose rate follows its range is several contacts in a row. And the opportunities that they were
        matched from (of nearest-k links in a fleet with many pairs only those that were taken).

    Raises:
        InputError: the links cannot be (keys ``links.*`` and ``ground_sites.*``).
    """
    refuse_bad_links(spec)
    note("finding links")
    kept = found = opportunities_on_grid(fleet, grid, sites, spec, sun)
    note("matching terminals")
    found, pools = _with_terminals(grid, found, len(fleet), sites, spec)
    links = match(found, pools, spec.acquisition_s, spec.minimum_life_s)
    if spec.topology == "nearest":
        found, links = with_nearest(found, links, grid, len(fleet), spec, sun)
        few = len(fleet) * (len(fleet) - 1) // 2 * grid.t_s.size <= _MOST_SAMPLES
        every = replace(spec, topology="all_visible")
        kept = opportunities_on_grid(fleet, grid, sites, every, sun) if few else found
    names = (*fleet.names, *(site.name for site in sites))
    contacts = plan_of_links(names, grid, found, links, spec)
    if spec.fields_of_regard and not (contacts.kind == LinkKind.ISL).any():
        free = plan_links(fleet, grid, sites, replace(spec, fields_of_regard=()), sun).contacts
        judge_useless_fields(spec.fields_of_regard, fleet, grid, contacts, free)
    if spec.terrestrial_bps is not None:
        contacts = with_terrestrial(contacts, sites, spec.terrestrial_bps)
    return PlannedLinks(opportunities=kept, contacts=contacts)


def _with_terminals(
    grid: StateGrid, found: Opportunities, satellites: int, sites: tuple[GroundSite, ...], spec: LinkSpec
) -> tuple[Opportunities, Pools]:
    """The terminals that may serve each opportunity: any of a node's, unless they point in different directions.

    Then each terminal is a pool, and an opportunity becomes one for every two terminals that can see each other.
    """
    pools = _pools(found, satellites, sites, spec.terminals)
    if spec.one_field:
        return found, pools
    space = np.flatnonzero(found.kind == LinkKind.ISL)
    ends = np.stack([found.a[space], found.b[space]], axis=-1)
    pairs, track = np.unique(ends, axis=0, return_inverse=True)
    order = np.lexsort((found.start_s[space], track))
    windows = Windows(track[order], found.start_s[space][order], found.end_s[space][order])
    split, terminal_a, terminal_b = windows_by_terminal(grid, pairs, windows, spec.fields_of_regard)
    warn_of_idle_terminals(spec.fields_of_regard, np.append(terminal_a, terminal_b))
    ground = np.flatnonzero(found.kind == LinkKind.GROUND)
    by_terminal = Opportunities(
        a=np.append(pairs[split.track, 0], found.a[ground]),
        b=np.append(pairs[split.track, 1], found.b[ground]),
        start_s=np.append(split.start_s, found.start_s[ground]),
        end_s=np.append(split.end_s, found.end_s[ground]),
        kind=np.repeat([LinkKind.ISL, LinkKind.GROUND], [len(split), ground.size]).astype(np.int64),
    )
    first = len(pools.terminals)
    own = [range(k, k + 1) for _ in range(satellites) for k in range(spec.terminals)]
    place = first + by_terminal.a[: len(split)] * spec.terminals + terminal_a
    other = first + by_terminal.b[: len(split)] * spec.terminals + terminal_b
    return by_terminal, Pools(
        terminals=[*pools.terminals, *own],
        a=np.append(place, pools.a[ground]),
        b=np.append(other, pools.b[ground]),
        pair=np.append(split.track, len(pairs) + np.arange(ground.size)),
    )


def _pools(found: Opportunities, satellites: int, sites: tuple[GroundSite, ...], terminals: int) -> Pools:
    """A pool for each node's links in space (or a site's), then one for each satellite's ground terminal."""
    nodes = satellites + len(sites)
    in_space = [range(terminals)] * satellites
    on_ground = [range(site.terminals) for site in sites]
    to_ground = [range(terminals, terminals + 1)] * satellites
    ground = found.kind == LinkKind.GROUND
    return Pools(terminals=in_space + on_ground + to_ground, a=np.where(ground, nodes + found.a, found.a), b=found.b)
