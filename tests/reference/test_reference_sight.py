"""Published lines of sight."""

from __future__ import annotations

import numpy as np

from orbital_train.windows.geometry import sight_function
from tests.reference import cases


def test_vallado_example_5_6_is_blocked() -> None:
    assert cases.vallado_clearance(0.0) < 0
    assert cases.vallado_clearance(80e3) < 0


def test_the_same_two_see_each_other_from_ten_times_as_far_to_one_side() -> None:
    still, aside = np.zeros(3), np.array([30_000e3, 0.0, 0.0])
    a, b = cases.VALLADO_M
    assert sight_function(80e3)(still[0], a + aside, still, b + aside, still) > 0
