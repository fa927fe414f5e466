"""From a recipe to a trace: orbits, windows, schedule. No torch, no ray."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from orbital_train.cli.energy import check_energy
from orbital_train.cli.radiation import radiation
from orbital_train.cli.survey import Survey
from orbital_train.cli.survey_cache import survey_or_cached
from orbital_train.cli.talk import check_talk
from orbital_train.config import build
from orbital_train.config.faults import fault_plan, fault_spec, refuse_unknown_nodes
from orbital_train.config.recipe import Recipe, SkyRecipe
from orbital_train.config.staging import staging_spec
from orbital_train.errors import InputError, InputWarning
from orbital_train.orbit.crowding import check_separation
from orbital_train.orbit.ephemeris import Ephemeris, GroundSite, Sgp4Ephemeris, SiteEphemeris, joined
from orbital_train.orbit.fleet import ElementFileSpec, Fleet, FleetSpec, build_fleet, check_age
from orbital_train.orbit.flyable import flyable
from orbital_train.orbit.grid import StateGrid, sample
from orbital_train.orbit.sun import sun_path
from orbital_train.schedule.faults import NO_FAULTS, FaultPlan
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.simulation import Watch
from orbital_train.schedule.synchronous import simulate_synchronous
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.validate import validate
from orbital_train.windows.contacts import plan_links
from orbital_train.windows.exchange.files import read_contacts
from orbital_train.windows.ideal import ideal_contacts, ideal_light
from orbital_train.windows.incidence import light_on_arrays
from orbital_train.windows.light import illuminate_on_grid
from orbital_train.windows.links import STEP_S, Opportunities
from orbital_train.windows.plan import ContactPlan

FEWEST_ORBITS = 2

Note = Callable[[str], None]
"""Told of each stage of planning as it begins."""


def _quiet(stage: str) -> None:
    """Nobody watches."""


# Where lower layers name their own settings, in SI units: the recipe's key, and its unit in theirs.
RECIPE_KEYS = {
    "start": ("time.start", None),
    "contact plan": ("links.plan", None),
    "links.max_range_m": ("links.maximum_range_km", 1e3),
    "links.max_rate_deg_s": ("links.maximum_rate_deg_s", 1.0),
}


@dataclass(frozen=True, kw_only=True)
class Flight:
    """A scenario and the trace that a policy makes of it."""

    survey: Survey
    scenario: Scenario
    trace: Trace
    notes: tuple[str, ...]  # those of the survey, and of this flight


def survey(recipe: SkyRecipe, note: Note = _quiet) -> Survey:
    """Propagate the fleet, find light and links; the same scenario's survey comes from the cache the next time.

    Raises:
        InputError: the fleet, its element sets or its links cannot be flown, or faults of other nodes are listed.
    """
    sky = survey_or_cached(recipe, "all", lambda: _survey(recipe, note))
    if isinstance(recipe, Recipe):
        refuse_unknown_nodes(recipe.faults, sky.contacts.node_names)  # one from the cache was made for other faults
    return sky


def _survey(recipe: SkyRecipe, note: Note) -> Survey:
    horizon_s = recipe.time.horizon_h * 3600.0
    sites = build.ground_sites(recipe)
    note("building the fleet")
    with in_the_recipes_words(), _noted() as notes:
        fleet = flown_fleet(recipe)
        _check_names(fleet, sites)
        if isinstance(recipe, Recipe):
            refuse_unknown_nodes(recipe.faults, (*fleet.names, *(site.name for site in sites)))
        satellites: Ephemeris = Sgp4Ephemeris(fleet.names, fleet.satrecs, recipe.time.start)
        everything = joined(satellites, SiteEphemeris(sites, recipe.time.start)) if sites else satellites
        note("propagating the fleet")
        grid = sample(everything, horizon_s, STEP_S)
        contacts, found = _contacts(recipe, fleet, grid, sites, note)
        note("finding light and shadow")
        names = contacts.node_names
        light = illuminate_on_grid(names, grid, len(fleet), recipe.time.start, build.light_spec(recipe))
        array_light = light_on_arrays(grid, len(fleet), recipe.time.start, light, build.array_mount(recipe))
    return Survey(
        contacts=contacts,
        light=light,
        array_light=array_light,
        satellites=len(fleet.names),
        period_s=longest_period_s(fleet),
        ideal=False,
        notes=tuple(notes),
        fleet=fleet,
        opportunities=found,
    )


def flown_fleet(recipe: SkyRecipe) -> Fleet:
    """The fleet of :func:`checked_fleet`, with element sets that are too old refused too."""
    spec, start, horizon_s = build.fleet_spec(recipe), recipe.time.start, recipe.time.horizon_h * 3600.0
    fleet = checked_fleet(spec, start, horizon_s)
    if isinstance(spec, ElementFileSpec):
        check_age(fleet, start, horizon_s, spec.allow_old)
    return fleet


def checked_fleet(spec: FleetSpec, start: datetime, horizon_s: float) -> Fleet:
    """The fleet that flies: satellites that would collide or fall are refused, or left out if the recipe says so."""
    if isinstance(spec, ElementFileSpec):
        return flyable(build_fleet(spec, start), start, horizon_s, drop_failing=spec.drop_failing)
    check_separation(spec, start, horizon_s)
    return build_fleet(spec, start)


def _contacts(
    recipe: SkyRecipe, fleet: Fleet, grid: StateGrid, sites: tuple[GroundSite, ...], note: Note
) -> tuple[ContactPlan, Opportunities | None]:
    """Contacts, and the opportunities that they were matched from unless they come from a file."""
    start, horizon_s = recipe.time.start, recipe.time.horizon_h * 3600.0
    path = build.contact_plan_path(recipe)
    if path is not None:
        names = (*fleet.names, *(site.name for site in sites))
        return read_contacts(path, names, len(fleet), start, horizon_s), None
    planned = plan_links(fleet, grid, sites, build.link_spec(recipe), sun_path(start, horizon_s), note)
    return planned.contacts, planned.opportunities


def survey_alone(recipe: Recipe, satellites: int) -> Survey:
    """The first satellite by itself, for long enough to do the work of all; it needs no links.

    Raises:
        InputError: its element set cannot be flown for that long, or is too old for it.
    """
    return survey_or_cached(recipe, f"alone {satellites}", lambda: _survey_alone(recipe, satellites))


def _survey_alone(recipe: Recipe, satellites: int) -> Survey:
    horizon_s = recipe.time.horizon_h * 3600.0 * satellites
    start = recipe.time.start
    with in_the_recipes_words(), _noted() as notes:
        spec = build.fleet_spec(recipe)
        fleet = checked_fleet(spec, start, recipe.time.horizon_h * 3600.0)
        if isinstance(spec, ElementFileSpec):
            check_age(_first_of(fleet), start, horizon_s, spec.allow_old)
        first = Sgp4Ephemeris(fleet.names[:1], fleet.satrecs[:1], start)
        grid = sample(first, horizon_s, STEP_S)
        light = illuminate_on_grid(first.names, grid, 1, start, build.light_spec(recipe))
        array_light = light_on_arrays(grid, 1, start, light, recipe.power.array_mount)
    return Survey(
        contacts=ideal_contacts(first.names, horizon_s),  # none, with nobody to talk to
        light=light,
        array_light=array_light,
        satellites=1,
        period_s=longest_period_s(fleet),
        ideal=False,
        notes=tuple(notes),
    )


def ideal_survey(real: Survey, recipe: Recipe) -> Survey:
    """The same satellites with ideal links and in constant sunlight, for as long as the budget can take."""
    names = real.contacts.node_names[: real.satellites]
    steps = -(-recipe.schedule.budget_steps // real.satellites) + 2 * recipe.schedule.inner_steps
    horizon_s = math.ceil(steps * build.workload(recipe).step_us / 1e6) + 1.0
    light = ideal_light(names, horizon_s)
    return Survey(
        contacts=ideal_contacts(names, horizon_s),
        light=light,
        array_light=light,
        satellites=real.satellites,
        period_s=0.0,
        ideal=True,
    )


def scenario_of(recipe: Recipe, sky: Survey) -> Scenario:
    """The scenario that the schedule simulates; all satellites train."""
    evaluate_every = max(1, recipe.schedule.budget_steps // recipe.schedule.evaluations)
    return Scenario(
        contacts=sky.contacts,
        light=sky.array_light,
        power=None if sky.ideal else build.power_spec(recipe),
        workload=build.workload(recipe),
        training_nodes=tuple(range(sky.satellites)),
        budget_steps=recipe.schedule.budget_steps,
        evaluate_every_steps=evaluate_every,
        staging=None if sky.ideal else staging_spec(recipe, sky.contacts.node_names),
        faults=NO_FAULTS if sky.ideal else fault_plan(recipe, sky.contacts, sky.satellites, radiation(recipe, sky)),
        more_faults=recipe.cluster.on_worker_loss == "dropout",
    )


def fly(
    recipe: Recipe,
    sky: Survey | None = None,
    note: Note = _quiet,
    watch: Watch | None = None,
    faults: FaultPlan | None = None,
) -> Flight:
    """Simulate a recipe; the survey is made when none is given. The fully connected policy flies in the ideal world.

    Args:
        recipe: of which.
        sky: its survey.
        note: told of each stage.
        watch: told of the simulated time.
        faults: in place of the recipe's own.

    Raises:
        InputError: the fleet can never talk, or never has the energy to train, or the model cannot be built.
    """
    build.train_spec(recipe)
    sky = flown_in(recipe, sky or survey(recipe, note))
    scenario = scenario_of(recipe, sky)
    if faults is not None:
        scenario = replace(scenario, faults=faults)
    with _noted() as notes:
        note("checking energy and links")
        check_scenario(recipe, sky, scenario)
        note("simulating the schedule")
        trace = simulated(recipe, scenario, watch)
        if trace.merged_steps < trace.budget_steps:
            share = trace.merged_steps / trace.budget_steps
            problem = f"{trace.policy} merges only {trace.merged_steps} ({share:.0%}) before the horizon ends"
            _warn("schedule.budget_steps", trace.budget_steps, problem)
    note("checking the schedule")
    validate(trace, scenario)
    return Flight(survey=sky, scenario=scenario, trace=trace, notes=(*sky.notes, *notes))


def flown_in(recipe: Recipe, sky: Survey) -> Survey:
    """The world in which the recipe's policy flies: this one, or the ideal one."""
    ideal = recipe.schedule.policy == "fully_connected" and not sky.ideal
    return ideal_survey(sky, recipe) if ideal else sky


