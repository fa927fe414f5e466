"""The validator refuses every trace of gossip that breaks one of its invariants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from orbital_train.schedule.faults import FaultPlan, Outage
from orbital_train.schedule.ops.base import Op
from orbital_train.schedule.ops.merging import Mix, Snapshot
from orbital_train.schedule.ops.nodes import Adopt, Restore
from orbital_train.schedule.policies.gossip import Gossip
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.validate import TraceError, validate
from tests.unit.schedule.scenarios import scenario

S = 1_000_000
LOSS = Outage(node=2, start_us=900 * S, end_us=950 * S, loses_state=True, cause="listed")
FLEET = replace(scenario(3, power=None, budget_steps=600), faults=FaultPlan(outages=(LOSS,)))
TRACE = simulate(FLEET, Gossip(inner_steps=10))


def find(kind: type[Op], number: int = 0) -> Op:
    return list(TRACE.of_kind(kind))[number]


def with_op(op: Op, **changes: object) -> Trace:
    """The trace with one operation changed."""
    return replace(TRACE, ops=tuple(replace(o, **changes) if o.id == op.id else o for o in TRACE.ops))


def with_share(k: int, **changes: object) -> Trace:
    mix = find(Mix)
    rows = list(mix.contributions)  # type: ignore[attr-defined]
    rows[k] = replace(rows[k], **changes)
    return with_op(mix, contributions=tuple(rows))


def without_offer() -> Trace:
    value = f"offer/{find(Mix).contributions[1].node}/0@"  # type: ignore[attr-defined]
    return replace(TRACE, transfers=tuple(t for t in TRACE.transfers if not t.value.startswith(value)))


BROKEN: dict[str, tuple[Callable[[], Trace], str]] = {
    "an offer that never came": (without_offer, "is not at node"),
    "weights that do not add up": (lambda: with_share(1, weight=0.4), "weights add up to 0.9"),
    "other steps than were offered": (lambda: with_share(1, steps=9), "not as it was offered"),
    "other slow weights than were sent": (
        lambda: with_op(find(Mix, -1), slow_versions=(0, 0)),
        "not as it was offered",
    ),
    "a mix of older slow weights": (lambda: with_op(find(Mix, -1), from_version=0), "not of the newest slow weights"),
    "an outer gradient of other steps": (lambda: with_op(find(Snapshot), steps=3), "3 steps"),
    "an outer gradient of others' slow weights": (
        lambda: with_op(find(Snapshot), scope="own/1" if find(Snapshot).node == 0 else "own/0"),  # type: ignore[attr-defined]
        "not of its node's own slow weights",
    ),
    "an adoption of the global model": (lambda: with_op(find(Adopt), scope="global", version=0), "not the newest slow"),
    "too many merged steps": (lambda: replace(TRACE, merged_steps=TRACE.merged_steps + 1), "do not add up"),
    "a restoration from what is not there yet": (
        lambda: with_op(find(Restore), versions=(99,)),
        "reads own/./0@99 before it is written",
    ),
}


def test_the_trace_itself_is_sound() -> None:
    validate(TRACE, FLEET)


@pytest.mark.parametrize(("broken", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_trace_is_refused(broken: Callable[[], Trace], message: str) -> None:
    with pytest.raises(TraceError, match=message):
        validate(broken(), FLEET)
