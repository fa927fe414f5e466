"""Whether a fleet has the energy to train, and what it would need."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

from orbital_train.errors import InputError, InputWarning
from orbital_train.schedule.power import PowerSpec
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.sizing import size_power


def check_energy(scenario: Scenario, power: PowerSpec) -> None:
    """Refuse a power system that can never train, and warn of one that runs dry.

    Raises:
        InputError: batteries can never charge, or no node ever has the energy for one inner step.
    """
    _refuse_without_charge(scenario, power)
    idle_m2, _ = _needs(scenario, power, power.idle_w)
    if power.array_m2 < idle_m2 < math.inf:
        problem = f"batteries run empty on idle_w alone; to carry that takes {idle_m2:.3g} m2"
        warnings.warn(f"power.array_m2 = {power.array_m2!r}: {problem}", InputWarning, stacklevel=2)
    steps = _steps_alone(scenario)
    array_w, load_w = power.array_w(scenario.light.sun_distance_au), power.idle_w + power.train_w
    advice = f"the array gives {array_w:.0f} W in full sun; idle_w + train_w is {load_w:.0f} W; "
    problem = f"never has the energy for one inner step: {advice}{needs_words(scenario, power)}"
    if not any(steps.values()):
        raise InputError("power", "the whole fleet", problem)
    starved = ", ".join(scenario.contacts.node_names[i] for i, n in steps.items() if n == 0)
    if starved:
        warnings.warn(f"power = {starved!r}: {problem}", InputWarning, stacklevel=2)


def needs_words(scenario: Scenario, power: PowerSpec) -> str:
    """What it takes to train without a pause."""
    array_m2, battery_wh = _needs(scenario, power, power.idle_w + power.train_w)
    if math.isinf(array_m2):
        return "continuous training needs more light than there is"
    return f"continuous training needs {array_m2:.3g} m2 and {battery_wh:,.0f} Wh"


def _refuse_without_charge(scenario: Scenario, power: PowerSpec) -> None:
    brightest = max(float(scenario.light.fraction[i].max()) for i in scenario.training_nodes)
    best_w = brightest * power.array_w(scenario.light.sun_distance_au)
    if best_w > power.idle_w or brightest == 0:
        return
    least_m2 = power.idle_w / (brightest * _w_per_m2(scenario, power))
    problem = (
        f"gives {best_w:.4g} W at best and idle_w is {power.idle_w:g} W: batteries can never charge; accepted is above"
        f" {math.ceil(least_m2 * 1e3) / 1e3:g} m2; {needs_words(scenario, power)}"
    )
    raise InputError("power.array_m2", power.array_m2, problem)


def _needs(scenario: Scenario, power: PowerSpec, load_w: float) -> tuple[float, float]:
    """Array [m2] and battery [Wh] that carry a load on all training nodes without a pause; infinite without light."""
    sizing = size_power(scenario.light, scenario.training_nodes, load_w, power)
    return sizing.array_w / _w_per_m2(scenario, power), sizing.battery_wh


def _w_per_m2(scenario: Scenario, power: PowerSpec) -> float:
    return replace(power, array_m2=1.0).array_w(scenario.light.sun_distance_au)


def _steps_alone(scenario: Scenario) -> dict[int, int]:
    """Inner steps of every training node that has nothing else to do."""
    nodes = scenario.build_nodes()
    for i in scenario.training_nodes:
        nodes[i].train()
        nodes[i].advance(scenario.horizon_us)
    return {i: nodes[i].steps for i in scenario.training_nodes}
