"""The link opportunities before terminal matching, as a file beside the contact plan."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np

from orbital_train.windows.columns import read_columns
from orbital_train.windows.links import Opportunities

OPPORTUNITIES = "opportunities"


def read_opportunities(path: Path) -> Opportunities:
    """Read what :func:`~orbital_train.windows.writer.write_opportunities` wrote; exact.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is damaged, or holds no opportunities of this version (key ``opportunities``).
    """
    types = {f.name: np.float64 if f.name in ("start_s", "end_s") else np.int64 for f in fields(Opportunities)}
    columns, _ = read_columns(path, OPPORTUNITIES, types)
    return Opportunities(**columns)
