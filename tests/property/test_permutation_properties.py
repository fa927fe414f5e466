"""Nodes are numbers by which nothing is decided: where no two things are alike, another order gives the same trace.

Equal times are settled by the lower number. So that there are none, all times, rates and light times here are irregular
and no node starts training when another does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Combine, Merge, NodeAccount, Op, Trace, Transfer
from tests.property.fleets import Arm, every_policy, few, fleets, flown, irregular, reordered, schedules

Order = Sequence[int]  # the new number of each node


def renumbered(trace: Trace, order: Order) -> tuple[list[str], list[str]]:
    """Operations and transfers with nodes by their new numbers, in an order of their own."""

    def value(name: str) -> str:
        return re.sub(r"^(local|snap|sum|restored|stage/data)/(\d+)", lambda m: f"{m[1]}/{order[int(m[2])]}", name)

    def row(thing: Op | Transfer, **changed: Any) -> str:
        plain = {field.name: getattr(thing, field.name) for field in fields(thing)} | {"id": 0}
        for key, old in plain.items():
            if key in ("node", "site", "source", "dest"):
                plain[key] = order[old]
            elif key in ("value", "since_snapshot") and old is not None:
                plain[key] = value(old)
            elif key in ("holders", "group"):
                plain[key] = sorted(order[i] for i in old)
        return f"{type(thing).__name__} {plain | changed}"

    def op_row(op: Op) -> str:
        changed: dict[str, Any] = {}
        if isinstance(op, Combine | Merge):
            weights = "weights" if isinstance(op, Combine) else "input_weights"
            pairs = zip(map(value, op.inputs), getattr(op, weights), strict=True)
            changed = {"inputs": sorted(pairs), weights: None}
        if isinstance(op, Merge):
            given = [replace(c, node=order[c.node], snapshot=value(c.snapshot)) for c in op.contributions]
            changed["contributions"] = sorted(given, key=lambda c: c.node)
        return row(op, **changed)

    return sorted(map(op_row, trace.ops)), sorted(map(row, trace.transfers))


def figures(account: NodeAccount) -> list[float]:
    """All but the battery over time: it has a corner wherever the node was looked at, at which energies are rounded."""
    named = {field.name: getattr(account, field.name) for field in fields(account)}
    return [figure for name, figure in named.items() if name not in ("name", "battery_us", "battery_wh")]


@every_policy
@given(data=st.data())
@few(10)
def test_another_order_of_the_nodes_gives_the_same_trace(arm: Arm, data: st.DataObject) -> None:
    """But for the end of a budget, when nodes that send by themselves all do so at once: the first gets the link."""
    fleet = irregular(data.draw(fleets()), data.draw(st.integers(0, 10**6)))
    schedule = data.draw(schedules(arm, fleet))
    order = data.draw(st.permutations(range(len(fleet.contacts.node_names))))
    if arm[0] != "link_aware":
        fleet = replace(fleet, budget_steps=10**6)
    schedule = schedule.model_copy(update={"home": schedule.home or fleet.contacts.node_names[0]})
    first = simulate(*flown(fleet, schedule))
    second = simulate(*flown(reordered(fleet, order), schedule))
    assert (first.merged_steps, first.end_us) == (second.merged_steps, second.end_us)
    kept = range(len(order))
    for before, after in zip(renumbered(first, order), renumbered(second, kept), strict=True):
        assert before == after
    for node, account in enumerate(first.accounts):
        again = second.accounts[order[node]]
        assert account.name == again.name
        assert figures(account) == pytest.approx(figures(again), rel=1e-9)
