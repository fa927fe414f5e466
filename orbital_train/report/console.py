"""The results as a table for the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from orbital_train.report.results import result_rows
from orbital_train.report.runs import Comparison


def console_table(comparison: Comparison) -> Table:
    """The same rows as in the HTML report, one column an arm."""
    table = Table(title=Text(comparison.name), title_justify="left")
    table.add_column("")
    for i, arm in enumerate(comparison.arms):
        table.add_column(Text(arm.name), justify="right", overflow="fold", style="bold" if i == 0 else "")
    for row in result_rows(comparison):
        table.add_row(Text(row.label), *(Text(cell) for cell in row.cells))
    return table
