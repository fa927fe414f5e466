"""``plan --policy``: the schedules of several policies side by side, in one world and with one budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from orbital_train.cli.planning import check_scenario, flown_in, scenario_of, simulated, survey
from orbital_train.cli.schedule_estimate import estimate_line
from orbital_train.cli.survey import Survey
from orbital_train.cli.watching import clock
from orbital_train.config import build
from orbital_train.config.load import with_values
from orbital_train.config.policies import POLICIES
from orbital_train.config.recipe import Recipe
from orbital_train.errors import InputError
from orbital_train.report import fmt
from orbital_train.report.stages import Stages, stages
from orbital_train.schedule.bounds import bound, ceiling, find_limits, merged_with_others, most_merged
from orbital_train.schedule.measures import Measures, measure
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.validate import validate

ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one policy makes of a recipe."""

    label: str
    measures: Measures
    bound_share: float | None  # merged steps, of the most that any policy could; None in the ideal world
    ceiling: float | None  # the most with as many steps a contribution, by what it merges with others


def chosen(text: str) -> tuple[str, ...]:
    """Names of policies in ``NAME[,NAME]`` or ``all``.

    Raises:
        InputError: one does not exist.
    """
    if text == ALL:
        return tuple(POLICIES)
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in POLICIES:
            raise InputError("--policy", name, f"must be {ALL} or one of {', '.join(POLICIES)}")
    return names


def tabulate(recipe: Recipe, names: Sequence[str], console: Console) -> None:
    """Simulate the recipe under each of these policies, and print what comes of it.

    Raises:
        InputError: the recipe will not do.
    """
    progress = Console(stderr=True)
    build.train_spec(recipe)
    with stages(progress) as note:
        sky = survey(recipe, note)
        check_scenario(recipe, sky, scenario_of(recipe, sky))
    forms = [form for name in names for form in _forms(recipe, name)]
    estimate = estimate_line(recipe, sky, policies=len(forms))
    if estimate:
        progress.print(estimate, highlight=False, soft_wrap=True)
    with stages(progress) as note:
        rows = [_row(label, changed, sky, note) for label, changed in forms]
    for table in (merging_table(rows), spending_table(rows)):
        console.print(table)
        console.print()


def _forms(recipe: Recipe, name: str) -> Iterator[tuple[str, Recipe]]:
    """The policy in each of its forms."""
    changed = with_values(recipe, {"schedule.policy": name})
    if not POLICIES[name].forms:
        yield name, changed
    for form in POLICIES[name].forms:
        yield f"{name} {form}", with_values(changed, {"schedule.form": form})


def _row(label: str, recipe: Recipe, sky: Survey, note: Stages) -> Row:
    note(f"simulating {label}")
    flown = flown_in(recipe, sky)
    scenario = scenario_of(recipe, flown)
    trace = simulated(recipe, scenario, clock(note))
    validate(trace, scenario)
    share, times = (None, None) if flown.ideal else _beside_bounds(scenario, trace)
    return Row(label=label, measures=measure(trace), bound_share=share, ceiling=times)


def _beside_bounds(scenario: Scenario, trace: Trace) -> tuple[float, float | None]:
    """The share of the bound by the end of the run, and the ceiling at the same steps a contribution."""
    limits = find_limits(scenario, trace.end_us)
    steps, mean = merged_with_others(trace)
    times = None if mean is None else ceiling(bound(limits, mean).steps, steps)
    return trace.merged_steps / max(1, most_merged(limits, trace)), times


def merging_table(rows: Sequence[Row]) -> Table:
    """What is merged, beside what could be."""
    return _table(
        rows,
        {
            "tokens\nan hour": lambda row: fmt.count(row.measures.merged_tokens_per_h),
            "good-\nput %": lambda row: _percent(row.measures.goodput),
            "of the\nbound %": lambda row: _known(row.bound_share, _percent),
            "ceil-\ning": lambda row: _known(row.ceiling, fmt.times),
            "duty\n%": lambda row: _percent(row.measures.duty),
            "merges": lambda row: f"{row.measures.merges:,}",
            "steps\neach": lambda row: _known(row.measures.mean_inner_steps, lambda mean: f"{mean:.1f}"),
            "staleness\nmean, max": lambda row: _staleness(row.measures),
        },
    )


def spending_table(rows: Sequence[Row]) -> Table:
    """Where bytes, time and steps went."""
    return _table(
        rows,
        {
            "sent": lambda row: fmt.data_bytes(row.measures.link_bytes),
            "lost": lambda row: f"{row.measures.lost_transfers:,}",
            "trains\n%": lambda row: _percent(row.measures.training_fraction),
            "waits\n%": lambda row: _percent(row.measures.waiting_fraction),
            "no\nenergy %": lambda row: _percent(row.measures.no_energy_fraction),
            "down\n%": lambda row: _percent(row.measures.down_fraction),
            "re-\nstores %": lambda row: _percent(row.measures.restoring_fraction),
            "steps\nlost": lambda row: f"{row.measures.fault_lost_steps:,}",
        },
    )


def _table(rows: Sequence[Row], columns: dict[str, Callable[[Row], str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column("policy", no_wrap=True)
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.label, *(cell(row) for cell in columns.values()))
    return table


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _known(value: float | None, text: Callable[[float], str]) -> str:
    return fmt.NONE if value is None else text(value)


def _staleness(measures: Measures) -> str:
    return _known(measures.mean_staleness, lambda mean: f"{mean:.2f}, {measures.max_staleness}")
