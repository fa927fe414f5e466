"""The smallest power system for a load: closed form, and flown."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from orbital_train.schedule.node import Node, NodeSetting
from orbital_train.schedule.power import PowerSpec
from orbital_train.schedule.sizing import size_power
from orbital_train.windows.plan import Illumination

S = 1_000_000
SPEC = PowerSpec(
    array_m2=0.0, array_efficiency=0.3, battery_wh=1.0, idle_w=0.0, train_w=1000.0, transmit_w=0.0,
    depth_of_discharge=0.3, resume_fraction=0.8, charge_efficiency=0.9, discharge_efficiency=0.8,
)  # fmt: skip


def light_of(*nodes: list[tuple[float, float]]) -> Illumination:
    """Each node's light as (length_s, fraction), one after the other."""
    edges = [np.concatenate([[0.0], np.cumsum([length_s for length_s, _ in steps])]) for steps in nodes]
    return Illumination(
        node_names=tuple(f"n{i}" for i in range(len(nodes))),
        horizon_s=float(edges[0][-1]),
        edge_s=tuple(edges),
        fraction=tuple(np.array([fraction for _, fraction in steps]) for steps in nodes),
        sun_distance_au=1.0,
    )


ORBIT = [(2000.0, 0.0), (3600.0, 1.0)]


def closed_form(eclipse_s: float, sunlight_s: float, load_w: float = 1000.0) -> tuple[float, float]:
    array_w = load_w * (1 + eclipse_s / (sunlight_s * SPEC.charge_efficiency * SPEC.discharge_efficiency))
    return array_w, load_w * eclipse_s / 3600 / SPEC.discharge_efficiency / SPEC.depth_of_discharge


def test_the_closed_form_of_a_steady_orbit() -> None:
    sizing = size_power(light_of(ORBIT * 4), [0], 1000.0, SPEC)
    assert (sizing.array_w, sizing.battery_wh) == pytest.approx(closed_form(2000.0, 3600.0))


def test_cycles_that_the_scenario_cuts_short_do_not_count() -> None:
    cut = [(100.0, 1.0), *ORBIT * 3, (1900.0, 0.0), (5.0, 1.0)]
    sizing = size_power(light_of(cut), [0], 1000.0, SPEC)
    assert (sizing.array_w, sizing.battery_wh) == pytest.approx(closed_form(2000.0, 3600.0))


def test_without_a_whole_cycle_all_the_time_is_one() -> None:
    sizing = size_power(light_of([(1000.0, 1.0), (500.0, 0.0), (600.0, 1.0)]), [0], 1000.0, SPEC)
    assert (sizing.array_w, sizing.battery_wh) == pytest.approx(closed_form(500.0, 1600.0))


def test_constant_sunlight_needs_no_battery() -> None:
    sizing = size_power(light_of([(5000.0, 0.5)]), [0], 1000.0, SPEC)
    assert (sizing.array_w, sizing.battery_wh) == (pytest.approx(2000.0), pytest.approx(0.0, abs=1e-6))


def test_the_worst_cycle_of_the_worst_node_counts() -> None:
    longer = [(2000.0, 0.0), (3600.0, 1.0), (2200.0, 0.0), (3400.0, 1.0), (2000.0, 0.0), (3600.0, 1.0)]
    light = light_of(ORBIT * 3, longer, [(16_800.0, 0.0)])
    sizing = size_power(light, [0, 1], 1000.0, SPEC)
    assert (sizing.array_w, sizing.battery_wh) == pytest.approx(closed_form(2200.0, 3400.0))


def test_a_node_without_light_needs_the_impossible() -> None:
    sizing = size_power(light_of(ORBIT * 3, [(16_800.0, 0.0)]), [0, 1], 1000.0, SPEC)
    assert (sizing.array_w, sizing.battery_wh) == (math.inf, math.inf)


WOBBLY = [(1500.0, 0.0), (10.0, 0.4), (700.0, 0.5), (1200.0, 0.97), (700.0, 0.5), (30.0, 0.2)]  # as of a zenith array


@pytest.mark.parametrize("orbit", [ORBIT, WOBBLY], ids=["tracking", "zenith"])
def test_a_node_of_this_size_trains_without_a_pause_and_a_smaller_one_does_not(
    orbit: list[tuple[float, float]],
) -> None:
    light = light_of(orbit * 12)
    spec = replace(SPEC, idle_w=150.0, train_w=700.0)
    sizing = size_power(light, [0], 850.0, spec)

    def pauses_us(array_w: float, battery_wh: float) -> int:
        setting = NodeSetting(
            step_us=S,
            trains=True,
            power=replace(spec, battery_wh=battery_wh),
            edge_us=tuple(round(t * S) for t in light.edge_s[0]),
            supply_w=tuple(float(f) * array_w for f in light.fraction[0]),
        )
        node = Node(setting)
        node.train()
        node.advance(setting.edge_us[-1])
        return node.no_energy_us

    assert pauses_us(sizing.array_w * 1.0001, sizing.battery_wh * 1.0001) == 0
    assert pauses_us(sizing.array_w * 1.0001, sizing.battery_wh * 0.999) > 0
    assert pauses_us(sizing.array_w * 0.99, sizing.battery_wh * 1.0001) > 0
