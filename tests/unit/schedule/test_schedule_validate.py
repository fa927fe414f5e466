"""The validator refuses every trace that breaks one of its invariants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from orbital_train.schedule.policies.fixed_period import FixedPeriod
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Adopt, Merge, Op, Snapshot, Step, Trace
from orbital_train.schedule.validate import TraceError, validate
from tests.unit.schedule.scenarios import scenario

FLEET = scenario(3, windows=[(0, 1, 0.0, 20_000.0), (1, 2, 0.0, 20_000.0)], budget_steps=60)
TRACE = simulate(FLEET, FixedPeriod(inner_steps=10, site=0))


def find(kind: type[Op], number: int = 0, **fields: object) -> Op:
    """An operation of this kind with these fields."""
    rows = [op for op in TRACE.of_kind(kind) if all(getattr(op, k) == v for k, v in fields.items())]
    return rows[number]


def with_op(op: Op, **changes: object) -> Trace:
    """The trace with one operation changed."""
    return replace(TRACE, ops=tuple(replace(o, **changes) if o.id == op.id else o for o in TRACE.ops))


def with_transfer(k: int, **changes: object) -> Trace:
    rows = list(TRACE.transfers)
    rows[k] = replace(rows[k], **changes)
    return replace(TRACE, transfers=tuple(rows))


def with_account(node: int, **changes: object) -> Trace:
    rows = list(TRACE.accounts)
    rows[node] = replace(rows[node], **changes)
    return replace(TRACE, accounts=tuple(rows))


def with_contribution(k: int, **changes: object) -> Trace:
    merge = find(Merge)
    rows = list(merge.contributions)
    rows[k] = replace(rows[k], **changes)
    return with_op(merge, contributions=tuple(rows))


def swapped(a: int, b: int) -> Trace:
    """Two operations in each other's place."""
    rows = list(TRACE.ops)
    rows[a], rows[b] = replace(rows[b], id=a), replace(rows[a], id=b)
    return replace(TRACE, ops=tuple(rows))


def hop_of(node: int) -> int:
    """The first transfer of a node's first outer gradient."""
    return find(Snapshot, node=node).transfers[0]


def weights(*values: float) -> Trace:
    merge = find(Merge)
    rows = tuple(replace(c, weight=w) for c, w in zip(merge.contributions, values, strict=True))
    return with_op(merge, contributions=rows)


BROKEN: dict[str, tuple[Callable[[], Trace], str]] = {
    "ids that are not dense": (lambda: with_op(TRACE.ops[3], id=4), "operation 3 has id 4"),
    "an end before the start": (lambda: with_op(find(Step, node=1), start_us=10**9), "ends before it starts"),
    "an end after the trace": (lambda: replace(TRACE, end_us=TRACE.end_us - 1), "too late"),
    "a value written twice": (lambda: with_op(find(Step, 1, node=0), writes=("local/0@1",)), "writes local/0@1 again"),
    "a read before the write": (
        lambda: swapped(find(Step, node=0).id, find(Snapshot, node=0).id),
        "reads local/0@1 before it is written",
    ),
    "a start before a value is there": (
        lambda: with_op(find(Step, node=0), end_us=150_000_000),
        "starts before local/0@1 is there",
    ),
    "steps that are too short": (lambda: with_op(find(Step, node=1), n=11), "not whole steps"),
    "no steps": (lambda: with_op(find(Step, node=1), n=0), "not whole steps"),
    "a step left out": (lambda: with_op(find(Step, node=2), first=1), "skips or repeats"),
    "steps that no account counts": (lambda: with_account(1, steps=19), "account and operations differ"),
    "a transfer in the wrong direction": (lambda: with_transfer(0, source=2, dest=0), "not this contact's ends"),
    "a transfer outside its contact": (
        lambda: with_transfer(0, start_us=20_000_000_000, end_us=20_003_200_000),
        "outside contact",
    ),
    "a signal faster than light": (lambda: with_transfer(0, owlt_us=9_999), "faster than light"),
    "too many bits": (lambda: with_transfer(0, bits=32_000_001), "more bits than the contact carries"),
    "two transfers at once": (
        lambda: replace(
            TRACE, transfers=(*TRACE.transfers, replace(TRACE.transfers[0], start_us=TRACE.transfers[0].end_us - 1,
                                                        end_us=TRACE.transfers[0].end_us + 3_200_000))
        ),
        "two transfers at once",
    ),
    "a contribution of which a part is missing": (
        lambda: with_transfer(hop_of(1), bits=31_999_999),
        r"snap/1/0@1: 1 to 0 carry only a part of it",
    ),
    "a result of which a part is sent twice": (
        lambda: with_op(find(Adopt, node=1), transfers=find(Adopt, node=1).transfers * 2),
        "result/0@1: 0 to 1 carry",
    ),
    "weights that do not add up": (lambda: weights(0.5, 0.25, 0.24), "weights add up to 0.99"),
    "weights that are all zero": (lambda: weights(0.0, 0.0, 0.0), "weights add up to 0"),
    "a weight of zero for steps": (lambda: weights(0.5, 0.5, 0.0), "weight 0.0 for 10 steps"),
    "steps that the snapshot has not": (lambda: with_contribution(0, steps=11), "not the node or steps"),
    "a contribution of another node": (lambda: with_contribution(0, node=1), "not the node or steps"),
    "a merge of something else": (lambda: with_contribution(0, snapshot="local/0@0"), "which is no outer gradient"),
    "a merge of the same twice": (
        lambda: with_contribution(0, snapshot=find(Merge).contributions[1].snapshot, node=1),
        "again",
    ),
    "a wrong staleness": (lambda: with_contribution(0, staleness=1), "staleness"),
    "a contribution that comes later": (
        lambda: with_transfer(hop_of(1), owlt_us=60_000_000),
        "is not at node 0 in time",
    ),
    "a contribution that leaves before it is taken": (
        lambda: with_transfer(hop_of(1), start_us=99_999_999, end_us=103_199_999),
        "hops do not join",
    ),
    "a contribution that goes elsewhere": (lambda: with_op(find(Snapshot, node=1), transfers=()), "not at node 0"),
    "hops that do not join": (
        lambda: with_op(find(Snapshot, node=2), transfers=tuple(reversed(find(Snapshot, node=2).transfers))),
        "hops do not join",
    ),
    "another value on the way": (lambda: with_transfer(hop_of(1), value="snap/0/0@1"), "another value"),
    "merged steps that were not merged": (lambda: replace(TRACE, merged_steps=61), "merged steps do not add up"),
    "a result that never came": (lambda: with_op(find(Adopt, node=2), transfers=()), "result/0@1 is not at node 2"),
    "a result adopted too early": (
        lambda: with_transfer(find(Adopt, node=2).transfers[-1], owlt_us=5_000_000),
        "result/0@1 is not at node 2 in time",
    ),
    "a version adopted again": (lambda: with_op(find(Adopt, node=1), version=0), "again or goes back"),
    "negative energy": (lambda: with_account(0, battery_wh=(300.0, -1e-9)), "out of its bounds"),
    "more energy than the battery holds": (lambda: with_account(0, battery_wh=(300.0, 300.1)), "out of its bounds"),
    "energy from nowhere": (lambda: with_account(0, consumed_wh=TRACE.accounts[0].consumed_wh + 1e-3), "not balance"),
}  # fmt: skip


