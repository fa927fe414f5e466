"""What ``plan`` says about power: what continuous training would need, and what slows it down."""

from __future__ import annotations

from orbital_train.cli.energy import needs_words
from orbital_train.cli.planning import Flight


def sizing_lines(flight: Flight) -> list[str]:
    """Array and battery that training without a pause would need, and whether it is throttled; nothing on mains."""
    power, factor = flight.scenario.power, flight.scenario.workload.step_time_factor
    if power is None:
        return []
    has = f"the recipe has {power.array_m2:.3g} m2 and {power.battery_wh:,.0f} Wh"
    lines = [f"{needs_words(flight.scenario, power)}; {has}"]
    if factor > 1.0:
        lines.append(f"training is throttled to {power.train_w:.0f} W; a step takes {factor:.2f} times as long")
    return lines
