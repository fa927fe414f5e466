"""Writing a contact plan to Parquet while links are being found, so that it never stands in memory at once.

Links end in another order than they begin. ``contact_id`` is the row that a contact has in the plan's own order and is
known when its link is made, so :meth:`ContactPlan.read` restores the order. In the file contacts stand by their ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from orbital_train.orbit.constants import LIGHT_SPEED_MPS
from orbital_train.windows.columns import Columns, write_parts
from orbital_train.windows.nearest import NearestLinks
from orbital_train.windows.plan import COLUMNS, CONTACT_PLAN, LinkKind


def write_contacts(
    path: Path, links: Iterable[NearestLinks], *, node_names: tuple[str, ...], horizon_s: float, rate_bps: float
) -> int:
    """Write links between satellites as a contact plan, two rows a link; :meth:`ContactPlan.read` reads it.

    Args:
        path: the file; it appears when it is whole.
        links: from :func:`~orbital_train.windows.nearest.nearest_links`, each part of them after what ended before it.
        node_names: of all nodes.
        horizon_s: the scenario's length.
        rate_bps: of each direction.

    Returns:
        The number of contacts.
    """
    parts = (_contacts(part.only(np.argsort(part.end_s, kind="stable")), rate_bps) for part in links)
    return write_parts(path, CONTACT_PLAN, parts, COLUMNS, node_names=node_names, horizon_s=horizon_s)


def _contacts(links: NearestLinks, rate_bps: float) -> Columns:
    """The columns of a contact plan: each link's row from a to b, then the one back."""
    twice = np.repeat(np.arange(len(links)), 2)
    node = np.stack([links.a, links.b], axis=1)
    terminal = np.stack([links.terminal_a, links.terminal_b], axis=1)
    return {
        "contact_id": (2 * links.link_id[:, None] + np.arange(2)).ravel(),
        "link_id": links.link_id[twice],
        "source": node.ravel(),
        "dest": node[:, ::-1].ravel(),
        "source_terminal": terminal.ravel(),
        "dest_terminal": terminal[:, ::-1].ravel(),
        "acquire_start_s": links.acquire_start_s[twice],
        "start_s": links.start_s[twice],
        "end_s": links.end_s[twice],
        "rate_bps": np.full(twice.size, rate_bps),
        "owlt_s": links.range_m[twice] / LIGHT_SPEED_MPS,
        "kind": np.full(twice.size, LinkKind.ISL, dtype=np.int64),
    }
