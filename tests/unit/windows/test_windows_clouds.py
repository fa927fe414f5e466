from __future__ import annotations

import numpy as np

from orbital_train.windows.clouds import cloudy_spells

YEAR_S = 365 * 86400.0


def test_spells_have_the_fraction_and_the_mean_that_were_asked_for() -> None:
    """Over 40 years: 0.35 and 5 h within about three standard errors."""
    start_s, end_s = cloudy_spells("madrid", 0.35, 5 * 3600.0, 1, 40 * YEAR_S)
    length_s = end_s - start_s
    assert abs(length_s.sum() / (40 * YEAR_S) - 0.35) < 0.006
    assert abs(length_s.mean() / 3600.0 - 5.0) < 0.1
    # Exponential: the standard deviation is the mean.
    assert abs(length_s.std() / length_s.mean() - 1.0) < 0.03


def test_spells_are_disjoint_sorted_and_inside_the_horizon() -> None:
    start_s, end_s = cloudy_spells("madrid", 0.9, 3600.0, 3, 30 * 86400.0)
    assert (end_s > start_s).all()
    assert (start_s[1:] >= end_s[:-1]).all()
    assert start_s[0] >= 0
    assert end_s[-1] <= 30 * 86400.0


def test_a_site_is_cloudy_at_the_start_with_the_cloud_fraction() -> None:
    cloudy = [cloudy_spells(f"site {k}", 0.3, 3600.0, 0, 86400.0)[0][:1].tolist() == [0.0] for k in range(2000)]
    assert abs(float(np.mean(cloudy)) - 0.3) < 0.03


def test_a_longer_horizon_continues_a_shorter_one() -> None:
    short, long = (cloudy_spells("madrid", 0.4, 3600.0, 5, days * 86400.0) for days in (3, 300))
    count = short[0].size
    assert (long[0][:count] == short[0]).all()
    assert (long[1][: count - 1] == short[1][:-1]).all()


def test_seed_and_name_make_the_history() -> None:
    histories = [cloudy_spells(name, 0.4, 3600.0, seed, 86400.0)[0].tolist() for name in "ab" for seed in (1, 2)]
    assert len({tuple(history) for history in histories}) == 4
    assert cloudy_spells("a", 0.4, 3600.0, 1, 86400.0)[0].tolist() == histories[0]
