"""What simulating a schedule will take, before it begins."""

from __future__ import annotations

from orbital_train.cli.survey import Survey
from orbital_train.config import build
from orbital_train.config.recipe import Recipe
from orbital_train.report import fmt

# As measured by scripts/bench_schedule for 1,000 and 10,000 satellites over a day: for each contribution that nodes can
# make in the time that the budget takes.
_S_PER_CONTRIBUTION, _BYTES_PER_CONTRIBUTION, _DISK_PER_CONTRIBUTION = 4e-4, 4_500.0, 1_800.0
_BYTES_AT_LEAST = 1.5e8
_SOON_S = 10.0  # nobody wants to be told


def estimate_line(recipe: Recipe, sky: Survey, policies: int = 1) -> str | None:
    """Wall time, memory and disk in one line: rough, as policies differ; None if it is soon done."""
    satellites, schedule = sky.satellites, recipe.schedule
    step_s = build.workload(recipe).step_us / 1e6
    steps = min(schedule.budget_steps, satellites * sky.contacts.horizon_s / step_s)
    contributions = steps / schedule.inner_steps
    seconds = contributions * _S_PER_CONTRIBUTION * policies
    if seconds < _SOON_S:
        return None
    memory_gib = (_BYTES_AT_LEAST + contributions * _BYTES_PER_CONTRIBUTION) / 2**30
    disk = f", {fmt.data_bytes(contributions * _DISK_PER_CONTRIBUTION)} on disk" if policies == 1 else ""
    return (
        f"estimate for {satellites:,} satellites over {fmt.duration(sky.contacts.horizon_s)}: about "
        f"{fmt.duration(seconds)}, {memory_gib:.1f} GiB of memory{disk}"
    )
