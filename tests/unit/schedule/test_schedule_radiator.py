"""Heat that a radiator sheds, and what it leaves for training."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orbital_train.errors import InputError
from orbital_train.schedule.radiator import RadiatorSpec, training_limit_w

PLATE = RadiatorSpec(area_m2=1.0, faces=2, emissivity=1.0, temperature_k=293.15)


def test_a_black_plate_at_20_c_sheds_838_w_from_both_faces() -> None:
    """The figure of Starcloud's white paper (2024): 838 W for a square metre."""
    assert PLATE.rejected_w == pytest.approx(837.5, abs=0.5)
    assert replace(PLATE, faces=1).rejected_w == pytest.approx(418.7, abs=0.5)


def test_heat_grows_with_the_fourth_power_of_temperature_and_loses_what_is_absorbed() -> None:
    assert replace(PLATE, temperature_k=2 * 293.15).rejected_w == pytest.approx(16 * PLATE.rejected_w)
    assert replace(PLATE, emissivity=0.5, area_m2=2.0).rejected_w == pytest.approx(PLATE.rejected_w)
    assert replace(PLATE, absorbed_w=100.0).rejected_w == pytest.approx(PLATE.rejected_w - 100.0)


def test_idle_and_training_together_make_what_is_shed() -> None:
    limit_w = training_limit_w(PLATE, 150.0, 200.0)
    assert 150.0 + limit_w == pytest.approx(PLATE.rejected_w)


def refused(radiator: RadiatorSpec) -> str:
    with pytest.raises(InputError) as caught:
        training_limit_w(radiator, 150.0, 210.0)
    return str(caught.value)


def test_a_radiator_that_is_too_small_is_refused() -> None:
    assert refused(replace(PLATE, area_m2=0.1)) == (
        "power.radiator.area_m2 = 0.1: rejects 83.75 W of heat and idle_w alone makes 150 W; accepted is above 0.43 m2"
    )
    assert refused(replace(PLATE, area_m2=0.4)) == (
        "power.radiator.area_m2 = 0.4: rejects 335 W of heat and idle_w with the static part of training makes 360 W;"
        " accepted is above 0.43 m2"
    )
    assert refused(replace(PLATE, area_m2=0.4, absorbed_w=400.0)) == (
        "power.radiator.area_m2 = 0.4: rejects 0 W of heat and idle_w alone makes 150 W; accepted is above 0.908 m2"
    )


def test_a_radiator_of_the_size_that_is_said_to_do_does() -> None:
    assert training_limit_w(replace(PLATE, area_m2=0.43), 150.0, 210.0) == pytest.approx(210.0, abs=1.0)
