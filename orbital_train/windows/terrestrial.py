"""Links between ground sites over a network on the ground: always up, at one rate, as long as the shortest cable.

Light in optical fibre travels at about two thirds of its speed in vacuum: the group index of standard single-mode fibre
is 1.468 at 1550 nm (Corning SMF-28 data sheet). Cables are taken to follow the great circle; real ones are longer.
Routers and other traffic are not simulated.
"""

from __future__ import annotations

import numpy as np

from orbital_train.orbit.constants import EARTH_RADIUS_M, LIGHT_SPEED_MPS
from orbital_train.orbit.ephemeris import GroundSite
from orbital_train.orbit.geodesy import up
from orbital_train.windows.plan import COLUMNS, ContactPlan, FloatArray, LinkKind

FIBRE_SPEED_MPS = LIGHT_SPEED_MPS * 2.0 / 3.0


def with_terrestrial(plan: ContactPlan, sites: tuple[GroundSite, ...], rate_bps: float) -> ContactPlan:
    """The plan with a permanent link in both directions between any two of its sites, which are its last nodes.

    Each has a port of its own at either end, numbered after the site's terminals.
    """
    source, dest = np.nonzero(~np.eye(len(sites), dtype=np.bool_))
    first, count = len(plan.node_names) - len(sites), source.size
    ports = np.array([site.terminals for site in sites], dtype=np.int64)
    pair = np.minimum(source, dest) * len(sites) + np.maximum(source, dest)
    next_link = int(plan.link_id.max(initial=-1)) + 1
    added = {
        "contact_id": np.zeros(count, dtype=np.int64),
        "link_id": next_link + np.unique(pair, return_inverse=True)[1],
        "source": first + source,
        "dest": first + dest,
        "source_terminal": ports[source] + dest,
        "dest_terminal": ports[dest] + source,
        "acquire_start_s": np.zeros(count),
        "start_s": np.zeros(count),
        "end_s": np.full(count, plan.horizon_s),
        "rate_bps": np.full(count, rate_bps),
        "owlt_s": great_circles_m(sites)[source, dest] / FIBRE_SPEED_MPS,
        "kind": np.full(count, LinkKind.TERRESTRIAL, dtype=np.int64),
    }
    columns = {name: np.concatenate([getattr(plan, name), added[name]]) for name in COLUMNS}
    order = np.argsort(columns["start_s"], kind="stable")
    columns = {name: column[order] for name, column in columns.items()} | {"contact_id": np.arange(order.size)}
    return ContactPlan(node_names=plan.node_names, horizon_s=plan.horizon_s, **columns)


def great_circles_m(sites: tuple[GroundSite, ...]) -> FloatArray:
    """Distances over ground between sites, shape (G, G), on a sphere of the equator's radius: within 0.6 %."""
    normal = up(np.array([s.latitude_deg for s in sites]), np.array([s.longitude_deg for s in sites]))
    half_chord = np.linalg.norm(normal[:, None] - normal, axis=-1) / 2.0
    return np.asarray(2.0 * EARTH_RADIUS_M * np.arcsin(np.minimum(half_chord, 1.0)))
