"""Nearest-k links as part of a contact plan, beside the links to ground sites."""

from __future__ import annotations

import numpy as np

from orbital_train.orbit.grid import StateGrid
from orbital_train.orbit.sun import SunPositions
from orbital_train.windows.geometry import PairFunction
from orbital_train.windows.links import LinkSpec, Opportunities, link_conditions
from orbital_train.windows.nearest import NearestSpec, nearest_on_grid
from orbital_train.windows.plan import LinkKind
from orbital_train.windows.sun_exclusion import sun_function
from orbital_train.windows.terminals import Links


def nearest_spec(spec: LinkSpec) -> NearestSpec:
    """What the links' specification says of nearest-k links."""
    return NearestSpec(
        neighbours=spec.neighbours,
        terminals=spec.terminals,
        acquisition_s=spec.acquisition_s,
        minimum_life_s=spec.minimum_life_s,
        max_rate_rad_s=float(np.radians(spec.max_rate_deg_s)),
    )


def nearest_conditions(spec: LinkSpec, sun: SunPositions | None) -> tuple[PairFunction, ...]:
    """What must be positive while there is a nearest-k link; the cheapest goes first. None leaves the Sun out."""
    conditions = link_conditions(spec)
    in_range = conditions.pop("links.max_range_m")
    if sun is not None and spec.sun_exclusion_deg > 0:
        conditions["links.sun_exclusion_deg"] = sun_function(sun, spec.sun_exclusion_deg)
    return (in_range, *conditions.values())


def with_nearest(
    ground: Opportunities,
    ground_links: Links,
    grid: StateGrid,
    satellites: int,
    spec: LinkSpec,
    sun: SunPositions | None = None,
) -> tuple[Opportunities, Links]:
    """Opportunities and links to the ground, with nearest-k links between the satellites added.

    Only the pairs that were linked are opportunities, while they were.
    """
    made = nearest_on_grid(grid, satellites, nearest_conditions(spec, sun), nearest_spec(spec))
    a, b = np.concatenate([ground.a, made.a]), np.concatenate([ground.b, made.b])
    start_s = np.concatenate([ground.start_s, made.acquire_start_s])
    kind = np.concatenate([ground.kind, np.full(len(made), LinkKind.ISL, dtype=np.int64)])
    order = np.lexsort((start_s, b, a))
    row = np.argsort(order)
    found = Opportunities(
        a=a[order],
        b=b[order],
        start_s=start_s[order],
        end_s=np.concatenate([ground.end_s, made.end_s])[order],
        kind=kind[order],
    )
    links = Links(
        opportunity=row[np.concatenate([ground_links.opportunity, len(ground) + np.arange(len(made))])],
        terminal_a=np.concatenate([ground_links.terminal_a, made.terminal_a]),
        terminal_b=np.concatenate([ground_links.terminal_b, made.terminal_b]),
        acquire_start_s=np.concatenate([ground_links.acquire_start_s, made.acquire_start_s]),
        start_s=np.concatenate([ground_links.start_s, made.start_s]),
        end_s=np.concatenate([ground_links.end_s, made.end_s]),
    )
    return found, links