def simulated(recipe: Recipe, scenario: Scenario, watch: Watch | None = None) -> Trace:
    """The trace of the recipe's policy; not checked.

    Raises:
        InputError: the policy cannot be built.
    """
    policy = build.policy(recipe, scenario.contacts.node_names)
    return simulate_synchronous(scenario) if policy is None else simulate(scenario, policy, watch)


def fly_again(recipe: Recipe, scenario: Scenario, faults: FaultPlan) -> Trace:
    """The trace of a scenario with other faults, checked."""
    failing = replace(scenario, faults=faults)
    trace = simulated(recipe, failing)
    validate(trace, failing)
    return trace


def check_scenario(recipe: Recipe, sky: Survey, scenario: Scenario) -> None:
    """Refuse what can never work and warn of what will mislead, before anything is simulated.

    Raises:
        InputError: some node can never exchange a message with the others, or no node ever has the energy to train.
    """
    if sky.ideal:
        return
    horizon_s = recipe.time.horizon_h * 3600.0
    if horizon_s < FEWEST_ORBITS * sky.period_s:
        orbit_h = sky.period_s / 3600.0
        _warn("time.horizon_h", recipe.time.horizon_h, f"is under two orbits of {orbit_h:.2f} h: few windows change")
    _warn_of_stress(recipe)
    check_talk(scenario)
    check_energy(scenario, build.power_spec(recipe))


