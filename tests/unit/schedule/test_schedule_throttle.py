"""Step times under a power cap."""

from __future__ import annotations

import pytest

from orbital_train.errors import InputError
from orbital_train.schedule.throttle import refuse_low_cap, step_time_factor


@pytest.mark.parametrize("clock", [0.3, 0.5, 0.9, 1.0])
def test_the_factor_inverts_the_law_of_the_clock(clock: float) -> None:
    drawn_w = 210.0 + 490.0 * clock**3
    assert step_time_factor(full_w=700.0, static_w=210.0, drawn_w=drawn_w) == pytest.approx(1 / clock)


def test_power_that_is_not_needed_speeds_nothing_up() -> None:
    assert step_time_factor(full_w=700.0, static_w=210.0, drawn_w=900.0) == 1.0
    assert step_time_factor(full_w=0.0, static_w=0.0, drawn_w=0.0) == 1.0


def test_less_power_takes_less_energy_a_step_down_to_a_point() -> None:
    """Energy a step is P(f) / f: least where 2 (full - static) f³ = static, and more again below."""
    best_w = 210.0 + 210.0 / 2
    energy = [w * step_time_factor(full_w=700.0, static_w=210.0, drawn_w=w) for w in (700, 500, best_w, 250, 220)]
    assert energy[0] > energy[1] > energy[2] < energy[3] < energy[4]


@pytest.mark.parametrize("cap_w", [210.0, 100.0])
def test_a_cap_at_or_below_the_static_part_is_refused(cap_w: float) -> None:
    with pytest.raises(InputError) as caught:
        refuse_low_cap(cap_w, 210.0)
    assert str(caught.value) == (
        f"power.train_cap_w = {cap_w}: must be above the static part of training,"
        " train_w x train_static_fraction = 210 W"
    )
