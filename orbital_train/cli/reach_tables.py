"""Who can reach whom, and how soon, as ``plan`` prints it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rich.table import Table

from orbital_train.report import fmt
from orbital_train.schedule.reach import Reach

MOST_COLUMNS = 12  # nodes up to which every pair is told
_WIDTH = 80
_NAMED = 4  # pairs that are named; of the others only the number is told


def reach_rows(reaches: tuple[Reach, ...], names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """How soon messages get through, of each size, in one line a figure; the first is told of in full."""
    for reach, what in zip(reaches, ("message", "signal"), strict=False):
        yield f"{what}, {fmt.data_bytes(reach.bits / 8)}", _reached(reach)
    for reach in reaches[:1]:
        if slowest := _slowest(reach, names):
            yield "slowest pair", slowest
        if np.isinf(reach.first_s).any():
            yield "cannot reach", _pairs(np.argwhere(np.isinf(reach.first_s)).tolist(), reach, names)
        yield "delays", _how(reach, names)


def _reached(reach: Reach) -> str:
    """How many pairs a message can join, and how soon."""
    first_s, worst_s = reach.first_s[reach.pairs], reach.worst_s[reach.pairs]
    known = np.isfinite(first_s)
    share = f"{int(known.sum()):,} of {known.size:,} pairs"
    if not known.any():
        return share
    worst = float(worst_s[known].max())
    longest = fmt.duration(worst) if np.isfinite(worst) else "beyond the horizon"
    return f"{share}; median {fmt.duration(float(np.median(first_s[known])))}, longest {longest}"


def _slowest(reach: Reach, names: tuple[str, ...]) -> str:
    """The pair with the longest delay of those that can be joined; empty where none can."""
    worst_s = np.where(reach.pairs & np.isfinite(reach.first_s), reach.worst_s, -np.inf)
    worst = np.unravel_index(worst_s.argmax(), worst_s.shape)
    return _pairs([[int(i) for i in worst]], reach, names) if worst_s[worst] > -np.inf else ""


def _pairs(rows: list[list[int]], reach: Reach, names: tuple[str, ...]) -> str:
    """Some pairs by name: rows of the reach's source and destination."""
    named = ", ".join(f"{names[reach.sources[s]]} to {names[d]}" for s, d in rows[:_NAMED])
    return named + (f" and {fmt.plural(len(rows) - _NAMED, 'more pair')}" if len(rows) > _NAMED else "")


def _how(reach: Reach, names: tuple[str, ...]) -> str:
    tried = "any start time" if reach.starts is None else f"{reach.starts} start times"
    text = f"median from the start; longest of {tried} in one orbit"
    if len(reach.sources) == len(names):
        return text
    return f"{text}; from {len(reach.sources)} nodes, evenly chosen: {', '.join(names[i] for i in reach.sources)}"


def reach_table(reach: Reach, names: tuple[str, ...]) -> Table | None:
    """Every pair of a small fleet: the longest delay of its message from the row's node to the column's."""
    nodes = len(names)
    if nodes > MOST_COLUMNS:
        return None
    worst_s = reach.worst_s
    size_s, unit = fmt.time_unit(float(np.max(worst_s, where=np.isfinite(worst_s), initial=0.0)))
    cells = [[_cell(reach, s, d, size_s) for d in range(nodes)] for s in range(nodes)]
    widths = [max(len(names[d]), *(len(row[d]) for row in cells)) for d in range(nodes)]
    if max(len(name) for name in names) + sum(widths) + 2 * nodes > _WIDTH:
        return None
    title = f"longest delay of {fmt.data_bytes(reach.bits / 8)}, from row to column ({unit})"
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="")
    table.add_column("from", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for name, row in zip(names, cells, strict=True):
        table.add_row(name, *row)
    return table


def _cell(reach: Reach, source: int, dest: int, size_s: float) -> str:
    if source == dest:
        return "·"
    if np.isinf(reach.first_s[source, dest]):
        return "never"
    worst_s = float(reach.worst_s[source, dest])
    return fmt.significant(worst_s / size_s, 2) if np.isfinite(worst_s) else "late"


def delay(t_s: float) -> str:
    """As text; infinite is past the horizon, and not a number was not followed."""
    if np.isnan(t_s):
        return fmt.NONE
    return fmt.duration(t_s) if np.isfinite(t_s) else "too late"
