"""The timeline of a plan: lanes for some nodes, heat maps for many."""

from __future__ import annotations

from orbital_train.report.heat import heat_plot
from orbital_train.report.lanes import lanes_plot
from orbital_train.report.runs import Plan
from orbital_train.report.view import MOST_LANES, readable_view


def timeline_plot(plan: Plan, title: str) -> bytes:
    """Sunlight, battery, links, training and merges of every node: PNG."""
    if len(plan.trace.fleet_nodes) > MOST_LANES:
        return heat_plot(plan, title)
    view = readable_view(plan)
    return lanes_plot(plan, f"{title}: {view.words[0].lower()}{view.words[1:].rstrip('.')}", view)
