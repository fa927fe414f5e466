"""The battery's closed form: balance, saturation, thresholds."""

from __future__ import annotations

import math

import pytest

from orbital_train.errors import InputError
from orbital_train.schedule.power import US_PER_H, EnergyFlow, PowerSpec, flow, slope_w, time_to_level_us

SPEC = PowerSpec(
    array_m2=2.0,
    array_efficiency=0.25,
    battery_wh=100.0,
    idle_w=50.0,
    train_w=300.0,
    transmit_w=20.0,
    charge_efficiency=0.9,
    discharge_efficiency=0.8,
)


def balance_wh(energy: EnergyFlow) -> float:
    out_wh = energy.consumed_wh + energy.stored_wh + energy.loss_wh + energy.curtailed_wh
    return energy.harvested_wh - out_wh


def test_the_array_gives_the_solar_constant_by_area_and_efficiency() -> None:
    assert SPEC.array_w(1.0) == pytest.approx(2.0 * 0.25 * 1361.0)
    assert SPEC.array_w(1.0167) == pytest.approx(680.5 / 1.0167**2)


def test_thresholds_follow_from_the_capacity() -> None:
    assert SPEC.floor_wh == pytest.approx(70.0)
    assert SPEC.resume_wh == pytest.approx(75.0)


@pytest.mark.parametrize("resume_fraction", [0.1, 0.7, 0.709])
def test_training_must_not_start_again_where_it_stops(resume_fraction: float) -> None:
    with pytest.raises(InputError, match=r"power.resume_fraction = .*at least 1 - power.depth_of_discharge") as error:
        PowerSpec(
            array_m2=1, array_efficiency=0.3, battery_wh=1, idle_w=0, train_w=1, transmit_w=0,
            resume_fraction=resume_fraction,
        )  # fmt: skip
    assert (error.value.key, error.value.value) == ("power.resume_fraction", resume_fraction)


def test_charging_loses_in_the_charger() -> None:
    energy = flow(SPEC, 50.0, 150.0, 50.0, US_PER_H // 2)
    assert energy == EnergyFlow(
        pytest.approx(45.0), pytest.approx(75.0), pytest.approx(25.0), 0.0, pytest.approx(5.0), 0.0
    )
    assert slope_w(SPEC, 150.0, 50.0) == pytest.approx(90.0)


def test_discharging_loses_in_the_regulator() -> None:
    energy = flow(SPEC, 50.0, 10.0, 50.0, US_PER_H // 2)
    assert (energy.stored_wh, energy.consumed_wh, energy.loss_wh) == pytest.approx((-25.0, 25.0, 5.0))
    assert (energy.curtailed_wh, energy.unserved_wh) == (0.0, 0.0)
    assert slope_w(SPEC, 10.0, 50.0) == pytest.approx(-50.0)


def test_a_full_battery_curtails_the_rest() -> None:
    energy = flow(SPEC, 91.0, 150.0, 50.0, US_PER_H)
    assert energy.stored_wh == pytest.approx(9.0)
    assert energy.curtailed_wh == pytest.approx(100.0 - 9.0 / 0.9)
    assert flow(SPEC, 100.0, 150.0, 50.0, US_PER_H).curtailed_wh == pytest.approx(100.0)


def test_an_empty_battery_leaves_the_rest_of_the_load_unserved() -> None:
    energy = flow(SPEC, 10.0, 0.0, 50.0, US_PER_H)
    assert energy.stored_wh == pytest.approx(-10.0)
    assert energy.consumed_wh == pytest.approx(8.0)
    assert energy.unserved_wh == pytest.approx(42.0)


@pytest.mark.parametrize("supply_w", [0.0, 30.0, 50.0, 350.0, 4000.0])
@pytest.mark.parametrize("load_w", [0.0, 50.0, 350.0, 371.3])
@pytest.mark.parametrize("energy_wh", [0.0, 1e-6, 33.3, 99.999, 100.0])
@pytest.mark.parametrize("duration_us", [1, 977_777, 7 * US_PER_H])
def test_energy_balances(supply_w: float, load_w: float, energy_wh: float, duration_us: int) -> None:
    energy = flow(SPEC, energy_wh, supply_w, load_w, duration_us)
    scale_wh = max(energy.harvested_wh, energy.consumed_wh, energy.unserved_wh, abs(energy.stored_wh), 1e-300)
    assert abs(balance_wh(energy)) <= 1e-9 * scale_wh
    assert energy.consumed_wh + energy.unserved_wh == pytest.approx(load_w * duration_us / US_PER_H, rel=1e-9)
    assert -1e-9 <= energy_wh + energy.stored_wh <= 100.0 + 1e-9
    assert min(energy.curtailed_wh, energy.loss_wh, energy.unserved_wh) >= -1e-9 * scale_wh


def test_time_to_a_level() -> None:
    assert time_to_level_us(50.0, 80.0, 60.0) == pytest.approx(US_PER_H / 2)
    assert time_to_level_us(50.0, 20.0, -60.0) == pytest.approx(US_PER_H / 2)
    assert math.isinf(time_to_level_us(50.0, 20.0, 60.0))
    assert math.isinf(time_to_level_us(50.0, 20.0, 0.0))
