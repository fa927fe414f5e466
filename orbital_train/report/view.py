"""What of a run the timeline shows, so that it stays readable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orbital_train.report import fmt
from orbital_train.report.activity import activities, orbit_period_s
from orbital_train.report.runs import Plan
from orbital_train.schedule.ops.merging import Merge

MOST_LANES = 24
SAMPLE = 12  # lanes shown where there are more nodes than MOST_LANES
_MARKS = 48  # spans of work and light in one lane up to which it is still readable
_MERGES = 48


@dataclass(frozen=True, kw_only=True)
class View:
    """Which nodes, and from the start to when."""

    nodes: tuple[int, ...]
    fleet: int  # how many nodes there are
    end_s: float
    whole: bool  # whether that is the whole run
    orbits: float | None  # the length in orbits, where eclipses tell it

    @property
    def words(self) -> str:
        """The same in words, for the caption."""
        span = "The whole run" if self.whole else f"The first {fmt.duration(self.end_s)}"
        if not self.whole and self.orbits is not None:
            span += f" ({self.orbits:.3g} orbit{'s' if self.orbits != 1 else ''})"
        if len(self.nodes) < self.fleet:
            return f"{span}; {len(self.nodes)} of {self.fleet} nodes, evenly chosen."
        return f"{span}, all nodes." if self.fleet > 1 else f"{span}."


def readable_view(run: Plan) -> View:
    """All nodes or an even sample of them, and as long a time from the start, in whole orbits, as stays readable."""
    fleet = run.trace.fleet_nodes
    lanes = len(fleet) if len(fleet) <= MOST_LANES else SAMPLE
    nodes = tuple(fleet[int(i)] for i in np.linspace(0, len(fleet) - 1, lanes).round())
    run_s = run.trace.end_us / 1e6
    end_s = min(run_s, _readable_s(run, nodes))
    period_s = orbit_period_s(run.light, fleet)
    if period_s is not None and end_s < run_s:
        end_s = min(run_s, max(1, int(end_s / period_s)) * period_s)
    orbits = end_s / period_s if period_s else None
    return View(nodes=nodes, fleet=len(fleet), end_s=end_s, whole=end_s == run_s, orbits=orbits)


def _readable_s(run: Plan, nodes: tuple[int, ...]) -> float:
    """When the lanes are full: too many spans of work and light in a lane, or too many merges."""
    work = activities(run.trace, run.faults)
    spans_s = np.concatenate([x for n in nodes for x in (work[n].training[:, 0], run.light.edge_s[n])])
    merges_s = np.array([op.end_us / 1e6 for op in run.trace.of_kind(Merge)])
    full_s = [
        float(np.sort(times)[most])
        for times, most in ((spans_s, _MARKS * len(nodes)), (merges_s, _MERGES))
        if len(times) > most
    ]
    return min(full_s, default=np.inf)
