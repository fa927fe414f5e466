"""The link opportunities before terminal matching, as a file beside the contact plan."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import numpy as np

from orbital_train.windows.columns import Types, read_columns, write_parts
from orbital_train.windows.links import Opportunities

OPPORTUNITIES = "opportunities"
_COLUMNS: Types = {f.name: np.float64 if f.name in ("start_s", "end_s") else np.int64 for f in fields(Opportunities)}


def write_opportunities(path: Path, found: Iterable[Opportunities]) -> int:
    """Write link opportunities part by part, in the order in which they come; returns their number."""
    return write_parts(
        path, OPPORTUNITIES, ({name: getattr(part, name) for name in _COLUMNS} for part in found), _COLUMNS
    )


def read_opportunities(path: Path) -> Opportunities:
    """Read what :func:`write_opportunities` wrote; exact.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is damaged, or holds no opportunities of this version (key ``opportunities``).
    """
    columns, _ = read_columns(path, OPPORTUNITIES, _COLUMNS)
    return Opportunities(**columns)
