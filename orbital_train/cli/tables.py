"""What ``plan`` and ``recipes`` print."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

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


def measures_table(flight: Flight) -> Table:
    """What the trace amounts to."""
    m = measure(flight.trace)
    table = Table("measure", "value", box=None, show_header=False, pad_edge=False)
    rows = {
        "policy": flight.trace.policy,
        "simulated time": f"{m.simulated_s / 3600:.2f} h",
        "inner step": f"{flight.trace.step_us / 1e6:.3f} s",
        "message": f"{flight.trace.message_bits / 8e9:.3g} GB",
        "steps merged / trained / budget": f"{m.merged_steps:,} / {m.trained_steps:,} / {m.budget_steps:,}",
        "tokens merged an hour": f"{m.merged_tokens_per_h:.4g}",
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
    if flight.scenario.faults:
        rows |= {
            "down / restoring": f"{m.down_fraction:.1%} / {m.restoring_fraction:.1%}",
            "steps lost to faults, of those never merged": f"{m.fault_lost_steps:,} of {m.lost_steps:,}",
            "transfers lost": f"{m.lost_transfers:,}",
        }
    for name, value in rows.items():
        table.add_row(name, value)
    return table
