"""The trace of a scenario under a policy."""

from __future__ import annotations

from typing import Any

from orbital_train.schedule.grouped import Grouped
from orbital_train.schedule.known import Policy
from orbital_train.schedule.records import uncollected
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulation import Simulation, Watch
from orbital_train.schedule.trace import Trace


def simulate(scenario: Scenario, policy: Policy[Any], watch: Watch | None = None) -> Trace:
    """The trace of a scenario under a policy: a pure function, which lets itself be watched."""
    kind = Grouped if policy.adoption.scope == "group" else Simulation
    with uncollected():
        return kind(scenario, policy, watch).run()
