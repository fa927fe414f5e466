"""The electrical power of one node: array, battery, loads, and one closed-form step of the battery."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from orbital_train.errors import InputError

SOLAR_CONSTANT_W_PER_M2 = 1361.0  # total solar irradiance at 1 AU (Kopp and Lean 2011, GRL 38 L01706)
US_PER_H = 3_600_000_000
MIN_HYSTERESIS = 0.01  # of the capacity: with less, training would flicker on and off at the threshold


@dataclass(frozen=True, kw_only=True)
class PowerSpec:
    """One node's power system; every node of a fleet has the same.

    The array gives area × efficiency × 1361 W/m² × (1 AU / d)² × light on the array, which is sunlit fraction × cosine
    of incidence. The distance d of the Sun is its mean over the scenario: the array's power changes by up to 0.06 % in
    a day and by 7 % in half a year. Supply serves the loads first; the rest charges the battery, and what that cannot
    take is curtailed.

    Training stops when the battery has given ``depth_of_discharge`` of its capacity and starts again when it holds
    ``resume_fraction`` of it (hysteresis). Idle and transmit loads are essential: they may drain the rest.

    Raises:
        InputError: training would start again where it stops.
    """

    array_m2: float
    array_efficiency: float
    battery_wh: float
    idle_w: float
    train_w: float  # on top of idle
    transmit_w: float  # on top of idle, for each message that is being sent
    depth_of_discharge: float = 0.3
    resume_fraction: float = 0.75
    charge_efficiency: float = 0.95
    discharge_efficiency: float = 0.95

    def __post_init__(self) -> None:
        least = 1.0 - self.depth_of_discharge + MIN_HYSTERESIS
        if self.resume_fraction < least - 1e-12:
            problem = f"must be at least 1 - power.depth_of_discharge + {MIN_HYSTERESIS} = {least:g}"
            raise InputError("power.resume_fraction", self.resume_fraction, problem)

    def array_w(self, sun_distance_au: float) -> float:
        """Power of the array in full sun, facing it [W]."""
        return self.array_m2 * self.array_efficiency * SOLAR_CONSTANT_W_PER_M2 / sun_distance_au**2

    @cached_property
    def floor_wh(self) -> float:
        """Energy below which nothing is trained [Wh]."""
        return self.battery_wh * (1.0 - self.depth_of_discharge)

    @cached_property
    def resume_wh(self) -> float:
        """Energy from which training starts again [Wh]."""
        return self.battery_wh * self.resume_fraction


class EnergyFlow(NamedTuple):
    """What happened to the energy in one interval [Wh]; the terms balance exactly (see :func:`flow`)."""

    stored_wh: float  # change of the battery's content
    harvested_wh: float
    consumed_wh: float
    curtailed_wh: float
    loss_wh: float
    unserved_wh: float


def slope_w(spec: PowerSpec, supply_w: float, load_w: float) -> float:
    """Rate of change of the battery's content, in watts, while it is neither full nor empty."""
    net_w = supply_w - load_w
    return net_w * spec.charge_efficiency if net_w >= 0 else net_w / spec.discharge_efficiency


def time_to_level_us(energy_wh: float, level_wh: float, rate_w: float) -> float:
    """Microseconds until the battery holds ``level_wh``; ``inf`` if it moves the other way or stands still."""
    if rate_w == 0 or (level_wh - energy_wh) * rate_w < 0:
        return math.inf
    return (level_wh - energy_wh) / rate_w * US_PER_H


def flow(spec: PowerSpec, energy_wh: float, supply_w: float, load_w: float, duration_us: float) -> EnergyFlow:
    """Energy over an interval with constant supply and load, in closed form.

    harvested = served load + stored + losses + curtailed, where served load = consumed.
    The battery saturates at its capacity (the rest is curtailed) and at zero (the rest of the load is unserved).
    """
    hours = duration_us / US_PER_H
    rate_w = slope_w(spec, supply_w, load_w)
    harvested_wh, wanted_wh = supply_w * hours, load_w * hours
    if rate_w >= 0:
        stored_wh = min(rate_w * hours, spec.battery_wh - energy_wh)
        drawn_wh = stored_wh / spec.charge_efficiency
        surplus_wh = harvested_wh - wanted_wh
        return EnergyFlow(stored_wh, harvested_wh, wanted_wh, surplus_wh - drawn_wh, drawn_wh - stored_wh, 0.0)
    given_wh = min(-rate_w * hours, energy_wh)
    served_wh = given_wh * spec.discharge_efficiency
    unserved_wh = wanted_wh - harvested_wh - served_wh
    return EnergyFlow(-given_wh, harvested_wh, wanted_wh - unserved_wh, 0.0, given_wh - served_wh, unserved_wh)
