"""From a recipe to a trace: orbits, windows, schedule. No torch, no ray."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from orbital_train.config import build
from orbital_train.config.recipe import ElementFile, Recipe, Walker
from orbital_train.errors import InputError, InputWarning
from orbital_train.orbit.ephemeris import Ephemeris, GroundSite, Sgp4Ephemeris, SiteEphemeris, joined
from orbital_train.orbit.fleet import Fleet, WalkerSpec, build_fleet, check_age, check_separation
from orbital_train.schedule.network import Bookings, Network, earliest_arrivals
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.synchronous import simulate_synchronous
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.validate import validate
from orbital_train.windows.contacts import plan_links
from orbital_train.windows.ideal import ideal_contacts, ideal_light
from orbital_train.windows.light import illuminate
from orbital_train.windows.plan import ContactPlan, Illumination

FEWEST_ORBITS = 2

Note = Callable[[str], None]
"""Told of each stage of planning as it begins."""


def _quiet(stage: str) -> None:
    """Nobody watches."""


# Where lower layers name their own settings, in SI units: the recipe's key, and its unit in theirs.
RECIPE_KEYS = {
    "start": ("time.start", None),
    "links.max_range_m": ("links.maximum_range_km", 1e3),
    "links.max_rate_deg_s": ("links.maximum_rate_deg_s", 1.0),
}


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What the sky allows: it depends on orbits, light and links, and not on who trains."""

    contacts: ContactPlan
    light: Illumination
    satellites: int
    period_s: float  # of the slowest satellite; 0 in the ideal world
    ideal: bool
    opportunities: int = 0  # to link, before terminals were matched
    notes: tuple[str, ...] = ()  # what one should know before believing it


@dataclass(frozen=True, kw_only=True)
class Flight:
    """A scenario and the trace that a policy makes of it."""

    survey: Survey
    scenario: Scenario
    trace: Trace
    notes: tuple[str, ...]  # those of the survey, and of this flight


def survey(recipe: Recipe, note: Note = _quiet) -> Survey:
    """Propagate the fleet, find light and links.

    Raises:
        InputError: the fleet, its element sets or its links cannot be flown.
    """
    horizon_s = recipe.time.horizon_h * 3600.0
    spec, sites = build.fleet_spec(recipe), build.ground_sites(recipe)
    note("building the fleet")
    with _in_the_recipes_words(recipe), _noted() as notes:
        fleet = build_fleet(spec, recipe.time.start)
        _check_names(fleet, sites)
        if isinstance(recipe.fleet, ElementFile):
            check_age(fleet, recipe.time.start, horizon_s, recipe.fleet.allow_old)
        satellites: Ephemeris = Sgp4Ephemeris(fleet.names, fleet.satrecs, recipe.time.start)
        if not isinstance(recipe.fleet, ElementFile) and len(fleet.names) > 1:
            walker = spec if isinstance(spec, WalkerSpec) else None
            check_separation(satellites, recipe.fleet.minimum_separation_km * 1e3, horizon_s, walker)
        everything = joined(satellites, SiteEphemeris(sites, recipe.time.start)) if sites else satellites
        planned = plan_links(fleet, everything, sites, build.link_spec(recipe), horizon_s, note)
        note("finding light and shadow")
        light = illuminate(everything, len(fleet.names), recipe.time.start, horizon_s, build.light_spec(recipe))
    return Survey(
        contacts=planned.contacts,
        light=light,
        satellites=len(fleet.names),
        period_s=_longest_period_s(fleet),
        ideal=False,
        opportunities=len(planned.opportunities),
        notes=tuple(notes),
    )


def survey_alone(recipe: Recipe, satellites: int) -> Survey:
    """The first satellite by itself, for long enough to do the work of all; it needs no links.

    Raises:
        InputError: its element set cannot be flown for that long, or is too old for it.
    """
    horizon_s = recipe.time.horizon_h * 3600.0 * satellites
    start = recipe.time.start
    with _in_the_recipes_words(recipe), _noted() as notes:
        fleet = build_fleet(build.fleet_spec(recipe), start)
        if isinstance(recipe.fleet, ElementFile):
            check_age(_first_of(fleet), start, horizon_s, recipe.fleet.allow_old)
        first = Sgp4Ephemeris(fleet.names[:1], fleet.satrecs[:1], start)
        light = illuminate(first, 1, start, horizon_s, build.light_spec(recipe))
    return Survey(
        contacts=ideal_contacts(first.names, horizon_s),  # none, with nobody to talk to
        light=light,
        satellites=1,
        period_s=_longest_period_s(fleet),
        ideal=False,
        notes=tuple(notes),
    )


