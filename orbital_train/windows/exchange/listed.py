"""From contacts as a text file lists them to a contact plan of the scenario."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orbital_train.errors import InputError
from orbital_train.windows.plan import ContactPlan, FloatArray, IntArray, LinkKind

PLAN_KEY = "links.plan"
"""Key of the recipe that names a plan's file."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One contact of a file."""

    where: str  # in the file, for errors
    source: int  # node number, from 1
    dest: int
    start_s: float  # since the scenario's start
    end_s: float
    rate_bps: float
    owlt_s: float


def refused(path: Path, where: str, problem: str) -> InputError:
    """An error that names the file and the place in it."""
    return InputError(PLAN_KEY, f"{path}, {where}", problem)


def refuse_no_length(path: Path, where: str, start_s: float, end_s: float) -> None:
    """Refuse a contact or range that does not end after it starts; times count from the scenario's start."""
    if not end_s > start_s:
        problem = f"starts at {start_s:.15g} s and ends at {end_s:.15g} s; accepted is an end after the start"
        raise refused(path, where, problem)


def listed_plan(
    path: Path, listed: Sequence[Listed], node_names: tuple[str, ...], satellites: int, horizon_s: float
) -> ContactPlan:
    """The contact plan of a scenario: its nodes, cut to its horizon, with values for what the file cannot say.

    Contacts from one node to the same other that overlap in time are those of several links.

    Args:
        path: the file, for errors.
        listed: its contacts; those of a node to itself carry nothing and are left out.
        node_names: satellites, then ground sites.
        satellites: how many of them are satellites.
        horizon_s: of the scenario.

    Raises:
        InputError: a contact names a node that is not there (key ``links.plan``).
    """
    for contact in listed:
        _check(path, contact, node_names)
    between = [c for c in listed if c.source != c.dest]
    source, dest = (np.array([n - 1 for n in ends], dtype=np.int64) for ends in _ends(between))
    start_s = np.array([c.start_s for c in between], dtype=np.float64)
    end_s = np.array([c.end_s for c in between], dtype=np.float64)
    start_s, end_s = np.maximum(start_s, 0.0), np.minimum(end_s, horizon_s)
    rows = np.argsort(start_s, kind="stable")
    rows = rows[end_s[rows] > start_s[rows]]
    source, dest, start_s, end_s = source[rows], dest[rows], start_s[rows], end_s[rows]
    lane = _lanes(source, dest, start_s, end_s)
    lanes = int(lane.max(initial=0)) + 1
    forth, back = ((a * len(node_names) + b) * lanes + lane for a, b in ((source, dest), (dest, source)))
    kinds = np.array([LinkKind.ISL, LinkKind.GROUND, LinkKind.TERRESTRIAL], dtype=np.int64)
    on_ground = (source >= satellites).astype(np.int64) + (dest >= satellites)
    return ContactPlan(
        node_names=node_names,
        horizon_s=horizon_s,
        contact_id=np.arange(rows.size),
        link_id=_numbered(np.minimum(forth, back)),
        source=source,
        dest=dest,
        source_terminal=_terminal(forth, back, len(node_names) * lanes),
        dest_terminal=_terminal(back, forth, len(node_names) * lanes),
        acquire_start_s=start_s,
        start_s=start_s,
        end_s=end_s,
        rate_bps=np.array([c.rate_bps for c in between], dtype=np.float64)[rows],
        owlt_s=np.array([c.owlt_s for c in between], dtype=np.float64)[rows],
        kind=kinds[on_ground],
    )


def _check(path: Path, contact: Listed, node_names: tuple[str, ...]) -> None:
    for node in (contact.source, contact.dest):
        if not 1 <= node <= len(node_names):
            last = f"{len(node_names)} ({node_names[-1]})"
            problem = f"there is no node {node}; accepted are 1 ({node_names[0]}) to {last}, satellites before sites"
            raise refused(path, contact.where, problem)


def _ends(listed: Sequence[Listed]) -> tuple[list[int], list[int]]:
    return [c.source for c in listed], [c.dest for c in listed]


def _numbered(key: IntArray) -> IntArray:
    """Numbers of equal keys, counted from 0 in the order in which they first occur."""
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    rank = np.empty_like(first)
    rank[np.argsort(first)] = np.arange(first.size)
    return np.asarray(rank[inverse], dtype=np.int64)


def _lanes(source: IntArray, dest: IntArray, start_s: FloatArray, end_s: FloatArray) -> IntArray:
    """Contacts, by start, from one node to the same other that overlap have different numbers, the lowest from 0."""
    lane = np.zeros(source.size, dtype=np.int64)
    until_s: dict[tuple[int, int], list[float]] = defaultdict(list)
    columns = zip(source.tolist(), dest.tolist(), start_s.tolist(), end_s.tolist(), strict=True)
    for row, (a, b, begin_s, stop_s) in enumerate(columns):
        taken_s = until_s[a, b]
        free = next((k for k, last_s in enumerate(taken_s) if last_s <= begin_s), len(taken_s))
        taken_s[free : free + 1] = [stop_s]
        lane[row] = free
    return lane


def _terminal(own: IntArray, other: IntArray, per_node: int) -> IntArray:
    """A terminal of each node for each of its links, counted from 0 in the order of its partners.

    Args:
        own: of every contact, node times ``per_node`` and a number of the link.
        other: the same of the other end.
        per_node: above all numbers of links.
    """
    both = np.unique(np.concatenate([own, other]))
    first_of_node = np.searchsorted(both, own // per_node * per_node)
    return np.asarray(np.searchsorted(both, own) - first_of_node, dtype=np.int64)
