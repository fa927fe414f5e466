"""The most whole inner steps that a node's energy allows, whatever it is told to do.

A node that trains whenever it can is not the best there is: at the foot of its battery it must charge up to the resume
level before it trains again (hysteresis), and a node that holds in time keeps its power. What is counted here is an
upper bound on every sequence of commands and transmissions, and close to what the best of them trains;
``docs/algorithms-bounds.md`` has the proof. In short:

- Training may be shared out in time as finely as one likes, so that a battery at its floor lives from the sun.
- Storing energy never gains any, so training as soon as possible is best, for as long as the node stays powered: having
  trained less leaves at most that training's energy, and that is worth at most the training.
- In each night (supply below the idle load) a node either keeps enough to idle until sunrise above the floor, or it
  loses power and starts the day by charging up to the resume level. Both are followed to the next night, from where the
  better goes on: the one that has trained more by what the other has left in its battery, or else the best of both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from orbital_train.schedule.node import NodeSetting
from orbital_train.schedule.power import US_PER_H, PowerSpec, slope_w

Stretch = tuple[float, float]  # duration [us] and supply [W] of an interval of constant light
_SLACK = 1e-6  # of the time: each threshold is crossed at a whole microsecond, up to one too late


@dataclass(frozen=True, slots=True)
class _State:
    """Training so far, and the battery's content."""

    trained_us: float
    energy_wh: float


