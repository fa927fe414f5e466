from __future__ import annotations

from dataclasses import replace

import numpy as np

from orbital_train.schedule.pair_times import PairTimes
from orbital_train.windows.plan import ContactPlan
from tests.unit.schedule.scenarios import contacts

WINDOWS = [(2, 0, 50.0, 60.0), (0, 1, 10.0, 30.0), (0, 1, 70.0, 90.0), (1, 0, 30.0, 40.0)]


def plan() -> ContactPlan:
    """The link of nodes 0 and 1 in two slices, and again later; 2 s of acquisition, 5 s for the link of 0 and 2."""
    of = contacts(3, WINDOWS, 100.0, 1e6, 0.0)
    slice_of = np.where(of.link_id == 3, 1, of.link_id)
    paid_s = np.select([of.link_id == 3, of.link_id == 0], [0.0, 5.0], 2.0)
    return replace(of, link_id=slice_of, acquire_start_s=of.start_s - paid_s)


def test_pairs_and_when_they_are_linked() -> None:
    times = PairTimes(plan())
    assert times.pairs() == [(0, 1), (0, 2)]
    start_s, end_s = np.array([0.0, 0.0, 39.0, 40.0, 60.0, 90.0]), np.array([10.0, 11.0, 41.0, 70.0, 71.0, 95.0])
    assert times.linked(0, 1, start_s, end_s).tolist() == [False, True, True, False, True, False]


def test_a_link_is_acquired_once_whatever_its_slices() -> None:
    times = PairTimes(plan())
    assert [column.tolist() for column in times.acquired(0, 1)] == [[10.0, 70.0], [40.0, 90.0], [2.0, 2.0]]
    assert [column.tolist() for column in times.acquired(0, 2)] == [[50.0], [60.0], [5.0]]
    assert (times.acquisition_s(0, 1), times.acquisition_s(0, 2)) == (2.0, 5.0)
    assert [times.acquisition_s(node) for node in range(3)] == [5.0, 2.0, 5.0]


def test_plans_without_acquisitions_have_none() -> None:
    times = PairTimes(contacts(3, WINDOWS, 100.0, 1e6, 0.0))
    assert all(column.size == 0 for column in times.acquired(0, 1))
    assert (times.acquisition_s(0, 1), times.acquisition_s(0)) == (0.0, 0.0)
    assert PairTimes(contacts(3, [], 100.0, 1e6, 0.0)).pairs() == []
