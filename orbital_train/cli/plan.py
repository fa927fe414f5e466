"""The ``plan`` command: windows and schedule, told in tables, drawn, and written to a run directory."""

from __future__ import annotations

import warnings
from pathlib import Path

from rich.console import Console

from orbital_train.cli.plan_tables import Planned, nodes_table, sky_table
from orbital_train.cli.planning import Flight, checked_fleet, fly, survey
from orbital_train.cli.reach_tables import reach_table
from orbital_train.cli.run_directory import check_directory, open_run
from orbital_train.cli.schedule_estimate import estimate_line
from orbital_train.cli.seasons import season_lines
from orbital_train.cli.sizing import sizing_lines
from orbital_train.cli.sky import sky_at
from orbital_train.cli.tables import measures_table
from orbital_train.cli.watching import clock
from orbital_train.config import build
from orbital_train.config.recipe import Recipe
from orbital_train.errors import InputWarning
from orbital_train.orbit.fleet import Fleet
from orbital_train.report.stages import stages
from orbital_train.schedule.network import Network
from orbital_train.schedule.reach import Reach, find_reach
from orbital_train.windows.exchange.files import EXPORTS, plan_text
from orbital_train.windows.measures import eclipses, linked, typical_moment_s

SIGNAL_BITS = 8_000  # a kilobyte: takes next to no time on any link


def plan(recipe: Recipe, out: Path, console: Console, exports: tuple[str, ...] = ()) -> None:
    """Plan a recipe, print what came of it, and write it with its pictures, and its contacts in these formats.

    Raises:
        InputError: the recipe or the directory will not do.
    """
    check_directory(out, recipe, resume=False)
    progress = Console(stderr=True)
    with stages(progress) as note:
        sky = survey(recipe, note)
    if estimate := estimate_line(recipe, sky):
        progress.print(estimate, highlight=False, soft_wrap=True)
    with stages(progress) as note:
        flight = fly(recipe, sky, note, clock(note))
        note("following messages")
        planned = measured(recipe, flight)
    pairs = [reach_table(reach, planned.names) for reach in planned.reaches[:1]]
    for table in (sky_table(planned), nodes_table(planned), *pairs, measures_table(flight)):
        if table is not None:
            console.print(table)
            console.print()
    for line in (*sizing_lines(flight), *season_lines(recipe)):
        console.print(line, highlight=False, soft_wrap=True)
    with open_run(out, recipe, resume=False) as run, stages(progress) as note:
        note("writing the plan")
        texts = {EXPORTS[form]: plan_text(form, flight.survey.contacts, recipe.time.start) for form in exports}
        run.write_plan(recipe, flight, texts)
        note("drawing")
        _draw(recipe, planned, run.plan)
    console.print(f"plan, pictures and trace: {out}", highlight=False, soft_wrap=True)


def measured(recipe: Recipe, flight: Flight) -> Planned:
    """What a flight amounts to. In the ideal world all is reached at once, and nothing is followed."""
    sky, reaches = flight.survey, tuple[Reach, ...]()
    if len(sky.contacts.node_names) > 1 and not sky.ideal:
        network = Network(sky.contacts)
        sizes = (flight.scenario.workload.message_bits, SIGNAL_BITS)
        reaches = tuple(find_reach(network, bits, sky.period_s) for bits in sizes)
    return Planned(
        flight=flight,
        fleet=sky.fleet or _fleet(recipe),
        eclipses=eclipses(sky.light),
        linked=linked(sky.contacts),
        reaches=reaches,
    )


def _fleet(recipe: Recipe) -> Fleet:
    """The satellites once more, where the survey comes from the cache. What is odd about them was told."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        return checked_fleet(build.fleet_spec(recipe), recipe.time.start, recipe.time.horizon_h * 3600.0)


def _draw(recipe: Recipe, planned: Planned, folder: Path) -> None:
    """Matplotlib is loaded only once there is something to draw."""
    from orbital_train.report.orbits import orbits_plot
    from orbital_train.report.runs import Plan
    from orbital_train.report.timeline import timeline_plot

    flight = planned.flight
    plan = Plan(
        contacts=flight.survey.contacts,
        light=flight.survey.light,
        faults=flight.scenario.faults,
        trace=flight.trace,
    )
    sky = sky_at(recipe, planned.fleet, typical_moment_s(plan.contacts))
    (folder / "timeline.png").write_bytes(timeline_plot(plan, recipe.name))
    (folder / "orbits.png").write_bytes(orbits_plot(plan.contacts, plan.light, sky, recipe.name))
