"""The links and the light of a fully connected baseline: everything, always, at once."""

from __future__ import annotations

import numpy as np

from orbital_train.windows.plan import ContactPlan, Illumination, LinkKind


def ideal_contacts(node_names: tuple[str, ...], horizon_s: float) -> ContactPlan:
    """Every pair linked over the whole horizon at infinite rate without delay, each link on terminals of its own."""
    nodes = len(node_names)
    a, b = np.triu_indices(nodes, 1)
    source, dest = np.stack([a, b], axis=-1).ravel(), np.stack([b, a], axis=-1).ravel()
    rows = source.size
    return ContactPlan(
        node_names=node_names,
        horizon_s=horizon_s,
        contact_id=np.arange(rows),
        link_id=np.repeat(np.arange(a.size), 2),
        source=source.astype(np.int64),
        dest=dest.astype(np.int64),
        # A node counts its terminals by partner, leaving itself out.
        source_terminal=(dest - (dest > source)).astype(np.int64),
        dest_terminal=(source - (source > dest)).astype(np.int64),
        acquire_start_s=np.zeros(rows),
        start_s=np.zeros(rows),
        end_s=np.full(rows, horizon_s),
        rate_bps=np.full(rows, np.inf),
        owlt_s=np.zeros(rows),
        kind=np.full(rows, LinkKind.IDEAL, dtype=np.int64),
    )


def ideal_light(node_names: tuple[str, ...], horizon_s: float) -> Illumination:
    """Every node in full sunlight at one astronomical unit."""
    return Illumination(
        node_names=node_names,
        horizon_s=horizon_s,
        edge_s=tuple(np.array([0.0, horizon_s]) for _ in node_names),
        fraction=tuple(np.ones(1) for _ in node_names),
        sun_distance_au=1.0,
    )
