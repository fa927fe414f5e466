"""What ``plan`` prints of a recipe of a sky alone: the fleet, its links and its nights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from orbital_train.cli.plan_tables import MOST_ROWS, mean_and_range
from orbital_train.config.recipe import SkyRecipe
from orbital_train.config.tables.fleet import Layered
from orbital_train.orbit.fleet import Fleet
from orbital_train.report import fmt
from orbital_train.windows.measures import Eclipses
from orbital_train.windows.plan import IntArray
from orbital_train.windows.tally import Tally


@dataclass(frozen=True, kw_only=True)
class PlannedSky:
    """A fleet, and what its windows amount to."""

    fleet: Fleet
    horizon_s: float
    period_s: float  # of the slowest satellite
    sites: int
    links: int
    tally: Tally
    eclipses: Eclipses


def windows_table(recipe: SkyRecipe, planned: PlannedSky) -> Table:
    """A line a figure."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for label, value in (*_fleet_rows(recipe, planned), *_link_rows(planned), *_light_rows(planned)):
        table.add_row(label, value)
    return table


def _fleet_rows(recipe: SkyRecipe, planned: PlannedSky) -> Iterator[tuple[str, str]]:
    fleet, planes = planned.fleet, np.unique(planned.fleet.plane).size
    told = f"{fmt.plural(len(fleet), 'satellite')} in {fmt.plural(planes, 'plane')}"
    if isinstance(recipe.fleet, Layered):
        told += f" of {fmt.plural(len(recipe.fleet.shells), 'shell')}"
    yield "nodes", told + (f", {fmt.plural(planned.sites, 'ground site')}" if planned.sites else "")
    _, first = np.unique(fleet.plane, return_index=True)
    low_km, high_km = (f"{_altitude_km(fleet, first)[k]:,.0f}" for k in (0, -1))
    yield "mean altitude", low_km + (f" to {high_km}" if low_km != high_km else "") + " km"
    orbits = fmt.significant(planned.horizon_s / planned.period_s)
    yield "horizon", f"{fmt.duration(planned.horizon_s)}, {orbits} orbits of the slowest satellite"


def _altitude_km(fleet: Fleet, which: IntArray) -> list[float]:
    """Mean altitudes of some satellites, the lowest first."""
    some = [fleet.satrecs[i] for i in which.tolist()]
    return sorted(satrec.a * satrec.radiusearthkm - 6378.137 for satrec in some)


def _link_rows(planned: PlannedSky) -> Iterator[tuple[str, str]]:
    tally, satellites = planned.tally, len(planned.fleet)
    yield "contacts", f"{tally.contacts:,} (one way) of {fmt.plural(planned.links, 'link')}"
    if tally.contacts:
        low, quarter, median, three, high = (fmt.duration(tally.length_s(x)) for x in (0.0, 0.25, 0.5, 0.75, 1.0))
        yield "contact length", f"median {median}; half of them {quarter} to {three}, all {low} to {high}"
    open_links, duty = tally.linked.open_links[:satellites], tally.linked.duty[:satellites]
    many = f"{open_links.mean():.2f} open on average ({open_links.min():.2f} to {open_links.max():.2f})"
    yield "links a satellite", many
    yield "link duty", f"{mean_and_range(duty)} of the time"


def _light_rows(planned: PlannedSky) -> Iterator[tuple[str, str]]:
    dark, satellites = planned.eclipses, len(planned.fleet)
    lost = f"{fmt.percent(float(dark.shaded[:satellites].mean()))} of sunlight lost"
    yield "eclipse", f"{mean_and_range(dark.umbra[:satellites])} in umbra; {lost}"
    worst = int(dark.longest_s[:satellites].argmax())
    if dark.longest_s[worst] > 0:
        longest = fmt.duration(float(dark.longest_s[worst]))
        yield "longest eclipse", f"{longest}, penumbra included ({planned.fleet.names[worst]})"


def shells_table(recipe: SkyRecipe, planned: PlannedSky) -> Table | None:
    """A row for each shell of a layered fleet that flies whole and has several, but not very many."""
    fleet = recipe.fleet
    if not isinstance(fleet, Layered) or planned.fleet.pattern != "layered" or not 1 < len(fleet.shells) <= MOST_ROWS:
        return None
    table = Table(box=None, pad_edge=False)
    table.add_column("shell", no_wrap=True)
    for heading in (
        "inclination",
        "satellites",
        "contacts\neach",
        "links\neach",
        "linked",
        "umbra",
        "longest\neclipse",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    ends = np.cumsum([shell.planes * shell.satellites_per_plane for shell in fleet.shells])
    for shell, last in zip(fleet.shells, ends.tolist(), strict=True):
        some = slice(last - shell.planes * shell.satellites_per_plane, last)
        tilt = shell.inclination_deg if isinstance(shell.inclination_deg, str) else f"{shell.inclination_deg:g} deg"
        table.add_row(f"{shell.altitude_km:,.0f} km", tilt.replace("_", "-"), *_cells(planned, some))
    return table


def _cells(planned: PlannedSky, some: slice) -> Iterator[str]:
    linked, dark = planned.tally.linked, planned.eclipses
    yield f"{linked.contacts[some].size:,}"
    yield f"{linked.contacts[some].mean():.1f}"
    yield f"{linked.open_links[some].mean():.2f}"
    yield fmt.percent(float(linked.duty[some].mean()))
    yield fmt.percent(float(dark.umbra[some].mean()))
    yield f"{dark.longest_s[some].max() / 60:.1f} min"


def figures(planned: PlannedSky) -> dict[str, Any]:
    """What the table tells, for programs: means and extremes over the satellites."""
    tally, dark, satellites = planned.tally, planned.eclipses, len(planned.fleet)
    duty, open_links = tally.linked.duty[:satellites], tally.linked.open_links[:satellites]
    return {
        "satellites": satellites,
        "contacts": tally.contacts,
        "links": planned.links,
        "median_contact_s": tally.length_s(0.5),
        "open_links": float(open_links.mean()),
        "link_duty": float(duty.mean()),
        "lowest_link_duty": float(duty.min()),
        "umbra": float(dark.umbra[:satellites].mean()),
        "sunlight_lost": float(dark.shaded[:satellites].mean()),
        "longest_eclipse_s": float(dark.longest_s[:satellites].max()),
    }
