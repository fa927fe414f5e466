"""The validator refuses every trace that breaks one of its invariants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from orbital_train.schedule.bookings import Bookings
from orbital_train.schedule.hops import first_hop
from orbital_train.schedule.known import Gather, Gathered, MergeNow
from orbital_train.schedule.network import Hop, Network
from orbital_train.schedule.ops.base import Op
from orbital_train.schedule.ops.merging import Combine, Merge, Snapshot
from orbital_train.schedule.ops.nodes import Adopt, Step
from orbital_train.schedule.ops.run import Evaluate
from orbital_train.schedule.policies.fixed_period import FixedPeriod
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.transfers import Transfer
from orbital_train.schedule.validate import TraceError, validate
from tests.unit.schedule.scenarios import ops, scenario, sent
from tests.unit.schedule.scripted import Scripted

S = 1_000_000
FLEET = scenario(3, windows=[(0, 1, 0.0, 20_000.0), (1, 2, 0.0, 20_000.0)], budget_steps=60)
TRACE = simulate(FLEET, FixedPeriod(inner_steps=10, site=0, form="skipping", timeout_s=1000.0))
RING = scenario(4, budget_steps=80)
PARTS = simulate(RING, FixedPeriod(inner_steps=10))  # all-reduces on the ring


def leg(source: int, dest: int, start_s: int) -> Hop:
    hop = first_hop(Network(FLEET.contacts).out[source][dest], Bookings(), start_s * S, 32_000_000)
    assert hop is not None
    return hop


def sums() -> Trace:
    """Node 2 sends at 100 s, node 1 at 110 s what it has; then node 2's goes to node 1 and is merged there."""
    first = Gather((1,), 0, 0, ((2, 100 * S), (1, 110 * S)), (leg(2, 1, 100), leg(1, 0, 110)))
    second = Gather((2,), 0, 1, ((0, 108 * S),), (leg(0, 1, 108),))
    on = {Gathered((1,)): [MergeNow(0, ((1,),))]}
    return simulate(FLEET, Scripted(at_s={0.0: [first, second], 119.0: [MergeNow(0, ((2,),))]}, on=on))  # type: ignore[arg-type]


SUMS = sums()


def find(kind: type[Op], number: int = 0, trace: Trace = TRACE, **fields: object) -> Op:
    """An operation of this kind with these fields."""
    rows = [op for op in trace.of_kind(kind) if all(getattr(op, k) == v for k, v in fields.items())]
    return rows[number]


def with_op(op: Op, trace: Trace = TRACE, **changes: object) -> Trace:
    """The trace with one operation changed."""
    return replace(trace, ops=tuple(replace(o, **changes) if o.id == op.id else o for o in trace.ops))


def with_transfer(transfer: Transfer, trace: Trace = TRACE, **changes: object) -> Trace:
    return replace(trace, transfers=tuple(replace(t, **changes) if t is transfer else t for t in trace.transfers))


def without(value: str, dest: int, trace: Trace = TRACE) -> Trace:
    """The trace in which a value is not sent to a node."""
    return replace(trace, transfers=tuple(t for t in trace.transfers if (t.value, t.dest) != (value, dest)))


def with_more(transfer: Transfer, trace: Trace = TRACE, **changes: object) -> Trace:
    """The trace with another transfer, like this one."""
    return replace(trace, transfers=(*trace.transfers, replace(transfer, **changes)))


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


def hop_of(node: int, number: int = 0) -> Transfer:
    """A transfer of a node's first outer gradient."""
    return sent(TRACE, find(Snapshot, node=node).value)[number]


def result_to(node: int, trace: Trace = TRACE) -> Transfer:
    """The transfer that brings a node the first result."""
    return next(t for t in sent(trace, "result/0@1") if t.dest == node)


def weights(*values: float) -> Trace:
    """The first merge with these weights, in what it adds as in what it says."""
    merge = find(Merge)
    rows = tuple(replace(c, weight=w) for c, w in zip(merge.contributions, values, strict=True))
    return with_op(merge, contributions=rows, input_weights=values)


