"""What ``plan`` and ``recipes`` print."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.table import Table

from orbital_train.cli.planning import Flight
from orbital_train.schedule.measures import measure


def recipes_folder() -> Path:
    """Where the shipped recipes are: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def recipe_lines() -> Iterator[str]:
    """Each shipped recipe: its path, whole, so that it can be copied, and under it what it flies."""
    for path in sorted(recipes_folder().glob("*.toml")):
        yield str(path)
        yield f"    {tomllib.loads(path.read_text(encoding='utf-8'))['description']}"


def nodes_table(flight: Flight) -> Table:
    """Each node's light, contacts and training."""
    table = Table("node", "dark", "longest night", "contacts", "linked", "steps", "duty", "waiting", box=None)
    contacts, light = flight.survey.contacts, flight.survey.light
    for i, account in enumerate(flight.trace.accounts):
        edge_s, fraction = light.edge_s[i], light.fraction[i]
        dark = np.diff(edge_s) * (1.0 - fraction)
        mine = contacts.source == i
        linked = _union_s(contacts.start_s[mine], contacts.end_s[mine]) / contacts.horizon_s
        if not account.trains:
            table.add_row(account.name, "", "", str(int(mine.sum())), f"{linked:.0%}", "", "", "")
            continue
        table.add_row(
            account.name,
            f"{dark.sum() / light.horizon_s:.1%}",
            f"{_longest_night_s(edge_s, fraction) / 60:.1f} min",
            str(int(mine.sum())),
            f"{linked:.0%}",
            f"{account.steps:,}",
            f"{account.steps_allowed / max(1, account.steps_always_powered):.1%}",
            f"{account.waiting_us / max(1, flight.trace.end_us):.1%}",
        )
    return table


def measures_table(flight: Flight) -> Table:
    """What the trace amounts to."""
    m = measure(flight.trace)
    table = Table("measure", "value", box=None, show_header=False)
    rows = {
        "policy": flight.trace.policy,
        "simulated time": f"{m.simulated_s / 3600:.2f} h",
        "inner step": f"{flight.trace.step_us / 1e6:.3f} s",
        "message": f"{flight.trace.message_bits / 8e9:.3g} GB",
        "steps merged / trained / budget": f"{m.merged_steps:,} / {m.trained_steps:,} / {m.budget_steps:,}",
        "duty": f"{m.duty:.1%}",
        "goodput": f"{m.goodput:.1%}",
        "merges": f"{m.merges:,}",
        "steps a contribution": "-" if m.mean_inner_steps is None else f"{m.mean_inner_steps:.1f}",
        "staleness, mean and worst": "-" if m.mean_staleness is None else f"{m.mean_staleness:.2f}, {m.max_staleness}",
        "sent over links": f"{m.link_bytes / 1e12:.3f} TB",
        "training / waiting / no energy": " / ".join(
            f"{share:.1%}" for share in (m.training_fraction, m.waiting_fraction, m.no_energy_fraction)
        ),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _union_s(start_s: np.ndarray, end_s: np.ndarray) -> float:
    """Length of the union of intervals that are sorted by start."""
    if not start_s.size:
        return 0.0
    reached = np.maximum.accumulate(end_s)
    before = np.concatenate([[start_s[0]], reached[:-1]])
    return float(np.clip(reached - np.maximum(start_s, before), 0.0, None).sum())


def _longest_night_s(edge_s: np.ndarray, fraction: np.ndarray) -> float:
    """Longest stretch without full sunlight, penumbra included."""
    longest = current = 0.0
    for length, light in zip(np.diff(edge_s), fraction, strict=True):
        current = current + float(length) if light < 1.0 else 0.0
        longest = max(longest, current)
    return longest
