from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from orbital_train.schedule.fault_times import FaultTimes
from orbital_train.schedule.faults import NO_FAULTS, Fault, FaultPlan, LinkOutage, Outage, SlowDown
from orbital_train.schedule.network import Hop, Piece
from tests.unit.schedule.scenarios import contacts

OWLT_US = 4


def hop(*parts: tuple[int, int]) -> Hop:
    """From node 0 to node 1, in these parts on contact 0."""
    pieces = tuple(Piece(0, start_us, end_us, end_us - start_us) for start_us, end_us in parts)
    end_us = pieces[-1].end_us
    return Hop(0, 1, pieces[0].start_us, end_us, end_us + OWLT_US, pieces, 0)


def times(*faults: Fault) -> FaultTimes:
    plan = NO_FAULTS
    for fault in faults:
        plan = plan.with_fault(fault)
    sky = contacts(3, [(0, 1, 0.0, 1.0)], 1.0, 1e6, 0.0)
    return FaultTimes(plan, replace(sky, owlt_s=np.full(len(sky), (OWLT_US - 0.5) * 1e-6)))


def down(node: int, start_us: int, end_us: int | None, *, loses: bool = False) -> Outage:
    return Outage(node=node, start_us=start_us, end_us=end_us, loses_state=loses, cause="reset")


def out(a: int, b: int | None, start_us: int, end_us: int) -> LinkOutage:
    return LinkOutage(a=a, b=b, start_us=start_us, end_us=end_us, cause="link")


def slow(node: int, start_us: int, end_us: int, factor: float) -> SlowDown:
    return SlowDown(node=node, start_us=start_us, end_us=end_us, factor=factor)


def test_a_node_is_down_from_the_start_of_an_outage_until_its_end() -> None:
    of = times(down(0, 5, 9), down(0, 9, 12, loses=True), down(1, 20, None))
    assert [t for t in range(20) if of.is_down(0, t)] == list(range(5, 12))
    assert [of.is_down(1, t) for t in (19, 20, 10**15)] == [False, True, True]
    assert not of.is_down(2, 7)


@pytest.mark.parametrize(
    ("fault", "cut_us"),
    [
        (down(0, 0, 10), None),  # of the source, until the first bit leaves
        (down(0, 0, 11), 10),
        (down(0, 13, 14), 13),
        (down(0, 20, 30), None),  # all has been sent
        (down(1, 0, 14), None),  # of the destination, one light time later
        (down(1, 0, 15), 14),
        (down(1, 24, 25), 24),  # the moment of arrival counts
        (down(1, 25, None), None),
        (out(0, 1, 5, 11), 10),
        (out(1, 0, 19, 21), 19),
        (out(0, 1, 20, 24), None),  # what is under way is heard
        (out(0, None, 12, 13), 12),
        (out(1, None, 12, 13), 12),
        (out(2, None, 12, 13), None),
        (out(0, 2, 12, 13), None),
        (down(2, 0, None), None),
        (slow(0, 0, 100, 2.0), None),
    ],
)
def test_what_cuts_a_message(fault: Fault, cut_us: int | None) -> None:
    assert times(fault).cut_us(hop((10, 20))) == cut_us


def test_between_its_parts_only_a_loss_of_state_loses_a_message() -> None:
    parts = hop((10, 20), (40, 50))
    for fault in (out(0, 1, 20, 40), out(0, None, 20, 40), down(0, 20, 40), down(1, 25, 44)):
        assert times(fault).cut_us(parts) is None
    assert times(down(0, 22, 30, loses=True)).cut_us(parts) == 22
    assert times(down(1, 30, 31, loses=True)).cut_us(parts) == 30
    assert times(out(0, 1, 39, 41)).cut_us(parts) == 40


def test_the_first_of_several_cuts_counts() -> None:
    of = times(down(1, 16, 17), out(0, 1, 18, 19), down(0, 17, None))
    assert of.cut_us(hop((10, 20))) == 16
    assert of.cut_us(hop((17, 20))) == 17
    assert of.cut_us(hop((10, 11), (18, 19))) == 16 + 2  # the destination is up again when the second part comes


def test_a_message_that_takes_no_time_is_lost_at_its_moment() -> None:
    moment = hop((10, 10))
    assert times(out(0, 1, 10, 11)).cut_us(moment) == 10
    assert times(out(0, 1, 9, 10)).cut_us(moment) is None
    assert times(down(1, 14, 15)).cut_us(moment) == 14
    assert times(down(1, 13, 14)).cut_us(moment) is None


def test_without_faults_everything_gets_through() -> None:
    of = times()
    assert of.cut_us(hop((10, 20))) is None
    assert not of.is_down(0, 0)
    assert of.factors(0) == ()


def test_the_largest_factor_counts() -> None:
    of = times(slow(0, 5, 20, 2.0), slow(0, 10, 15, 3.0), slow(0, 20, 25, 2.0), slow(0, 30, 31, 1.5))
    assert of.factors(0) == ((5, 2.0), (10, 3.0), (15, 2.0), (25, 1.0), (30, 1.5), (31, 1.0))
    assert of.factors(1) == ()


def test_faults_of_many_nodes_are_found_apart() -> None:
    plan = FaultPlan(outages=tuple(down(k % 3, 10 * k, 10 * k + 5) for k in range(300)))
    of = FaultTimes(plan, contacts(3, [(0, 1, 0.0, 1.0)], 1.0, 1e6, 0.0))
    for t in range(3000):
        assert [of.is_down(node, t) for node in range(3)] == [t // 10 % 3 == node and t % 10 < 5 for node in range(3)]


@pytest.mark.parametrize(
    ("from_us", "to_us", "first_us"),
    [(0, 100, 0), (9, 100, 9), (10, 100, 20), (15, 20, None), (15, 21, 20), (20, 30, 20), (35, 10_000, None)],
)
def test_when_a_node_is_up_first(from_us: int, to_us: int, first_us: int | None):
    failing = times(down(0, 10, 20), down(0, 30, None))
    assert failing.up_us(0, from_us, to_us) == first_us
    assert failing.up_us(1, from_us, to_us) == from_us
