"""The rows of a contact plan: both directions of every link, and its slices of constant rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from orbital_train.orbit.constants import LIGHT_SPEED_MPS
from orbital_train.orbit.grid import StateGrid
from orbital_train.windows.links import LinkSpec, Opportunities
from orbital_train.windows.plan import ContactPlan, FloatArray, IntArray, LinkKind
from orbital_train.windows.ranges import LinkTimes, largest_range_m
from orbital_train.windows.slices import Slices, rate_slices, sorted_slices, whole_slices
from orbital_train.windows.terminals import Links


def plan_of_links(
    names: tuple[str, ...], grid: StateGrid, found: Opportunities, links: Links, spec: LinkSpec
) -> ContactPlan:
    """Two rows for every slice of a link, in the order of (start, link, direction); links are numbered by start.

    Only the first slice of a link pays the acquisition: the others begin it when they start.
    """
    order = np.argsort(links.start_s, kind="stable")
    row = links.opportunity[order]
    a, b, kind = found.a[row], found.b[row], found.kind[row]
    times = LinkTimes(a=a, b=b, start_s=links.start_s[order], end_s=links.end_s[order])
    slices = _slices(grid, times, kind, spec)
    by_start = np.lexsort((slices.link, slices.start_s))
    part, back = np.repeat(by_start, 2), np.tile([False, True], by_start.size)
    link = slices.link[part]
    node, other = np.where(back, b[link], a[link]), np.where(back, a[link], b[link])
    terminal_a, terminal_b = links.terminal_a[order][link], links.terminal_b[order][link]
    opens = slices.start_s == times.start_s[slices.link]
    acquire_start_s = np.where(opens, links.acquire_start_s[order][slices.link], slices.start_s)
    return ContactPlan(
        node_names=names,
        horizon_s=float(grid.t_s[-1]),
        contact_id=np.arange(part.size),
        link_id=link,
        source=node,
        dest=other,
        source_terminal=np.where(back, terminal_b, terminal_a),
        dest_terminal=np.where(back, terminal_a, terminal_b),
        acquire_start_s=acquire_start_s[part],
        start_s=slices.start_s[part],
        end_s=slices.end_s[part],
        rate_bps=_rates_bps(names, spec, node, other, kind[link], slices.rate_bps[part]),
        owlt_s=slices.range_m[part] / LIGHT_SPEED_MPS,
        kind=kind[link],
    )


def _slices(grid: StateGrid, times: LinkTimes, kind: IntArray, spec: LinkSpec) -> Slices:
    """Every link as one slice at the modem's rate, except where the range says otherwise."""
    if spec.rate_law is None:
        return whole_slices(times, largest_range_m(grid, times), np.full(kind.size, spec.rate_bps))
    ground, space = np.flatnonzero(kind == LinkKind.GROUND), np.flatnonzero(kind == LinkKind.ISL)
    fixed = times.only(ground)
    to_ground = whole_slices(fixed, largest_range_m(grid, fixed), np.full(ground.size, spec.rate_bps))
    cut = rate_slices(grid, times.only(space), spec.rate_law, spec.rate_bps, spec.max_range_m)
    return sorted_slices([replace(to_ground, link=ground), replace(cut, link=space[cut.link])])


def _rates_bps(
    names: tuple[str, ...], spec: LinkSpec, source: IntArray, dest: IntArray, kind: IntArray, space_bps: FloatArray
) -> FloatArray:
    """Rates of contacts: those of the slices in space, and the sites' own to and from the ground."""
    own = [spec.at_site(name) for name in names]
    down_bps, up_bps = np.array([o.down_bps for o in own]), np.array([o.up_bps for o in own])
    ground_bps = np.where(source > dest, up_bps[source], down_bps[dest])
    return np.where(kind == LinkKind.GROUND, ground_bps, space_bps)