def test_the_trace_is_sound_before_it_is_broken() -> None:
    validate(TRACE, FLEET)
    assert TRACE.merged_steps == 60
    assert len(find(Snapshot, node=2).transfers) == 2


@pytest.mark.parametrize(("broken", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_trace_is_refused(broken: Callable[[], Trace], message: str) -> None:
    with pytest.raises(TraceError, match=message):
        validate(broken(), FLEET)


def test_two_steps_of_a_node_at_once_are_refused() -> None:
    first, second = find(Step, 0, node=0), find(Step, 1, node=0)
    start_us = first.end_us - 1
    overlap = replace(second, start_us=start_us, end_us=start_us + second.n * TRACE.step_us, reads=("local/0@0",))
    with pytest.raises(TraceError, match="two steps at once"):
        validate(replace(TRACE, ops=tuple(overlap if op is second else op for op in TRACE.ops)), FLEET)


def shared_terminal(**changes: object) -> Scenario:
    """Both links on one terminal of node 1."""
    plan = FLEET.contacts
    at_1 = {"source_terminal": np.where(plan.source == 1, 7, plan.source_terminal)}
    at_1["dest_terminal"] = np.where(plan.dest == 1, 7, plan.dest_terminal)
    return replace(FLEET, contacts=replace(plan, **{**at_1, **changes}))


def test_a_terminal_used_twice_at_once_is_refused() -> None:
    with pytest.raises(TraceError, match="a terminal is used twice"):
        validate(TRACE, shared_terminal())


def test_a_terminal_used_by_acquisition_while_it_still_carries_data_is_refused() -> None:
    link_id = FLEET.contacts.link_id
    start_s, end_s = np.where(link_id == 0, 0.0, 500.0), np.where(link_id == 0, 450.0, 20_000.0)
    free = shared_terminal(start_s=start_s, end_s=end_s, acquire_start_s=np.where(link_id == 0, 0.0, 450.0))
    busy = shared_terminal(start_s=start_s, end_s=end_s, acquire_start_s=np.where(link_id == 0, 0.0, 449.0))
    early = replace(TRACE, ops=(), transfers=(), merged_steps=0)
    validate(early, free)
    with pytest.raises(TraceError, match="a terminal is used twice"):
        validate(early, busy)


def test_a_terminal_that_receives_on_one_link_and_sends_on_another_is_refused() -> None:
    keep = np.flatnonzero(FLEET.contacts.dest != 0)  # node 1 only sends to node 2, and receives from nodes 0 and 2
    plan = shared_terminal().contacts
    columns = {
        name: getattr(plan, name)[keep]
        for name in ("link_id", "source", "dest", "source_terminal", "dest_terminal", "acquire_start_s", "start_s",
                     "end_s", "rate_bps", "owlt_s", "kind")
    }  # fmt: skip
    one_way = replace(FLEET, contacts=replace(plan, contact_id=np.arange(keep.size), **columns))
    with pytest.raises(TraceError, match="a terminal is used twice"):
        validate(replace(TRACE, ops=(), transfers=(), merged_steps=0), one_way)
