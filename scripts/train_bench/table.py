"""What was measured, beside what it should be."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure; ``most`` says whether the target is the largest value that will do, or the smallest."""

    what: str
    measured: Sequence[float]  # pair by pair
    target: float | None  # None: nothing is asked
    most: bool = True
    note: str = ""

    @property
    def median(self) -> float:
        """Of the pairs."""
        return statistics.median(self.measured)

    @property
    def met(self) -> bool | None:
        """Whether the median will do."""
        if self.target is None:
            return None
        return self.median <= self.target if self.most else self.median >= self.target


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A figure that cannot be had here."""

    what: str
    why: str


def table(rows: Sequence[Row | Skipped]) -> Table:
    """For a console."""
    shown = Table("figure", "target", "measured", "from", "to", "met", "note")
    for row in rows:
        if isinstance(row, Skipped):
            shown.add_row(row.what, "", "skipped", "", "", "", row.why)
            continue
        sign = "≤" if row.most else "≥"
        shown.add_row(
            row.what,
            "" if row.target is None else f"{sign} {row.target:g}",
            f"{row.median:.3f}",
            f"{min(row.measured):.3f}",
            f"{max(row.measured):.3f}",
            {True: "yes", False: "no", None: ""}[row.met],
            row.note,
        )
    return shown
