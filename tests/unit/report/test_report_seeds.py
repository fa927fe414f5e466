from dataclasses import replace

import pytest

from orbital_train.report.runs import Arm, Comparison
from orbital_train.report.seeds import paired_loss, spread


def with_losses(comparison: Comparison, losses: dict[int, float]) -> Arm:
    run = comparison.arms[0].runs[0]
    summaries = [replace(run.summary, seed=seed, final_loss=loss) for seed, loss in losses.items()]
    return Arm(name="x", runs=tuple(replace(run, summary=s) for s in summaries))


def test_spread_is_the_sample_standard_deviation(comparison: Comparison):
    assert spread(with_losses(comparison, {0: 1.0, 1: 3.0}), "final_loss") == pytest.approx(2**0.5)
    assert spread(with_losses(comparison, {0: 1.0}), "final_loss") is None


def test_differences_are_paired_by_seed(comparison: Comparison):
    arm = with_losses(comparison, {0: 1.02, 1: 2.06, 2: 1.04, 9: 5.0})
    base = with_losses(comparison, {2: 1.0, 1: 2.0, 0: 1.0})
    paired = paired_loss(arm, base)
    assert paired is not None
    assert paired.seeds == 3
    assert paired.mean == pytest.approx(0.03)
    assert paired.half_width == pytest.approx(4.302653 * 0.01 / 3**0.5)  # t of 97.5 % with 2 degrees of freedom


def test_one_seed_has_a_difference_but_no_interval(comparison: Comparison):
    paired = paired_loss(with_losses(comparison, {0: 1.1}), with_losses(comparison, {0: 1.0}))
    assert paired is not None
    assert paired.mean == pytest.approx(0.1)
    assert paired.half_width is None


def test_no_common_seed_is_no_difference(comparison: Comparison):
    assert paired_loss(with_losses(comparison, {0: 1.1}), with_losses(comparison, {1: 1.0})) is None
