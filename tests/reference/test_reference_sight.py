"""Published lines of sight."""

from __future__ import annotations

import numpy as np

from orbital_train.windows.geometry import sight_function

R1_M = np.array([0.0, -4464.696e3, -5102.509e3])
R2_M = np.array([0.0, 5740.323e3, 3189.068e3])


def test_vallado_example_5_6_is_blocked() -> None:
    still = np.zeros(3)
    assert sight_function(0.0)(still[0], R1_M, still, R2_M, still) < 0
    assert sight_function(80e3)(still[0], R1_M, still, R2_M, still) < 0


def test_the_same_two_see_each_other_from_ten_times_as_far_to_one_side() -> None:
    still, aside = np.zeros(3), np.array([30_000e3, 0.0, 0.0])
    assert sight_function(80e3)(still[0], R1_M + aside, still, R2_M + aside, still) > 0