def merged_twice() -> Trace:
    """The second merge takes what the first one took."""
    first, second = find(Merge), find(Merge, 1)
    rows = tuple(replace(c, staleness=1) for c in first.contributions)
    return with_op(second, contributions=rows, inputs=first.inputs, input_weights=first.input_weights)


def with_stranger() -> Trace:
    """A merge that names a contribution of no steps and of no snapshot."""
    merge = find(Merge)
    stranger = replace(merge.contributions[0], snapshot="snap/9/0@0", steps=0, weight=0.0)
    return with_op(merge, contributions=(*merge.contributions, stranger))


def summed_at(site: int) -> Trace:
    """The sum is formed, and known to the merge, as one of another node."""
    trace = with_op(find(Combine, trace=SUMS), SUMS, site=site)
    return with_op(find(Merge, trace=SUMS), trace, inputs=(f"sum/{site}/0@0",))


def one_in_sum() -> Trace:
    """The merge of a sum of two that accounts for one of them."""
    merge = find(Merge, trace=SUMS)
    return with_op(merge, SUMS, contributions=(replace(merge.contributions[0], weight=1.0),))


BROKEN: dict[str, tuple[Callable[[], Trace], str]] = {
    "ids that are not dense": (lambda: with_op(TRACE.ops[3], id=4), "operation 3 has id 4"),
    "an end before the start": (lambda: with_op(find(Step, node=1), start_us=10**9), "ends before it starts"),
    "an end after the trace": (lambda: replace(TRACE, end_us=TRACE.end_us - 1), "too late"),
    "a value written twice": (lambda: with_op(find(Step, 1, node=0), state=0), "writes local/0@1 again"),
    "a read before the write": (
        lambda: swapped(find(Step, node=0).id, find(Snapshot, node=0).id),
        "reads local/0@1 before it is written",
    ),
    "a version that was never made": (lambda: with_op(find(Evaluate), versions=(9,)), "reads global/0@9 before it is"),
    "a start before a value is there": (
        lambda: with_op(find(Step, node=0), end_us=150_000_000),
        "starts before local/0@1 is there",
    ),
    "steps that are too short": (lambda: with_op(find(Step, node=1), n=11), "not whole steps"),
    "no steps": (lambda: with_op(find(Step, node=1), n=0), "not whole steps"),
    "a step left out": (lambda: with_op(find(Step, node=2), first=1), "skips or repeats"),
    "steps that no account counts": (lambda: with_account(1, steps=19), "account and operations differ"),
    "a transfer in the wrong direction": (lambda: with_transfer(hop_of(1), source=2, dest=0), "not this contact's end"),
    "a transfer outside its contact": (
        lambda: with_transfer(hop_of(1), start_us=20_000_000_000, end_us=20_003_200_000),
        "outside contact",
    ),
    "a transfer after the end": (
        lambda: with_more(hop_of(1), start_us=TRACE.end_us + 1, end_us=TRACE.end_us + 1, bits=0),
        "after the end of the run",
    ),
    "a signal faster than light": (lambda: with_transfer(hop_of(1), owlt_us=9_999), "faster than light"),
    "too many bits": (lambda: with_transfer(hop_of(1), bits=32_000_001), "more bits than the contact carries"),
    "two transfers at once": (
        lambda: with_more(hop_of(1), start_us=hop_of(1).end_us - 1, end_us=hop_of(1).end_us + 3_200_000),
        "two transfers at once",
    ),
    "a contribution of which a part is missing": (
        lambda: with_transfer(hop_of(1), bits=31_999_999),
        "snap/1/0@1 is not at node 0 in time",
    ),
    "a result of which a part is sent twice": (
        lambda: with_more(result_to(1), with_transfer(result_to(1), bits=31_999_999), start_us=result_to(1).end_us,
                          end_us=result_to(1).end_us + 1, bits=2),
        "result/0@1: from node 0 to node 1 goes more than there is of it",
    ),
    "weights that do not add up": (lambda: weights(0.5, 0.25, 0.24), "weights add up to 0.99"),
    "weights that are all zero": (lambda: weights(0.0, 0.0, 0.0), "weights add up to 0"),
    "a weight of zero for steps": (lambda: weights(0.5, 0.5, 0.0), "weight 0.0 for 10 steps"),
    "a weight that is not what is added": (
        lambda: with_op(find(Merge), input_weights=(0.4, 0.3, 0.3)),
        "snap/0/0@1: not the weight that it enters with",
    ),
    "steps that the snapshot has not": (lambda: with_contribution(0, steps=11), "not the node or steps"),
    "a contribution of another node": (lambda: with_contribution(0, node=1), "not the node or steps"),
    "a merge of something else": (
        lambda: with_op(find(Merge), inputs=("local/0@1", *find(Merge).inputs[1:])),
        "adds local/0@1, which is no outer gradient",
    ),
    "a merge that does not say what it takes": (
        lambda: with_contribution(0, snapshot="snap/9/0@0"),
        "an input is not accounted for",
    ),
    "a merge that says that it takes what it does not": (with_stranger, "snap/9/0@0: no outer gradient"),
    "a merge of the same twice": (
        lambda: with_op(find(Merge), inputs=(*find(Merge).inputs, find(Merge).inputs[0]), input_weights=(0.25,) * 4),
        "adds an outer gradient twice",
    ),
    "a merge of what was merged": (merged_twice, "merges snap/0/0@1, snap/1/0@1, snap/2/0@1 again"),
    "a wrong staleness": (lambda: with_contribution(0, staleness=1), "staleness"),
    "a contribution that comes later": (
        lambda: with_transfer(hop_of(1), owlt_us=60_000_000),
        "snap/1/0@1 is not at node 0 in time",
    ),
    "a contribution that leaves before it is taken": (
        lambda: with_transfer(hop_of(1), start_us=99_999_999, end_us=103_199_999),
        "snap/1/0@1: node 1 sends it before it has it",
    ),
    "a contribution that goes nowhere": (lambda: without("snap/1/0@1", 0), "snap/1/0@1 is not at node 0 in time"),
    "hops that do not join": (
        lambda: with_transfer(hop_of(2), owlt_us=20_000_000),
        "snap/2/0@1: node 1 sends it before it has it",
    ),
    "another value on the way": (
        lambda: with_transfer(hop_of(1), value="snap/0/0@1"),
        "snap/0/0@1: node 1 sends it before it has it",
    ),
    "merged steps that were not merged": (lambda: replace(TRACE, merged_steps=61), "merged steps do not add up"),
    "a result that never came": (lambda: without("result/0@1", 2), "result/0@1 is not at node 2 in time"),
    "a result adopted too early": (
        lambda: with_transfer(result_to(2), owlt_us=5_000_000),
        "result/0@1 is not at node 2 in time",
    ),
    "a version adopted again": (lambda: with_op(find(Adopt, node=1), version=0), "again or goes back"),
    "progress since a version that was not adopted": (
        lambda: with_op(find(Adopt, node=1), base_version=1),
        "node 1 has version 0",
    ),
    "a sum formed elsewhere": (lambda: summed_at(2), "snap/1/0@1 is not at node 2 in time"),
    "a sum of what comes later": (
        lambda: with_transfer(SUMS.transfers[0], SUMS, owlt_us=8_000_000),
        "snap/2/0@1 is not at node 1 in time",
    ),
    "a sum sent before it is formed": (
        lambda: with_transfer(sent(SUMS, "sum/1/0@0")[0], SUMS, start_us=109_999_999, end_us=113_199_999),
        "sum/1/0@0: node 1 sends it before it has it",
    ),
    "a sum of which a part is missing": (
        lambda: with_transfer(sent(SUMS, "sum/1/0@0")[0], SUMS, bits=31_999_999),
        "sum/1/0@0 is not at node 0 in time",
    ),
    "a sum with other weights": (
        lambda: with_op(find(Combine, trace=SUMS), SUMS, weights=(10.0, 12.0)),
        "snap/1/0@1: not the weight that it enters with",
    ),
    "a sum of something else": (
        lambda: with_op(find(Combine, trace=SUMS), SUMS, inputs=("snap/2/0@1", "local/1@1")),
        "adds local/1@1, which is no outer gradient",
    ),
    "a sum of the same twice": (
        lambda: with_op(find(Combine, trace=SUMS), SUMS, inputs=("snap/2/0@1",) * 2),
        "adds an outer gradient twice",
    ),
    "a sum of which the merge forgets one": (one_in_sum, "an input is not accounted for"),
    "a merge by a holder that has not the version before": (
        lambda: with_transfer(result_to(1, SUMS), without("result/0@1", 2, SUMS), owlt_us=3_000_000),
        "result/0@1 is not at node 1 in time",
    ),
    "negative energy": (lambda: with_account(0, battery_wh=(300.0, -1e-9)), "out of its bounds"),
    "more energy than the battery holds": (lambda: with_account(0, battery_wh=(300.0, 300.1)), "out of its bounds"),
    "energy from nowhere": (lambda: with_account(0, consumed_wh=TRACE.accounts[0].consumed_wh + 1e-3), "not balance"),
}  # fmt: skip


