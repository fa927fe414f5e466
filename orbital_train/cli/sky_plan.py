"""The ``plan`` command for a recipe of a sky alone: windows, and no schedule."""

from __future__ import annotations

import resource
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console

from orbital_train.cli.planning import flown_fleet, in_the_recipes_words, longest_period_s, survey
from orbital_train.cli.run_directory import RunDirectory, check_directory, open_run, write_json
from orbital_train.cli.seasons import season_lines
from orbital_train.cli.sky import sky_at
from orbital_train.cli.sky_cache import streamed_or_cached
from orbital_train.cli.sky_estimate import estimate_line
from orbital_train.cli.sky_stream import MOST_ON_GRID, check_streamable
from orbital_train.cli.sky_tables import PlannedSky, figures, shells_table, windows_table
from orbital_train.cli.survey import CONTACTS, Survey, write_windows
from orbital_train.config.load import dump_recipe
from orbital_train.config.recipe import SkyRecipe
from orbital_train.errors import InputWarning
from orbital_train.orbit.fleet import Fleet
from orbital_train.report import fmt
from orbital_train.report.stages import stages
from orbital_train.windows.exchange.files import EXPORTS, plan_text
from orbital_train.windows.measures import eclipses, typical_moment_s
from orbital_train.windows.tally import tally_plan

NO_SCHEDULE = "no schedule was simulated: the recipe has no [schedule]"


def plan_sky(
    recipe: SkyRecipe,
    out: Path,
    console: Console,
    exports: tuple[str, ...] = (),
    most_on_grid: int = MOST_ON_GRID,
) -> None:
    """Plan the windows of a recipe, print what came of them, and write them; draw them, if one grid holds the fleet.

    Args:
        recipe: the recipe.
        out: directory to write.
        console: for what is told.
        exports: formats to write the contacts in too.
        most_on_grid: satellites up to which a fleet is planned on one grid of states.

    Raises:
        InputError: the recipe or the directory will not do.
    """
    begin_s = time.perf_counter()
    check_directory(out, recipe, resume=False)
    # What is odd about the fleet is told once: below, or by its survey.
    with in_the_recipes_words(), warnings.catch_warnings(record=True) as odd:
        warnings.simplefilter("always", InputWarning)
        fleet = flown_fleet(recipe)
    on_grid = len(fleet) <= most_on_grid
    if on_grid:
        planned = _on_grid(recipe, fleet, out, exports)
    else:
        for warning in odd:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        check_streamable(recipe, len(fleet), exports)
        console.print(estimate_line(len(fleet), recipe.time.horizon_h * 3600.0), highlight=False, soft_wrap=True)
        planned = _streamed(recipe, fleet, out, tuple(str(warning.message) for warning in odd))
    for table in (windows_table(recipe, planned), shells_table(recipe, planned)):
        if table is not None:
            console.print(table)
            console.print()
    for line in season_lines(recipe) if on_grid else ():
        console.print(line, highlight=False, soft_wrap=True)
    took = f"planned in {fmt.duration(time.perf_counter() - begin_s)} and {_peak_gib():.2f} GiB"
    console.print(f"{took}; {NO_SCHEDULE}\nwindows: {out}", highlight=False, markup=False, soft_wrap=True)


def _on_grid(recipe: SkyRecipe, fleet: Fleet, out: Path, exports: tuple[str, ...]) -> PlannedSky:
    """The way of every plan, as far as the schedule."""
    progress = Console(stderr=True)
    with stages(progress) as note:
        sky = survey(recipe, note)
        planned = PlannedSky(
            fleet=fleet,
            horizon_s=sky.contacts.horizon_s,
            period_s=sky.period_s,
            sites=len(sky.contacts.node_names) - len(fleet),
            links=np.unique(sky.contacts.link_id).size,
            tally=tally_plan(sky.contacts),
            eclipses=eclipses(sky.light),
        )
    with _written(recipe, out) as run, stages(progress) as note:
        note("writing the windows")
        write_windows(sky, run.plan)
        for form in exports:
            (run.plan / EXPORTS[form]).write_text(plan_text(form, sky.contacts, recipe.time.start), encoding="utf-8")
        note("drawing")
        _draw(recipe, fleet, sky, run.plan)
        write_json(run.plan_summary, {**figures(planned), "notes": list(sky.notes)})
    return planned


def _streamed(recipe: SkyRecipe, fleet: Fleet, out: Path, notes: tuple[str, ...]) -> PlannedSky:
    """The same in bounded memory; light and pictures are not kept."""
    with _written(recipe, out) as run, stages(Console(stderr=True)) as note:
        tally, dark = streamed_or_cached(recipe, fleet, run.plan / CONTACTS, note)
        planned = PlannedSky(
            fleet=fleet,
            horizon_s=recipe.time.horizon_h * 3600.0,
            period_s=longest_period_s(fleet),
            sites=0,
            links=tally.contacts // 2,
            tally=tally,
            eclipses=dark,
        )
        write_json(run.plan_summary, {**figures(planned), "notes": list(notes)})
    return planned


@contextmanager
def _written(recipe: SkyRecipe, out: Path) -> Iterator[RunDirectory]:
    """A run directory that holds the resolved recipe and an empty plan."""
    with open_run(out, recipe, resume=False) as run:
        run.plan.mkdir()
        run.recipe.write_text(dump_recipe(recipe), encoding="utf-8")
        yield run


def _draw(recipe: SkyRecipe, fleet: Fleet, sky: Survey, folder: Path) -> None:
    """Matplotlib is loaded only once there is something to draw."""
    from orbital_train.report.orbits import orbits_plot

    moment = sky_at(recipe, fleet, typical_moment_s(sky.contacts))
    (folder / "orbits.png").write_bytes(orbits_plot(sky.contacts, sky.light, moment, recipe.name))


def _peak_gib() -> float:
    """The most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20
