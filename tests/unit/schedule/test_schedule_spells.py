from __future__ import annotations

import numpy as np
import pytest

from orbital_train.schedule.spells import Spells, clouds
from orbital_train.windows.plan import FloatArray

YEAR_S = 365 * 86400.0


def drawn(spells: Spells, seed: int, horizon_s: float) -> tuple[FloatArray, FloatArray]:
    return spells.draw(np.random.default_rng(seed), horizon_s)


def test_clouds_have_the_fraction_and_the_mean_that_were_asked_for() -> None:
    """Over 40 years: 0.35 and 5 h within about three standard errors."""
    start_s, end_s = drawn(clouds(0.35, 5 * 3600.0), 1, 40 * YEAR_S)
    length_s = end_s - start_s
    assert abs(length_s.sum() / (40 * YEAR_S) - 0.35) < 0.006
    assert abs(length_s.mean() / 3600.0 - 5.0) < 0.1
    # Exponential: the standard deviation is the mean.
    assert abs(length_s.std() / length_s.mean() - 1.0) < 0.03
    clear_s = start_s[1:] - end_s[:-1]
    assert abs(clear_s.std() / clear_s.mean() - 1.0) < 0.03


def test_fixed_spells_all_last_as_long_as_their_mean() -> None:
    """4,000 good times with a mean of 6 h, within three standard errors."""
    spells = Spells(mean_good_s=6 * 3600.0, mean_bad_s=600.0, fixed=True)
    start_s, end_s = drawn(spells, 2, 4000 * (6 * 3600.0 + 600.0))
    assert end_s - start_s == pytest.approx(600.0, abs=1e-6)
    good_s = start_s - np.append(0.0, end_s[:-1])
    assert abs(good_s.mean() / 21_600.0 - 1.0) < 3 / 4000**0.5


def test_spells_are_disjoint_sorted_and_begin_before_the_horizon() -> None:
    start_s, end_s = drawn(clouds(0.9, 3600.0), 3, 30 * 86400.0)
    assert (end_s > start_s).all()
    assert (start_s[1:] >= end_s[:-1]).all()
    assert start_s[0] >= 0
    assert start_s[-1] < 30 * 86400.0


def test_it_is_bad_at_the_start_with_the_probability_that_was_asked_for() -> None:
    cloudy = [drawn(clouds(0.3, 3600.0), k, 86400.0)[0][:1].tolist() == [0.0] for k in range(2000)]
    assert abs(float(np.mean(cloudy)) - 0.3) < 0.03
    never = Spells(mean_good_s=3600.0, mean_bad_s=3600.0)
    assert all((drawn(never, k, 86400.0)[0] > 0).all() for k in range(100))


def test_a_longer_horizon_adds_spells_and_changes_none() -> None:
    short, long = (drawn(clouds(0.4, 3600.0), 5, days * 86400.0) for days in (3, 300))
    count = short[0].size
    assert 0 < count < long[0].size
    assert (long[0][:count] == short[0]).all()
    assert (long[1][:count] == short[1]).all()