def test_the_traces_are_sound_before_they_are_broken() -> None:
    validate(TRACE, FLEET)
    validate(SUMS, FLEET)
    assert TRACE.merged_steps == 60
    assert len(sent(TRACE, find(Snapshot, node=2).value)) == 2
    assert [(op.site, op.inputs) for op in ops(SUMS, Combine)] == [(1, ("snap/2/0@1", "snap/1/0@1"))]
    assert [(op.site, op.start_us) for op in ops(SUMS, Merge)] == [(0, 113_210_000), (1, 119 * S)]


@pytest.mark.parametrize(("broken", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_trace_is_refused(broken: Callable[[], Trace], message: str) -> None:
    with pytest.raises(TraceError, match=message):
        validate(broken(), FLEET)


def without_part(number: int) -> Trace:
    """The first merge does not take this part."""
    merge = find(Merge, trace=PARTS)
    kept = slice(number), slice(number + 1, None)
    inputs, weights = ([row[part] for part in kept] for row in (merge.inputs, merge.input_weights))
    return with_op(merge, PARTS, inputs=sum(inputs, ()), input_weights=sum(weights, ()))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda: without_part(2), "merges not all parts"),
        (lambda: without(find(Merge, trace=PARTS).inputs[1], 3, PARTS), "node 3"),
        (lambda: without("snap/1/0@1#1/4", 2, PARTS), "snap/1/0@1#1/4 is not at node 2 in time"),
        (lambda: with_transfer(sent(PARTS, "snap/1/0@1#1/4")[0], PARTS, bits=7_999_999), "is not at node 2 in time"),
    ],
    ids=["a part left out", "a part that never came", "a part of an outer gradient that never came", "a smaller part"],
)
def test_a_broken_all_reduce_is_refused(broken: Callable[[], Trace], message: str) -> None:
    validate(PARTS, RING)
    with pytest.raises(TraceError, match=message):
        validate(broken(), RING)


def test_a_sum_of_different_parts_is_refused() -> None:
    op = next(op for op in ops(PARTS, Combine) if any("#" in value for value in op.inputs))
    other = next(o.value for o in ops(PARTS, Combine) if o.id < op.id and o.part != op.part)
    with pytest.raises(TraceError, match=r"is not at node|mixes parts"):
        validate(with_op(op, PARTS, inputs=(other, op.inputs[1])), RING)


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
    early = replace(TRACE, ops=(), transfers=(), merged_steps=0, versions=(0,))
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
