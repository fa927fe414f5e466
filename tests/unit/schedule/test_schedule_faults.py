from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from orbital_train.schedule.faults import NO_FAULTS, FaultPlan, LinkOutage, Outage, SlowDown


def down(start_us: int, end_us: int | None, *, loses: bool = False, node: int = 0, cause: str = "reset") -> Outage:
    return Outage(node=node, start_us=start_us, end_us=end_us, loses_state=loses, cause=cause)


def out(a: int, b: int | None, start_us: int, end_us: int) -> LinkOutage:
    return LinkOutage(a=a, b=b, start_us=start_us, end_us=end_us, cause="link")


def slow(node: int, start_us: int, end_us: int, factor: float = 1.5) -> SlowDown:
    return SlowDown(node=node, start_us=start_us, end_us=end_us, factor=factor)


def test_faults_stand_by_start_and_links_by_their_lower_node() -> None:
    plan = FaultPlan(
        outages=(down(5, 9, node=1), down(5, 7), down(2, None, node=2)),
        link_outages=(out(3, 1, 4, 6), out(1, None, 4, 5), out(0, 2, 1, 9), out(1, 3, 4, 6)),
        slow_downs=(slow(1, 3, 4), slow(0, 3, 4), slow(0, 2, 9, 3.0)),
    )
    assert plan.outages == (down(2, None, node=2), down(5, 7), down(5, 9, node=1))
    assert plan.link_outages == (out(0, 2, 1, 9), out(1, None, 4, 5), out(1, 3, 4, 6))
    assert plan.slow_downs == (slow(0, 2, 9, 3.0), slow(0, 3, 4), slow(1, 3, 4))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([down(0, 5), down(3, 9)], [down(0, 9)]),
        ([down(0, 5, loses=True), down(3, 9)], [down(0, 9, loses=True)]),
        ([down(0, 5), down(5, 9, cause="other")], [down(0, 9)]),
        ([down(0, 5), down(6, 9)], [down(0, 5), down(6, 9)]),
        ([down(0, 9), down(3, 5, loses=True)], [down(0, 3), down(3, 9, loses=True)]),
        ([down(0, 5), down(5, 9, loses=True)], [down(0, 5), down(5, 9, loses=True)]),
        ([down(0, 5), down(0, 3, loses=True, cause="x")], [down(0, 5, loses=True, cause="x")]),
        ([down(0, None), down(7, 9)], [down(0, None)]),
        ([down(0, 9), down(7, None, loses=True)], [down(0, 7), down(7, None, loses=True)]),
        ([down(0, 5), down(3, 9, node=1)], [down(0, 5), down(3, 9, node=1)]),
    ],
)
def test_outages_of_a_node_are_joined(given: list[Outage], kept: list[Outage]) -> None:
    for order in itertools.permutations(given):
        assert list(FaultPlan(outages=order).outages) == kept


def test_a_plan_is_written_and_read_to_the_bit(tmp_path: Path) -> None:
    plan = FaultPlan(
        outages=(down(5, 9, node=1, loses=True), down(2, None)),
        link_outages=(out(3, 1, 4, 6), out(1, None, 4, 5)),
        slow_downs=(slow(1, 3, 4, 1.1),),
    )
    plan.write(tmp_path / "faults.jsonl")
    assert FaultPlan.read(tmp_path / "faults.jsonl") == plan
    assert (tmp_path / "faults.jsonl").read_text() == (
        '{"faults":1}\n'
        '{"outage":{"node":0,"start_us":2,"end_us":null,"loses_state":false,"cause":"reset"}}\n'
        '{"outage":{"node":1,"start_us":5,"end_us":9,"loses_state":true,"cause":"reset"}}\n'
        '{"link_outage":{"a":1,"b":null,"start_us":4,"end_us":5,"cause":"link"}}\n'
        '{"link_outage":{"a":1,"b":3,"start_us":4,"end_us":6,"cause":"link"}}\n'
        '{"slow_down":{"node":1,"start_us":3,"end_us":4,"factor":1.1}}\n'
    )
    NO_FAULTS.write(tmp_path / "none.jsonl")
    assert FaultPlan.read(tmp_path / "none.jsonl") == NO_FAULTS
    assert plan
    assert not NO_FAULTS


def test_a_fault_is_added_and_makes_another_digest() -> None:
    added = [down(5, 9), out(2, 0, 1, 3), slow(1, 0, 4)]
    plans = [NO_FAULTS]
    for fault in added:
        plans.append(plans[-1].with_fault(fault))
    assert plans[-1] == FaultPlan(outages=(down(5, 9),), link_outages=(out(0, 2, 1, 3),), slow_downs=(slow(1, 0, 4),))
    assert len({plan.digest() for plan in plans}) == 4
    assert plans[1].with_fault(down(5, 9)).digest() == plans[1].digest()
