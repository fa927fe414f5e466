"""The two products of this layer: the contact plan and the illumination of every node.

Times are float seconds since the scenario's start; everything is SI.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orbital_train.errors import InputError
from orbital_train.windows.columns import Types, read_columns, write_columns

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CONTACT_PLAN = "contact plan"
_ILLUMINATION = "illumination"


class LinkKind(IntEnum):
    """What a contact is made of."""

    ISL = 0  # between two satellites
    GROUND = 1  # between a satellite and a ground site
    IDEAL = 2  # not physical: the links of a fully connected baseline
    TERRESTRIAL = 3  # between two ground sites, over a network on the ground


@dataclass(frozen=True, kw_only=True)
class ContactPlan:
    """All contacts of a scenario after terminal limits, one direction a row, in columns of shape (C,).

    Rows are sorted by (start_s, contact_id) and ``contact_id`` is the row number. Times are the transmitter's;
    reception is ``owlt_s`` later. ``[start_s, end_s)`` is usable for data: acquisition, which began at
    ``acquire_start_s``, is already paid. Both directions of a link, and its later rate slices, share ``link_id``.

    Raises:
        InputError: a contact joins nodes that are not there, has no length, lies outside the horizon, or has no rate.
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
        self._refuse_unknown_nodes()
        empty = np.flatnonzero(~(self.end_s > self.start_s))
        if empty.size:
            c = int(empty[0])
            a, b = self.node_names[int(self.source[c])], self.node_names[int(self.dest[c])]
            window = f"[{float(self.start_s[c])}, {float(self.end_s[c])}) s"
            raise InputError(CONTACT_PLAN, window, f"the window {a} to {b} has no length; end must be after start")
        if self.end_s.size and (self.start_s.min() < 0 or self.end_s.max() > self.horizon_s):
            raise InputError(CONTACT_PLAN, f"horizon {self.horizon_s} s", "a contact lies outside the horizon")
        if self.rate_bps.size and not self.rate_bps.min() > 0:
            raise InputError(CONTACT_PLAN, float(self.rate_bps.min()), "a contact's rate must be above 0 bit/s")

    def _refuse_unknown_nodes(self) -> None:
        ends = np.stack([self.source, self.dest])
        wrong = ((ends < 0) | (ends >= len(self.node_names))).any(axis=0) | (self.source == self.dest)
        if wrong.any():
            c = int(wrong.argmax())
            pair = f"node {int(self.source[c])} to {int(self.dest[c])}"
            raise InputError(CONTACT_PLAN, pair, f"must be two of the {len(self.node_names)} nodes, counted from 0")

    def __len__(self) -> int:
        return int(self.contact_id.size)

    def write(self, path: Path) -> None:
        """Write to Parquet; exact."""
        columns = {name: getattr(self, name) for name in COLUMNS}
        write_columns(path, CONTACT_PLAN, columns, COLUMNS, node_names=self.node_names, horizon_s=self.horizon_s)

    @classmethod
    def read(cls, path: Path) -> ContactPlan:
        """Read what :meth:`write` or :func:`~orbital_train.windows.writer.write_contacts` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            InputError: it is damaged, is no contact plan of this version, or holds what no plan can (key
                ``contact plan``).
        """
        columns, facts = read_columns(path, CONTACT_PLAN, COLUMNS)
        # What was written while links were being found stands in the order in which they ended.
        if (np.diff(columns["contact_id"]) < 0).any():
            order = np.argsort(columns["contact_id"])
            columns = {name: column[order] for name, column in columns.items()}
        if not np.array_equal(columns["contact_id"], np.arange(columns["contact_id"].size)):
            raise InputError(CONTACT_PLAN, str(path), "contact_id must count the contacts from 0, each once")
        return cls(node_names=tuple(facts["node_names"]), horizon_s=facts["horizon_s"], **columns)


_FLOATS = ("acquire_start_s", "start_s", "end_s", "rate_bps", "owlt_s")
COLUMNS: Types = {
    f.name: np.float64 if f.name in _FLOATS else np.int64
    for f in fields(ContactPlan)
    if f.name not in ("node_names", "horizon_s")
}


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
        columns = {
            "node": np.repeat(np.arange(len(self.fraction)), [f.size for f in self.fraction]),
            "start_s": np.concatenate([e[:-1] for e in self.edge_s]),
            "fraction": np.concatenate(self.fraction),
        }
        facts = {"node_names": self.node_names, "horizon_s": self.horizon_s, "sun_distance_au": self.sun_distance_au}
        write_columns(path, _ILLUMINATION, columns, _STEPS, **facts)

    @classmethod
    def read(cls, path: Path) -> Illumination:
        """Read what :meth:`write` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            InputError: it is damaged, or is no illumination of this version (key ``illumination``).
        """
        columns, facts = read_columns(path, _ILLUMINATION, _STEPS)
        names, horizon_s = tuple(facts["node_names"]), facts["horizon_s"]
        node = columns["node"]
        if not np.array_equal(node[np.diff(node, prepend=-1) != 0], np.arange(len(names))):
            raise InputError(_ILLUMINATION, str(path), "its rows must be of one node after the other, and of all nodes")
        first = np.searchsorted(node, np.arange(1, len(names)))
        return cls(
            node_names=names,
            horizon_s=horizon_s,
            edge_s=tuple(np.append(start_s, horizon_s) for start_s in np.split(columns["start_s"], first)),
            fraction=tuple(np.split(columns["fraction"], first)),
            sun_distance_au=facts["sun_distance_au"],
        )


_STEPS: Types = {"node": np.int64, "start_s": np.float64, "fraction": np.float64}