def ideal_survey(real: Survey, recipe: Recipe) -> Survey:
    """The same satellites with ideal links and in constant sunlight, for as long as the budget can take."""
    names = real.contacts.node_names[: real.satellites]
    steps = -(-recipe.schedule.budget_steps // real.satellites) + 2 * recipe.schedule.inner_steps
    horizon_s = math.ceil(steps * build.workload(recipe).step_us / 1e6) + 1.0
    return Survey(
        contacts=ideal_contacts(names, horizon_s),
        light=ideal_light(names, horizon_s),
        satellites=real.satellites,
        period_s=0.0,
        ideal=True,
    )


def scenario_of(recipe: Recipe, sky: Survey) -> Scenario:
    """The scenario that the schedule simulates; all satellites train."""
    evaluate_every = max(1, recipe.schedule.budget_steps // recipe.schedule.evaluations)
    return Scenario(
        contacts=sky.contacts,
        light=sky.light,
        power=None if sky.ideal else build.power_spec(recipe),
        workload=build.workload(recipe),
        training_nodes=tuple(range(sky.satellites)),
        budget_steps=recipe.schedule.budget_steps,
        evaluate_every_steps=evaluate_every,
    )


def fly(recipe: Recipe, sky: Survey | None = None, note: Note = _quiet) -> Flight:
    """Simulate a recipe; the survey is made when none is given. The fully connected policy flies in the ideal world.

    Raises:
        InputError: the fleet can never talk, or never has the energy to train, or the model cannot be built.
    """
    build.train_spec(recipe)
    sky = sky or survey(recipe, note)
    if recipe.schedule.policy == "fully_connected" and not sky.ideal:
        sky = ideal_survey(sky, recipe)
    scenario = scenario_of(recipe, sky)
    with _noted() as notes:
        note("checking energy and links")
        check_scenario(recipe, sky, scenario)
        note("simulating the schedule")
        policy = build.policy(recipe, sky.contacts.node_names)
        trace = simulate_synchronous(scenario) if policy is None else simulate(scenario, policy)
        if trace.merged_steps < trace.budget_steps:
            share = trace.merged_steps / trace.budget_steps
            problem = f"{trace.policy} merges only {trace.merged_steps} ({share:.0%}) before the horizon ends"
            _warn("schedule.budget_steps", trace.budget_steps, problem)
    note("checking the schedule")
    validate(trace, scenario)
    return Flight(survey=sky, scenario=scenario, trace=trace, notes=(*sky.notes, *notes))


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
    _check_talk(scenario)
    _check_energy(recipe, scenario)


def _check_talk(scenario: Scenario) -> None:
    """Every training node must be able to send a message to some hub and to hear from it, at least once."""
    nodes, names = scenario.training_nodes, scenario.contacts.node_names
    if len(nodes) == 1:
        return
    network, bits = Network(scenario.contacts), scenario.workload.message_bits
    reach = {i: earliest_arrivals(network, Bookings(), i, 0, bits) for i in nodes}
    for i in nodes:
        others = [j for j in nodes if j != i]
        heard, hears = any(j in reach[i] for j in others), any(i in reach[j] for j in others)
        if not (heard and hears):
            linked = i in scenario.contacts.source.tolist()
            why = f"no contact carries a message of {bits / 8e9:.3g} GB" if linked else "it has no contact at all"
            raise InputError(
                "links", names[i], f"can never talk to any other node of the fleet: {why} within the horizon"
            )


def _check_energy(recipe: Recipe, scenario: Scenario) -> None:
    steps = {}
    for i, node in enumerate(scenario.build_nodes()):
        if i in scenario.training_nodes:
            node.train()
            node.advance(scenario.horizon_us)
            steps[i] = node.steps
    power, names = recipe.power, scenario.contacts.node_names
    array_w = build.power_spec(recipe).array_w(scenario.light.sun_distance_au)
    advice = f"the array gives {array_w:.0f} W in full sun; idle_w + train_w is {power.idle_w + power.train_w:.0f} W"
    if not any(steps.values()):
        raise InputError("power", "the whole fleet", f"never has the energy for one inner step: {advice}")
    starved = [names[i] for i, n in steps.items() if n == 0]
    if starved:
        _warn("power", ", ".join(starved), f"never has the energy for one inner step: {advice}")


def _first_of(fleet: Fleet) -> Fleet:
    return replace(fleet, names=fleet.names[:1], satrecs=fleet.satrecs[:1], plane=fleet.plane[:1], slot=fleet.slot[:1])


def _longest_period_s(fleet: Fleet) -> float:
    return max(2 * math.pi / float(satrec.no_kozai) * 60.0 for satrec in fleet.satrecs)


def _warn(key: str, value: object, problem: str) -> None:
    warnings.warn(f"{key} = {value!r}: {problem}", InputWarning, stacklevel=3)


def _check_names(fleet: Fleet, sites: tuple[GroundSite, ...]) -> None:
    taken = set(fleet.names)
    for site in sites:
        if site.name in taken:
            raise InputError("ground_sites", site.name, "is the name of another site or satellite; each needs its own")
        taken.add(site.name)


@contextmanager
def _in_the_recipes_words(recipe: Recipe) -> Iterator[None]:
    """Errors of lower layers, with the key and the unit of the recipe."""
    try:
        yield
    except InputError as error:
        if error.key == "fleet.phasing" and not isinstance(recipe.fleet, Walker):
            raise InputError("fleet.satellites", getattr(recipe.fleet, "satellites", None), error.problem) from None
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
