"""The two products of this layer: the contact plan and the illumination of every node.

Times are float seconds since the scenario's start; everything is SI.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from orbital_train.errors import InputError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class LinkKind(IntEnum):
    """What a contact is made of."""

    ISL = 0  # between two satellites
    GROUND = 1  # between a satellite and a ground site
    IDEAL = 2  # not physical: the links of a fully connected baseline


@dataclass(frozen=True, kw_only=True)
class ContactPlan:
    """All contacts of a scenario after terminal limits, one direction a row, in columns of shape (C,).

    Rows are sorted by (start_s, contact_id) and ``contact_id`` is the row number. Times are the transmitter's;
    reception is ``owlt_s`` later. ``[start_s, end_s)`` is usable for data: acquisition, which began at
    ``acquire_start_s``, is already paid. Both directions of a link, and its later rate slices, share ``link_id``.

    Raises:
        InputError: a contact has no length, lies outside the horizon, or has no rate.
    """

    node_names: tuple[str, ...]  # satellites first, then ground sites
    horizon_s: float
    contact_id: IntArray
    link_id: IntArray
    source: IntArray  # node index
    dest: IntArray
    source_terminal: IntArray
    dest_terminal: IntArray
    acquire_start_s: FloatArray
    start_s: FloatArray
    end_s: FloatArray
    rate_bps: FloatArray  # may be inf for ideal links
    owlt_s: FloatArray  # one-way light time
    kind: IntArray  # LinkKind

    def __post_init__(self) -> None:
        empty = np.flatnonzero(self.end_s <= self.start_s)
        if empty.size:
            c = int(empty[0])
            a, b = self.node_names[int(self.source[c])], self.node_names[int(self.dest[c])]
            window = f"[{float(self.start_s[c])}, {float(self.end_s[c])}) s"
            raise InputError("contact plan", window, f"the window {a} to {b} has no length; end must be after start")
        if self.end_s.size and (self.start_s.min() < 0 or self.end_s.max() > self.horizon_s):
            raise InputError("contact plan", f"horizon {self.horizon_s} s", "a contact lies outside the horizon")
        if self.rate_bps.size and not self.rate_bps.min() > 0:
            raise InputError("contact plan", float(self.rate_bps.min()), "a contact's rate must be above 0 bit/s")

    def __len__(self) -> int:
        return int(self.contact_id.size)

    def write(self, path: Path) -> None:
        """Write to Parquet; exact."""
        metadata = {"node_names": "\n".join(self.node_names), "horizon_s": repr(self.horizon_s)}
        table = pa.table({name: getattr(self, name) for name in _COLUMNS})
        pq.write_table(table.replace_schema_metadata(metadata), path)

    @classmethod
    def read(cls, path: Path) -> ContactPlan:
        """Read what :meth:`write` wrote."""
        table = pq.read_table(path)
        metadata = {k.decode(): v.decode() for k, v in table.schema.metadata.items()}
        names = tuple(metadata["node_names"].split("\n"))
        columns = {name: table[name].to_numpy() for name in _COLUMNS}
        return cls(node_names=names, horizon_s=float(metadata["horizon_s"]), **columns)


_COLUMNS = tuple(f.name for f in fields(ContactPlan) if f.name not in ("node_names", "horizon_s"))


@dataclass(frozen=True, kw_only=True)
class Illumination:
    """Sunlit fraction of every node, piecewise constant in time.

    ``fraction[i][k]`` holds on ``[edge_s[i][k], edge_s[i][k + 1])``; edges start at 0 and end at the horizon. It is 1
    in sunlight, 0 in umbra, and in each penumbra the *mean* fraction of the visible solar disc over that penumbra, so
    that harvested energy is right. Ground sites are always at 1 (they do not live on sunlight).
    """

    node_names: tuple[str, ...]
    horizon_s: float
    edge_s: tuple[FloatArray, ...]
    fraction: tuple[FloatArray, ...]
    sun_distance_au: float

    def write(self, path: Path) -> None:
        """Write to Parquet; exact."""
        metadata = {
            "node_names": "\n".join(self.node_names),
            "horizon_s": repr(self.horizon_s),
            "sun_distance_au": repr(self.sun_distance_au),
        }
        node = np.concatenate([np.full(f.size, i) for i, f in enumerate(self.fraction)])
        start = np.concatenate([e[:-1] for e in self.edge_s])
        table = pa.table({"node": node, "start_s": start, "fraction": np.concatenate(self.fraction)})
        pq.write_table(table.replace_schema_metadata(metadata), path)

    @classmethod
    def read(cls, path: Path) -> Illumination:
        """Read what :meth:`write` wrote."""
        table = pq.read_table(path)
        metadata = {k.decode(): v.decode() for k, v in table.schema.metadata.items()}
        names = tuple(metadata["node_names"].split("\n"))
        horizon_s = float(metadata["horizon_s"])
        node, start, fraction = (table[c].to_numpy() for c in ("node", "start_s", "fraction"))
        rows = [node == i for i in range(len(names))]
        return cls(
            node_names=names,
            horizon_s=horizon_s,
            edge_s=tuple(np.append(start[r], horizon_s) for r in rows),
            fraction=tuple(fraction[r] for r in rows),
            sun_distance_au=float(metadata["sun_distance_au"]),
        )
