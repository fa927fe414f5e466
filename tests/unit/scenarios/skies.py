"""Surveys of the six scenarios, each made once for all tests of a process."""

from __future__ import annotations

from functools import cache

import numpy as np

from orbital_train.cli.planning import survey
from orbital_train.cli.survey import Survey
from orbital_train.orbit.arrays import BoolArray, FloatArray
from orbital_train.windows.plan import ContactPlan
from tests.scenarios import real_starlink, scenario

DAY_S = 86_400.0


@cache
def sky(name: str) -> Survey:
    """What the sky allows in one of the scenarios, or in ``real_starlink``."""
    return survey(real_starlink() if name == "real_starlink" else scenario(name))


def share(plan: ContactPlan, rows: BoolArray, nodes: int) -> FloatArray:
    """Share of the time that the contacts in these rows are open for each sender, (N,), where none overlap."""
    open_s = np.bincount(plan.source[rows], weights=(plan.end_s - plan.start_s)[rows], minlength=nodes)
    return np.asarray(open_s[:nodes] / plan.horizon_s)
