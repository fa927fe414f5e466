from dataclasses import replace

import numpy as np
import pytest

from orbital_train.report.curves import bytes_sent, curve
from orbital_train.report.runs import Arm, Comparison


def arm_named(comparison: Comparison, name: str) -> Arm:
    return next(arm for arm in comparison.arms if arm.name == name)


def test_bytes_are_those_of_the_transfers_so_far(comparison: Comparison):
    run = arm_named(comparison, "link_aware").runs[0]
    for at_s in (0.0, 3_000.0, 12_345.0, run.trace.end_us / 1e6):
        expected = sum(t.bits for t in run.trace.transfers if t.end_us <= at_s * 1e6) / 8
        assert bytes_sent(run, np.array([at_s])).tolist() == [expected]
    assert bytes_sent(run, np.array([1e9])).tolist() == [run.summary.link_bytes]


def test_bytes_of_synchronous_steps_grow_evenly(comparison: Comparison):
    run = arm_named(comparison, "fully_connected").runs[0]
    end_s = run.trace.end_us / 1e6
    sent = bytes_sent(run, np.array([0.0, end_s / 4, end_s]))
    assert sent.tolist() == [0.0, run.summary.link_bytes / 4, run.summary.link_bytes]


def test_a_curve_is_the_mean_of_its_seeds(comparison: Comparison):
    arm = arm_named(comparison, "link_aware")
    points = curve(arm, "tokens")
    low, high = (run.evaluations.loss for run in arm.runs)
    assert points.x.tolist() == arm.runs[0].evaluations.tokens.tolist()
    assert points.mean.tolist() == pytest.approx(((low + high) / 2).tolist())
    assert points.low.tolist() == low.tolist()
    assert points.high.tolist() == high.tolist()


def test_seeds_that_differ_are_compared_where_all_were_measured(comparison: Comparison):
    first, second = arm_named(comparison, "link_aware").runs
    evaluations = replace(second.evaluations, sim_s=second.evaluations.sim_s + 500.0)
    points = curve(Arm(name="x", runs=(first, replace(second, evaluations=evaluations))), "time")
    assert points.x[0] == 500.0
    assert points.x[-1] == first.evaluations.sim_s[-1]
    assert np.all(np.diff(points.x) > 0)


def test_points_before_the_first_byte_are_not_on_the_logarithmic_axis(comparison: Comparison):
    arm = arm_named(comparison, "link_aware")
    assert curve(arm, "time").x[0] == 0.0
    assert curve(arm, "bytes").x[0] > 0