def most_steps(setting: NodeSetting, until_us: int) -> int:
    """An upper bound on the whole inner steps that a node trains until ``until_us``, from a full battery at 0."""
    if not setting.trains:
        return 0
    slack_us = 1.0 + _SLACK * until_us
    if setting.power is None:
        return until_us // setting.step_us
    power, state = setting.power, _State(0.0, setting.power.battery_wh)
    for night, day in _cycles(setting, power, until_us):
        if night:
            kept = _train(power, _keep(power, state, night), day)
            dropped = _drop(power, state, night, day, setting.step_us, slack_us)
            state = _join(power, kept, dropped)
        else:
            state = _train(power, state, day)
    return int(min(until_us, state.trained_us + slack_us) // setting.step_us)


def _cycles(setting: NodeSetting, power: PowerSpec, until_us: int) -> Iterator[tuple[list[Stretch], list[Stretch]]]:
    """Each night with the day after it; before the first night a day alone."""
    edges_us = [min(edge_us, until_us) for edge_us in setting.edge_us]
    stretches = [(float(b - a), w) for (a, b), w in zip(pairwise(edges_us), setting.supply_w, strict=True) if b > a]
    night: list[Stretch] = []
    for dark, part in groupby(stretches, key=lambda stretch: stretch[1] < power.idle_w):
        if dark:
            night = list(part)
        else:
            yield night, list(part)
            night = []
    if night:
        yield night, []


def _train(power: PowerSpec, state: _State, stretches: Sequence[Stretch]) -> _State:
    """Train as much as can be: fully above the floor, below it as much as leaves the battery alone."""
    trained_us, energy_wh = state.trained_us, state.energy_wh
    for duration_us, supply_w in stretches:
        full_w = slope_w(power, supply_w, power.idle_w + power.train_w)
        full_us = duration_us
        if full_w < 0:
            full_us = min(duration_us, max(0.0, energy_wh - power.floor_wh) / -full_w * US_PER_H)
        spare_w = supply_w - power.idle_w
        rest_us = duration_us - full_us
        trained_us += full_us + rest_us * max(0.0, spare_w) / power.train_w
        energy_wh = min(power.battery_wh, energy_wh + full_w * full_us / US_PER_H)
        if spare_w < 0:
            energy_wh = max(0.0, energy_wh + slope_w(power, supply_w, power.idle_w) * rest_us / US_PER_H)
    return _State(trained_us, energy_wh)


def _keep(power: PowerSpec, state: _State, night: Sequence[Stretch]) -> _State:
    """Sunrise, for a node that has kept what it takes to idle through the night above the floor.

    If it has not got it at sunset, it has trained less before, at the rate at which a battery feeds training.
    """
    night_us = sum(duration_us for duration_us, _ in night)
    idle_wh = sum(-slope_w(power, supply_w, power.idle_w) * duration_us for duration_us, supply_w in night) / US_PER_H
    spare_wh = state.energy_wh - power.floor_wh - idle_wh
    trained_us = min(night_us, _training_us(power, spare_wh))
    return _State(state.trained_us + trained_us, power.floor_wh + spare_wh - _battery_wh(power, trained_us))


def _drop(
    power: PowerSpec, state: _State, night: Sequence[Stretch], day: Sequence[Stretch], step_us: int, slack_us: float
) -> _State:
    """The end of the day, for a node that trains on in the night, loses its power and charges up first.

    It has lost the step in progress. One that has trained less in the night has more left at sunrise, at most the
    floor, and is powered again earlier: that head start is granted, at the price of the training that it costs.
    """
    state = _train(power, state, night)
    if state.energy_wh > power.floor_wh:
        return _train(power, state, day)
    state = _whole_steps(power, state, step_us, slack_us)
    day_us = sum(duration_us for duration_us, _ in day)
    first_us = min(day_us, _recharged_us(power, power.floor_wh, day))
    last_us = min(day_us, _recharged_us(power, state.energy_wh, day))
    waiting, _ = _split(day, last_us)
    supplies_w = [supply_w for _, supply_w in _split(waiting, first_us)[1]]
    ample = [supply_w >= power.idle_w + power.train_w for supply_w in supplies_w]
    if all(ample):
        # What the early bird trains from the sun, the other one puts into the battery: the losses are the difference.
        gain_us = (1.0 - power.charge_efficiency * power.discharge_efficiency) * (last_us - first_us)
        state, start_us = _State(state.trained_us + gain_us, state.energy_wh), last_us
    else:
        start_us = first_us
    waiting, training = _split(day, start_us)
    state = _State(state.trained_us, _charged_wh(power, state.energy_wh, waiting))
    if not any(ample) and last_us < day_us:
        missing_wh = power.resume_wh - state.energy_wh
        state = _State(state.trained_us - _training_us(power, missing_wh), power.resume_wh)
    return _train(power, state, training)


def _whole_steps(power: PowerSpec, state: _State, step_us: int, slack_us: float) -> _State:
    """Leave the step in progress out, as if it had never been begun."""
    whole_us = (state.trained_us + slack_us) // step_us * step_us
    unused_us = max(0.0, state.trained_us - whole_us)
    return _State(whole_us, min(power.floor_wh, state.energy_wh + _battery_wh(power, unused_us)))


def _join(power: PowerSpec, a: _State, b: _State) -> _State:
    """A state from which at least as much can be trained as from either."""
    for state, other in ((a, b), (b, a)):
        if state.trained_us - other.trained_us >= _training_us(power, max(0.0, other.energy_wh - state.energy_wh)):
            return state
    return _State(max(a.trained_us, b.trained_us), max(a.energy_wh, b.energy_wh))


def _training_us(power: PowerSpec, energy_wh: float) -> float:
    """How long this much of a battery feeds training, idling aside."""
    return energy_wh * power.discharge_efficiency / power.train_w * US_PER_H


def _battery_wh(power: PowerSpec, training_us: float) -> float:
    """What training takes from the battery, idling aside."""
    return training_us * power.train_w / US_PER_H / power.discharge_efficiency


def _recharged_us(power: PowerSpec, energy_wh: float, day: Sequence[Stretch]) -> float:
    """How long after sunrise an idle node reaches the resume level; inf if not in this day."""
    before_us = 0.0
    for duration_us, supply_w in day:
        charge_w = slope_w(power, supply_w, power.idle_w)
        missing_wh = max(0.0, power.resume_wh - energy_wh)
        if charge_w * duration_us >= missing_wh * US_PER_H:
            return before_us + missing_wh / charge_w * US_PER_H
        energy_wh += charge_w * duration_us / US_PER_H
        before_us += duration_us
    return math.inf


def _charged_wh(power: PowerSpec, energy_wh: float, stretches: Sequence[Stretch]) -> float:
    """The content of an idle node's battery after these stretches of a day."""
    gained_wh = sum(slope_w(power, supply_w, power.idle_w) * d_us for d_us, supply_w in stretches) / US_PER_H
    return min(power.battery_wh, energy_wh + gained_wh)


def _split(stretches: Sequence[Stretch], at_us: float) -> tuple[list[Stretch], list[Stretch]]:
    """What lies before and what after a time since the first of them."""
    before, after = [], []
    for duration_us, supply_w in stretches:
        first_us = min(duration_us, max(0.0, at_us))
        if first_us > 0:
            before.append((first_us, supply_w))
        if first_us < duration_us:
            after.append((duration_us - first_us, supply_w))
        at_us -= duration_us
    return before, after
