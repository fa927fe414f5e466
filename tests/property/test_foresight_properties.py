"""Nobody knows what will fail: what ends before a fault begins is as it is without the fault."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from orbital_train.schedule.faults import BitFlip
from orbital_train.schedule.ops.nodes import Step
from orbital_train.schedule.ops.run import Evaluate
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Trace
from tests.property.fleets import Arm, every_policy, failing_flights, faults, few, flips


@every_policy
@given(data=st.data())
@few(20)
def test_a_fault_changes_nothing_before_it(arm: Arm, data: st.DataObject) -> None:
    fleet, policy = data.draw(failing_flights(arm))
    since_s = data.draw(st.sampled_from([0, 500, 1000, 3000]))
    fault = data.draw(st.one_of(faults(fleet, since_s), faults(fleet, since_s), flips(fleet, since_s)))
    begins_us = fault.at_us if isinstance(fault, BitFlip) else fault.start_us
    more = replace(fleet, faults=fleet.faults.with_fault(fault))
    assert differences(simulate(fleet, policy), simulate(more, policy), begins_us) == []


def differences(a: Trace, b: Trace, at_us: int) -> list[Hashable]:
    """What is in only one of two traces of all that had ended before a moment, or had begun to be sent by then.

    Step by step, as a block of steps may be cut. The last evaluation is of a run's end, whenever that is.
    """
    until_us = min(at_us, a.end_us, b.end_us)
    last = {replace(list(trace.of_kind(Evaluate))[-1], id=0) for trace in (a, b)}
    mine, yours = set(_before(a, until_us)) - last, set(_before(b, until_us)) - last
    return sorted(mine ^ yours, key=str)


def _before(trace: Trace, at_us: int) -> Iterator[Hashable]:
    for op in trace.ops:
        if isinstance(op, Step):
            step_us = (op.end_us - op.start_us) // op.n
            for k in range(op.n):
                if op.start_us + (k + 1) * step_us < at_us:
                    progress = round(op.lr_progress + k * op.lr_progress_per_step, 9)
                    yield "step", op.node, op.first + k, op.start_us + k * step_us, step_us, progress
        elif op.end_us < at_us:
            yield replace(op, id=0)
    for t in trace.transfers:
        if t.end_us < at_us:
            yield t.contact, t.start_us, t.value, t.end_us, t.bits
        elif t.start_us < at_us:
            yield t.contact, t.start_us, t.value
