"""Nodes are numbers by which nothing is decided: where no two things are alike, another order gives the same trace.

Equal times are settled by the lower number. So that there are none, all times, rates and light times here are irregular
and no node starts training when another does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbital_train.schedule.groups import Groups, groups_of
from orbital_train.schedule.network import Network
from orbital_train.schedule.ops.base import Op
from orbital_train.schedule.ops.merging import Combine, Merge
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import NodeAccount, Trace
from orbital_train.schedule.transfers import Transfer
from tests.property.fleets import Arm, every_policy, few, fleets, flown, irregular, reordered, schedules

Order = Sequence[int]  # the new number of each node

# Where names of values have nodes, behind the first word; the others have one there.
NODES_IN = {"group": (1,), "stage": (1,), "result": (), "state": (), "final": ()}


def renumbered(trace: Trace, order: Order, groups: Groups) -> tuple[list[str], list[str]]:
    """Operations and transfers with nodes, and groups of them, by their new numbers, in an order of their own."""
    members = [sorted(order[i] for i in group) for group in groups]
    group_order = [sorted(members).index(group) for group in members]

    def value(name: str) -> str:
        """A value or a scope."""
        what, *rest = name.split("/")
        if what == "group":
            rest[0] = str(group_order[int(rest[0])])
        for k in NODES_IN.get(what, (0,)):
            if len(rest) > k:  # the scope of a group has none
                node, at, number = rest[k].partition("@")
                rest[k] = f"{order[int(node)]}{at}{number}" if node.isdigit() else rest[k]
        return "/".join([what, *rest])

    def row(thing: Op | Transfer, **changed: Any) -> str:
        plain = {field.name: getattr(thing, field.name) for field in fields(thing)} | {"id": 0}
        for key, old in plain.items():
            if key in ("node", "site", "source", "dest"):
                plain[key] = order[old]
            elif key in ("value", "since_snapshot", "scope") and old is not None:
                plain[key] = value(old)
            elif key == "holders":
                plain[key] = sorted(order[i] for i in old)
            elif key == "group":
                plain[key] = group_order[old]
            elif key == "own":
                plain[key] = sorted((order[i], *versions) for i, *versions in old)
            elif key == "contributions":
                plain[key] = [replace(c, node=order[c.node], snapshot=value(c.snapshot)) for c in old]
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
    groups = [groups_of(Network(f.contacts), f.training_nodes) for f in (fleet, reordered(fleet, order))]
    before, after = renumbered(first, order, groups[0]), renumbered(second, range(len(order)), groups[1])
    for mine, yours in zip(before, after, strict=True):
        assert mine == yours
    for node, account in enumerate(first.accounts):
        again = second.accounts[order[node]]
        assert account.name == again.name
        assert figures(account) == pytest.approx(figures(again), rel=1e-9)
