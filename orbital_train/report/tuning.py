"""The grids of learning rates that were tried, one per arm, as text cells."""

from __future__ import annotations

from dataclasses import dataclass

from orbital_train.report import fmt
from orbital_train.report.runs import Comparison, TuningPoint


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Inner learning rates down, outer ones across; a cell is its loss and whether the point was chosen."""

    arm: str
    outer_lrs: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, bool], ...]], ...]


def grids(comparison: Comparison) -> tuple[Grid, ...]:
    """One grid for each arm that was tuned; points that were not tried are dashes."""
    points = [[p for p in comparison.tuning if p.arm == arm.name] for arm in comparison.arms]
    return tuple(_grid(tried) for tried in points if tried)


def _grid(points: list[TuningPoint]) -> Grid:
    cells = {(p.inner_lr, p.outer_lr): (fmt.loss(p.loss), p.chosen) for p in points}
    inner, outer = (sorted({key[axis] for key in cells}) for axis in (0, 1))
    rows = [(f"{i:g}", tuple(cells.get((i, o), (fmt.NONE, False)) for o in outer)) for i in inner]
    return Grid(arm=points[0].arm, outer_lrs=tuple(f"{o:g}" for o in outer), rows=tuple(rows))
