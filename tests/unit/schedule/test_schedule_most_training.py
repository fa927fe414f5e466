"""The most that energy allows, by hand and against nodes that are told what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orbital_train.schedule.most_training import most_steps
from orbital_train.schedule.node import Node, NodeSetting
from orbital_train.schedule.power import PowerSpec
from tests.unit.schedule.scenarios import POWER

S = 1_000_000
ARRAY_W = POWER.array_w(1.0)  # 1633 W, against 800 W of load


def setting(*stretches: tuple[int, float], power: PowerSpec | None = POWER, step_s: int = 10) -> NodeSetting:
    """Rows of (seconds, share of full sun)."""
    edges_us = [0]
    for length_s, _ in stretches:
        edges_us.append(edges_us[-1] + length_s * S)
    array_w = power.array_w(1.0) if power else 0.0
    supply_w = tuple(share * array_w for _, share in stretches)
    return NodeSetting(step_us=step_s * S, trains=True, power=power, edge_us=tuple(edges_us), supply_w=supply_w)


def steps(node: NodeSetting, *holds_s: tuple[int, int]) -> int:
    """What a node trains that holds in these intervals."""
    played = Node(node)
    played.train()
    for start_s, end_s in holds_s:
        played.advance(start_s * S)
        played.hold()
        played.advance(end_s * S)
        played.train()
    played.advance(node.edge_us[-1])
    return played.steps


def test_a_node_with_energy_all_the_time_trains_all_the_time() -> None:
    assert most_steps(setting((6005, 1.0)), 6005 * S) == 600
    assert most_steps(setting((6005, 0.0), power=None), 6005 * S) == 600
    assert most_steps(setting((100, 0.0)), 0) == 0


def test_a_node_that_does_not_train_trains_nothing() -> None:
    assert most_steps(replace(setting((100, 1.0)), trains=False), 100 * S) == 0


def test_a_battery_carries_training_into_the_night() -> None:
    """90 Wh above the floor, of which 95 % arrive, carry 800 W for 384.75 s."""
    dark = setting((5000, 0.0))
    assert most_steps(dark, 5000 * S) == steps(dark) == 38
    assert most_steps(dark, 200 * S) == 20


def test_a_night_costs_the_time_to_charge_up_to_the_resume_level() -> None:
    """After 1384 s of training, 1615 s of idling take 47.2 Wh; they and 15 Wh come back at 1456.5 W in 154 s.

    What is left of 3000 s is 2846 s. The bound grants a step's energy that was lost and the losses of the battery.
    """
    node = setting((1000, 1.0), (2000, 0.0), (3000, 1.0))
    assert steps(node) == 138 + 284
    assert most_steps(node, node.edge_us[-1]) == 423


def test_holding_in_time_can_beat_training_whenever_there_is_energy() -> None:
    """Where power returns with a full battery only: 31.5 Wh can be spared, for 154 s of training, and no time is lost.

    The bound is what such a node does.
    """
    node = setting((1000, 1.0), (2000, 0.0), (3000, 1.0), power=replace(POWER, resume_fraction=1.0))
    holding = steps(node, (1150, 3000))
    assert holding == 415
    assert steps(node) == 404
    assert most_steps(node, node.edge_us[-1]) == holding


def test_where_nights_follow_each_other_the_bound_is_near_what_a_node_trains() -> None:
    """A day of 95 minute orbits; a third of each is dark."""
    node = setting(*((3600, 1.0), (2100, 0.0)) * 15, power=replace(POWER, battery_wh=500.0))
    greedy = steps(node)
    assert greedy <= most_steps(node, node.edge_us[-1]) <= 1.004 * greedy


def test_an_array_below_the_load_carries_its_share_of_the_time() -> None:
    """Supply of 450 W leaves 350 W for 700 W of training. What a night idles away must be charged first.

    A battery at its floor lives from the sun, which a node does in turns of holding and training.
    """
    weak = replace(POWER, array_m2=450.0 / (0.3 * 1361.0))
    sunlit = setting((40_000, 1.0), power=weak)
    assert sunlit.supply_w == (pytest.approx(450.0),)
    # 90 Wh above the floor feed (90 * 0.95) / 350 W = 879 s of full training.
    assert most_steps(sunlit, 40_000 * S) == (879 + (40_000 - 879) / 2) // 10
    nights = setting((4000, 1.0), (2000, 0.0), (4000, 1.0), power=weak)
    turns = steps(nights, (880, 1000), (1100, 1230), (1330, 6000), (6600, 6700), (6800, 6900))
    assert turns < most_steps(nights, nights.edge_us[-1]) < most_steps(setting((8000, 1.0), power=weak), 8000 * S)