def _first_of(fleet: Fleet) -> Fleet:
    return replace(fleet, names=fleet.names[:1], satrecs=fleet.satrecs[:1], plane=fleet.plane[:1], slot=fleet.slot[:1])


def longest_period_s(fleet: Fleet) -> float:
    """Of the slowest satellite."""
    return max(2 * math.pi / float(satrec.no_kozai) * 60.0 for satrec in fleet.satrecs)


def _warn(key: str, value: object, problem: str) -> None:
    warnings.warn(f"{key} = {value!r}: {problem}", InputWarning, stacklevel=3)


def _warn_of_stress(recipe: Recipe) -> None:
    """A stress test is called one."""
    spec = fault_spec(recipe)
    if spec.stress:
        rates = f"{spec.outages_per_year:.4g} outages and {spec.losses_per_year:.4g} losses of a satellite a year"
        _warn("faults", rates, "is a stress test: a chip in orbit resets about once in three years")
    if spec.flips_stress:
        rates = f"{spec.flips_per_year:.4g} flipped bits of a satellite a year"
        _warn("faults.upsets", rates, "is a stress test: a chip in orbit has about nine silent corruptions a year")


def _check_names(fleet: Fleet, sites: tuple[GroundSite, ...]) -> None:
    taken = set(fleet.names)
    for site in sites:
        if site.name in taken:
            raise InputError("ground_sites", site.name, "is the name of another site or satellite; each needs its own")
        taken.add(site.name)


@contextmanager
def in_the_recipes_words() -> Iterator[None]:
    """Errors of lower layers, with the key and the unit of the recipe."""
    try:
        yield
    except InputError as error:
        if error.key.startswith("fleet.") and error.key.endswith("altitude_m"):
            raise InputError(f"{error.key[:-2]}_km", float(error.value) / 1e3, error.problem) from None  # type: ignore[arg-type]
        if error.key not in RECIPE_KEYS:
            raise
        key, unit = RECIPE_KEYS[error.key]
        value: Any = error.value if unit is None else error.value / unit  # type: ignore[operator]
        raise InputError(key, value, error.problem) from None


@contextmanager
def _noted() -> Iterator[list[str]]:
    """Collect what is warned of, and tell it all the same."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InputWarning)
        yield notes
    for warning in caught:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        if issubclass(warning.category, InputWarning):
            notes.append(str(warning.message))
