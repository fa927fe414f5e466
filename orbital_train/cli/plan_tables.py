"""What ``plan`` prints of a flight: the sky, its nodes, and who can reach whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from orbital_train.cli.planning import Flight
from orbital_train.cli.reach_tables import delay, reach_rows
from orbital_train.orbit.fleet import Fleet
from orbital_train.report import fmt
from orbital_train.schedule.reach import Reach
from orbital_train.windows.measures import Eclipses, Linked, pairs_linked
from orbital_train.windows.plan import FloatArray

MOST_ROWS = 40  # satellites, or planes, up to which each has a row
_QUANTILES = {"lowest": 0.0, "lower quarter": 0.25, "median": 0.5, "upper quarter": 0.75, "highest": 1.0}


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A flight and what it amounts to."""

    flight: Flight
    fleet: Fleet
    eclipses: Eclipses
    linked: Linked
    reaches: tuple[Reach, ...]  # of the flown message, then of a bare signal; none in the ideal world or with one node

    @property
    def names(self) -> tuple[str, ...]:
        """Satellites, then ground sites."""
        return self.flight.survey.contacts.node_names


def sky_table(planned: Planned) -> Table:
    """The fleet in one line a figure."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column()
    rows = (*_fleet_rows(planned), *_light_rows(planned), *_fault_rows(planned))
    for label, value in (*rows, *reach_rows(planned.reaches, planned.names)):
        table.add_row(label, value)
    return table


def _fleet_rows(planned: Planned) -> Iterator[tuple[str, str]]:
    sky, satellites = planned.flight.survey, len(planned.fleet)
    contacts, sites = sky.contacts, len(planned.names) - satellites
    yield "nodes", _formation(planned.fleet) + (f", {fmt.plural(sites, 'ground site')}" if sites else "")
    orbits = f", {fmt.significant(contacts.horizon_s / sky.period_s)} orbits" if sky.period_s else ""
    yield "horizon", fmt.duration(contacts.horizon_s) + orbits
    nodes, links = len(planned.names), np.unique(contacts.link_id).size
    pairs = f"{pairs_linked(contacts):,} of {nodes * (nodes - 1) // 2:,} pairs"
    yield "contacts", f"{len(contacts):,} (one way) of {fmt.plural(links, 'link')} between {pairs}"
    if sky.opportunities is not None:
        yield (
            "opportunities",
            f"{len(sky.opportunities):,} before terminals are matched, {fmt.plural(links, 'link')} after",
        )
    duty, open_links = planned.linked.duty[:satellites], planned.linked.open_links[:satellites]
    yield "link duty", f"{mean_and_range(duty)} of the time; {open_links.mean():.2f} open on average"


def _formation(fleet: Fleet) -> str:
    satellites = fmt.plural(len(fleet), "satellite")
    if fleet.pattern == "cluster":  # whose planes and slots are the rows and columns of a lattice in one orbital plane
        return f"a cluster of {satellites}"
    return f"{satellites} in {fmt.plural(np.unique(fleet.plane).size, 'plane')}"


def _light_rows(planned: Planned) -> Iterator[tuple[str, str]]:
    dark, satellites = planned.eclipses, len(planned.fleet)
    worst = int(dark.longest_s[:satellites].argmax())
    lost = f"{fmt.percent(float(dark.shaded[:satellites].mean()))} of sunlight lost"
    yield "eclipse", f"{mean_and_range(dark.umbra[:satellites])} in umbra; {lost}"
    if dark.longest_s[worst] > 0:
        longest = fmt.duration(float(dark.longest_s[worst]))
        yield "longest eclipse", f"{longest}, penumbra included ({planned.names[worst]})"
    yield "compute duty", f"{mean_and_range(_duty(planned))} of an always-powered satellite's steps"


def _fault_rows(planned: Planned) -> Iterator[tuple[str, str]]:
    """What fails, and within the run; not in the ideal world."""
    faults, end_us = planned.flight.scenario.faults, planned.flight.trace.end_us
    if not faults:
        return
    outages = [o for o in faults.outages if o.start_us < end_us]
    counts = [
        fmt.plural(len(outages), "outage") + f" ({sum(o.loses_state for o in outages):,} with loss of state)",
        fmt.plural(sum(o.start_us < end_us for o in faults.link_outages), "link outage"),
        fmt.plural(sum(o.start_us < end_us for o in faults.slow_downs), "slow-down"),
    ]
    yield "faults", ", ".join(counts)


def nodes_table(planned: Planned) -> Table:
    """A row for each satellite, for each plane of a larger fleet, or for quantiles; then the ground sites."""
    fleet, table = planned.fleet, Table(box=None, pad_edge=False)
    table.add_column(_first_heading(fleet))
    for heading in ("umbra", "longest\neclipse", "contacts", "linked", "steps", "duty", "waits", "reached\nwithin"):
        table.add_column(heading, justify="right", no_wrap=True)
    columns = _columns(planned)
    for label, cells in _rows(columns, fleet):
        table.add_row(label, *cells)
    for site in range(len(fleet), len(planned.names)):
        shown = {"contacts", "linked", "reached"}
        table.add_row(planned.names[site], *(c.text(c.values[site]) if c.name in shown else "" for c in columns))
    return table


@dataclass(frozen=True, kw_only=True)
class _Column:
    name: str
    values: FloatArray  # of satellites, and where there is one of ground sites
    text: Callable[[float], str]
    joined: Callable[[FloatArray], float] = np.mean  # over the satellites of a plane


def _columns(planned: Planned) -> list[_Column]:
    trace, linked = planned.flight.trace, planned.linked
    accounts = trace.accounts[: len(planned.fleet)]
    waits = np.array([a.waiting_us for a in accounts]) / max(1, trace.end_us)
    worst_s = np.array([r.worst_s.max(axis=0) for r in planned.reaches[:1]] or [np.full(len(planned.names), np.nan)])[0]
    return [
        _Column(name="umbra", values=planned.eclipses.umbra, text=_whole_percent),
        _Column(name="eclipse", values=planned.eclipses.longest_s, text=_minutes, joined=np.max),
        _Column(name="contacts", values=linked.contacts.astype(float), text=_whole),
        _Column(name="linked", values=linked.duty, text=_whole_percent),
        _Column(name="steps", values=np.array([float(a.steps) for a in accounts]), text=_whole),
        _Column(name="duty", values=_duty(planned), text=fmt.percent),
        _Column(name="waits", values=waits, text=fmt.percent),
        _Column(name="reached", values=worst_s, text=delay, joined=np.max),
    ]  # fmt: skip


def _first_heading(fleet: Fleet) -> str:
    if len(fleet) <= MOST_ROWS:
        return "node"
    group = "row" if fleet.pattern == "cluster" else "plane"
    return f"{group}\n(satellites)" if _by_plane(fleet) else f"of {len(fleet):,}\nsatellites"


def _by_plane(fleet: Fleet) -> bool:
    return 1 < np.unique(fleet.plane).size <= MOST_ROWS


def _rows(columns: list[_Column], fleet: Fleet) -> Iterator[tuple[str, list[str]]]:
    if len(fleet) <= MOST_ROWS:
        for i, name in enumerate(fleet.names):
            yield name, [c.text(float(c.values[i])) for c in columns]
    elif _by_plane(fleet):
        for plane in np.unique(fleet.plane).tolist():
            members = np.flatnonzero(fleet.plane == plane)
            yield f"{plane} ({members.size})", [c.text(float(c.joined(c.values[members]))) for c in columns]
    else:
        for label, share in _QUANTILES.items():
            values = [np.quantile(c.values[: len(fleet)], share, method="nearest") for c in columns]
            yield label, [c.text(float(value)) for c, value in zip(columns, values, strict=True)]


def _duty(planned: Planned) -> FloatArray:
    accounts = planned.flight.trace.accounts[: len(planned.fleet)]
    return np.array([a.steps_allowed / max(1, a.steps_always_powered) for a in accounts])


def mean_and_range(shares: FloatArray) -> str:
    """The mean over the fleet, and the lowest and highest where they differ."""
    low, high = fmt.percent(float(shares.min())), fmt.percent(float(shares.max()))
    return fmt.percent(float(shares.mean())) + ("" if low == high else f" ({low.removesuffix(' %')} to {high})")


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _whole_percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")


def _minutes(t_s: float) -> str:
    return f"{t_s / 60:.1f} min"
