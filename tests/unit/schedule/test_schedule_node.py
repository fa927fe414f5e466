"""One node over time: battery thresholds, whole steps, and predictions that come true."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from orbital_train.schedule.node import Node, NodeSetting, Run
from orbital_train.schedule.power import PowerSpec
from tests.unit.schedule.scenarios import POWER

S = 1_000_000
STEP_US = 10 * S
HORIZON_US = 20_000 * S


def node(
    *windows: tuple[float, float, float], power: PowerSpec | None = POWER, step_us: int = STEP_US, trains: bool = True
) -> Node:
    """Sunlit fraction in (start_s, end_s, fraction), in order; power in full sun as of the array."""
    edges = (*(round(start_s * S) for start_s, _, _ in windows), round(windows[-1][1] * S))
    array_w = power.array_w(1.0) if power else 0.0
    supply_w = tuple(fraction * array_w for _, _, fraction in windows)
    return Node(NodeSetting(step_us=step_us, trains=trains, power=power, edge_us=edges, supply_w=supply_w))


def dark_after(sun_s: float, power: PowerSpec | None = POWER) -> Node:
    return node((0.0, sun_s, 1.0), (sun_s, 20_000.0, 0.0), power=power)


ODD = replace(POWER, battery_wh=300.1234567)  # thresholds are not crossed at whole microseconds


def orbiting(power: PowerSpec = ODD, step_us: int = STEP_US) -> Node:
    windows = []
    for k in range(4):
        windows += [(5000.0 * k, 5000.0 * k + 3000.0, 1.0), (5000.0 * k + 3000.0, 5000.0 * k + 3010.0, 0.4)]
        windows += [(5000.0 * k + 3010.0, 5000.0 * k + 5000.0, 0.0)]
    return node(*windows, power=power, step_us=step_us)


def euler_s(power: PowerSpec, sun: list[tuple[float, float, float]], until_s: float, dt_s: float) -> list[float]:
    """Times at which training stops and starts, by small steps in time, of a node that always wants to train."""
    energy_wh, on, switches = power.battery_wh, True, []
    for k in range(round(until_s / dt_s)):
        at_s = k * dt_s
        fraction = next(f for start_s, end_s, f in sun if start_s <= at_s < end_s)
        net_w = fraction * power.array_w(1.0) - power.idle_w - power.train_w * on
        rate_w = net_w * power.charge_efficiency if net_w > 0 else net_w / power.discharge_efficiency
        energy_wh = min(power.battery_wh, max(0.0, energy_wh + rate_w * dt_s / 3600.0))
        if on and energy_wh <= power.floor_wh and rate_w < 0:
            on = False
            switches.append(at_s + dt_s)
        elif not on and energy_wh >= power.resume_wh:
            on = True
            switches.append(at_s + dt_s)
    return switches


def switch_times_us(mine: Node, until_us: int) -> list[int]:
    """Times at which training stops and starts of a node that always wants to train."""
    switches, training = [], mine.run_start_us >= 0
    while mine.now_us < until_us:
        mine._segment(mine._segment_end(until_us))
        if (mine.run_start_us >= 0) != training:
            training = not training
            switches.append(mine.now_us)
    return switches


def test_crossing_times_agree_with_a_fine_integration() -> None:
    power = replace(POWER, array_m2=2.2)  # 898 W in the sun, so the battery swings
    sun = [(0.0, 700.0, 1.0), (700.0, 760.0, 0.5), (760.0, 1800.0, 0.0), (1800.0, 4000.0, 1.0)]
    mine = node(*sun, power=power)
    mine.train()
    found_s = [t / S for t in switch_times_us(mine, 4000 * S)]
    expected_s = euler_s(power, sun, 4000.0, 0.05)
    assert len(found_s) == 2
    assert found_s == pytest.approx(expected_s, abs=0.2)


def test_a_load_that_would_take_for_ever_to_empty_the_battery_empties_nothing() -> None:
    mine = node((0.0, 20_000.0, 0.0), power=replace(POWER, idle_w=1e-305))
    mine.advance(HORIZON_US)
    assert (mine.now_us, mine.energy_wh) == (HORIZON_US, POWER.battery_wh)


def test_a_weak_array_makes_the_node_cycle_between_floor_and_resume_level() -> None:
    power = replace(POWER, array_m2=1.0)  # 408 W: idle leaves 308 W to charge, training takes 392 W more than there is
    sun = [(0.0, 6000.0, 1.0)]
    mine = node(*sun, power=power)
    mine.train()
    found_s = [t / S for t in switch_times_us(mine, 6000 * S)]
    assert found_s[:4] == pytest.approx(euler_s(power, sun, 1500.0, 0.05)[:4], abs=0.5)
    band_wh = power.resume_wh - power.floor_wh
    off_s, on_s = found_s[1] - found_s[0], found_s[2] - found_s[1]
    assert off_s == pytest.approx(band_wh / ((408.3 - 100.0) * 0.95) * 3600, rel=1e-3)
    assert on_s == pytest.approx(band_wh / ((800.0 - 408.3) / 0.95) * 3600, rel=1e-3)


def test_a_step_cut_short_does_not_count_and_is_done_again() -> None:
    mine = dark_after(100.0)
    mine.train()
    mine.advance(HORIZON_US)
    # 90 Wh until the floor at 800 W / 0.95
    stop_s = 100.0 + 90.0 * 0.95 / 800.0 * 3600.0
    assert mine.runs == [Run(0, 0, math.floor(stop_s / 10.0), 10 * S, known_us=round(stop_s * S))]
    assert mine.steps == 48
    assert mine.training_us / S == pytest.approx(stop_s, abs=1e-5)
    assert mine.no_energy_us == HORIZON_US - mine.training_us
    assert mine.waiting_us == 0


def test_the_step_after_a_pause_has_the_next_index_and_its_whole_length() -> None:
    mine = orbiting()
    mine.train()
    mine.advance(HORIZON_US)
    assert len(mine.runs) == 4
    for before, after in zip(mine.runs, mine.runs[1:], strict=False):
        assert after.first == before.first + before.n
        assert after.start_us > before.start_us + before.n * STEP_US
    assert sum(run.n for run in mine.runs) == mine.steps


def test_training_starts_again_only_at_the_resume_level() -> None:
    mine = orbiting()
    mine.train()
    stopped_us, started_us = switch_times_us(mine, HORIZON_US)[:2]
    battery = dict(mine.battery)
    assert battery[stopped_us] == pytest.approx(ODD.floor_wh, abs=1e-6)
    assert battery[started_us] == pytest.approx(ODD.resume_wh, abs=1e-6)


def test_the_battery_is_charged_for_exactly_the_lit_part() -> None:
    mine = node((0.0, 123.456789, 1.0), (123.456789, 200.0, 0.25), (200.0, 5000.0, 0.0))
    mine.advance(1000 * S)
    lit_s = 123.456789 + 0.25 * (200.0 - 123.456789)
    assert mine.harvested_wh == pytest.approx(POWER.array_w(1.0) * lit_s / 3600.0, rel=1e-12)
    assert mine.consumed_wh == pytest.approx(100.0 * 1000.0 / 3600.0, rel=1e-12)


def test_essential_loads_drain_the_battery_and_then_go_unserved() -> None:
    mine = dark_after(0.001)
    mine.advance(HORIZON_US)
    assert mine.energy_wh == 0.0
    assert mine.consumed_wh == pytest.approx(300.0 * 0.95, rel=1e-6)
    assert mine.unserved_wh == pytest.approx(100.0 * 20_000 / 3600 - 285.0, rel=1e-6)


def test_transmissions_draw_power_while_they_last() -> None:
    mine, silent = dark_after(10.0), dark_after(10.0)
    mine.add_send(20 * S, 56 * S)
    mine.add_send(50 * S, 60 * S)  # both at once for six seconds
    for one in (mine, silent):
        one.advance(100 * S)
    assert mine.consumed_wh - silent.consumed_wh == pytest.approx(50.0 * 46.0 / 3600.0, rel=1e-9)
    assert mine.energy_wh < silent.energy_wh


def test_a_transmission_that_is_taken_back_draws_nothing() -> None:
    mine, silent = dark_after(10.0), dark_after(10.0)
    mine.add_send(20 * S, 56 * S)
    mine.advance(19 * S)
    mine.remove_send(20 * S, 56 * S)
    mine.advance(100 * S)
    silent.advance(100 * S)
    assert mine.consumed_wh == pytest.approx(silent.consumed_wh, rel=1e-12)


def test_transmissions_bring_the_pause_forward() -> None:
    mine = dark_after(100.0)
    mine.train()
    before_us = mine.pause_us(HORIZON_US)
    mine.add_send(150 * S, 350 * S)
    after_us = mine.pause_us(HORIZON_US)
    assert before_us is not None
    assert after_us is not None
    assert (before_us - after_us) / S == pytest.approx(50.0 * 200.0 / 800.0, abs=1e-3)


@pytest.mark.parametrize("ask_s", [0.0, 3.0, 4170.0, 4990.0, 6004.0])
def test_predictions_come_true(ask_s: float) -> None:
    mine = orbiting()
    mine.train()
    mine.advance(round(ask_s * S))
    steps_then = mine.steps + 500
    goal_us, pause_us = mine.time_of_steps_us(steps_then, HORIZON_US), mine.pause_us(HORIZON_US)
    boundary_us = mine.boundary_us()
    times_us, corners = mine.timeline(HORIZON_US)
    fork = mine.fork()
    fork.advance(HORIZON_US)

    assert boundary_us - mine.now_us < STEP_US
    mine.advance(boundary_us)
    assert mine.run_start_us in (-1, boundary_us)

    assert pause_us is not None
    if pause_us > mine.now_us:
        mine.advance(pause_us - 1)
        assert mine.run_start_us >= 0
    mine.advance(max(pause_us, mine.now_us))
    assert mine.run_start_us == -1

    assert goal_us is not None
    mine.advance(goal_us - 1)
    assert mine.steps == steps_then - 1
    mine.advance(goal_us)
    assert mine.steps == steps_then

    mine.advance(HORIZON_US)
    assert (mine.steps, mine.energy_wh) == (fork.steps, pytest.approx(fork.energy_wh, rel=1e-12))
    assert times_us == sorted(times_us)
    assert corners[-1] == mine.steps


def test_the_timeline_interpolates_to_the_steps_that_are_then_done() -> None:
    mine = orbiting()
    mine.train()
    mine.advance(4 * S)
    times_us, corners = mine.timeline(HORIZON_US)
    for at_us in range(4 * S, HORIZON_US, 777 * S):
        mine.advance(at_us)
        k = max(i for i, t in enumerate(times_us[:-1]) if t <= at_us)
        share = (at_us - times_us[k]) / max(1, times_us[k + 1] - times_us[k])
        assert math.floor(corners[k] + share * (corners[k + 1] - corners[k]) + 1e-9) == mine.steps


def test_a_fork_leaves_the_node_as_it_was() -> None:
    mine = orbiting()
    mine.train()
    mine.advance(33 * S)
    mine.fork().advance(HORIZON_US)
    assert (mine.now_us, mine.steps, mine.runs) == (33 * S, 3, [Run(0, 0, 3, 10 * S)])
    assert [t for t, _ in mine.battery] == [0, 33 * S]


def test_advancing_in_small_pieces_gives_the_same_steps() -> None:
    whole, pieces = orbiting(), orbiting()
    for one in (whole, pieces):
        one.train()
    whole.advance(HORIZON_US)
    for at_us in range(0, HORIZON_US + 1, 7_777_777):
        pieces.advance(at_us)
    pieces.advance(HORIZON_US)
    assert [(r.first, r.n) for r in pieces.runs] == [(r.first, r.n) for r in whole.runs]
    assert pieces.energy_wh == pytest.approx(whole.energy_wh, rel=1e-9)


def test_nothing_is_predicted_of_a_node_that_holds() -> None:
    mine = orbiting()
    assert mine.time_of_steps_us(1, HORIZON_US) is None
    assert mine.pause_us(HORIZON_US) is None
    assert mine.boundary_us() == 0
    mine.advance(50 * S)
    assert (mine.steps, mine.waiting_us) == (0, 50 * S)


def test_holding_loses_the_step_in_progress() -> None:
    mine = node((0.0, 20_000.0, 1.0), power=None)
    mine.train()
    mine.advance(19 * S)
    mine.hold()
    mine.advance(25 * S)
    mine.train()
    mine.advance(35 * S)
    assert mine.take_runs() == [Run(0, 0, 1, 10 * S, known_us=19 * S), Run(25 * S, 1, 1, 10 * S, known_us=35 * S)]
    assert mine.take_runs() == []
    assert (mine.training_us, mine.waiting_us) == (29 * S, 6 * S)


def test_taking_the_runs_does_not_break_the_step_in_progress() -> None:
    mine = node((0.0, 20_000.0, 1.0), power=None)
    mine.train()
    mine.advance(15 * S)
    assert mine.take_runs() == [Run(0, 0, 1, 10 * S, known_us=15 * S)]
    mine.advance(20 * S)
    assert mine.take_runs() == [Run(10 * S, 1, 1, 10 * S, known_us=20 * S)]


def test_the_last_step_can_be_undone_at_the_moment_it_ends() -> None:
    mine = node((0.0, 20_000.0, 1.0), power=None)
    mine.train()
    mine.advance(29 * S)
    assert not mine.stepped_now()
    mine.advance(30 * S)
    assert mine.stepped_now()
    mine.drop_last_step()
    assert (mine.runs, mine.steps) == ([Run(0, 0, 2, 10 * S, known_us=30 * S)], 2)


def test_a_site_never_trains() -> None:
    site = node((0.0, 20_000.0, 1.0), power=None, trains=False)
    site.train()
    site.advance(100 * S)
    assert (site.steps, site.training_us, site.waiting_us) == (0, 0, 0)
