"""Properties of hierarchical merging that hold for every fleet, beside those of every policy."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from orbital_train.schedule.groups import groups_of
from orbital_train.schedule.network import Network
from orbital_train.schedule.ops.merging import Merge
from orbital_train.schedule.policies.hierarchical import Hierarchical
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.validate import validate
from orbital_train.schedule.values import GLOBAL
from tests.property.fleets import few, fleets
from tests.unit.schedule.scenarios import contacts, light


@given(fleet=fleets(), inner_steps=st.integers(1, 30), between_steps=st.integers(1, 90))
@few(40)
def test_where_every_node_is_always_linked_the_whole_budget_is_merged(
    fleet: Scenario, inner_steps: int, between_steps: int
) -> None:
    """Two groups, but for one of few nodes: the link in the middle is slow."""
    nodes, horizon_s = len(fleet.contacts.node_names), 100_000.0
    plan = contacts(nodes, [(i, i + 1, 0.0, horizon_s) for i in range(nodes - 1)], horizon_s, 1e7, 0.02)
    slow = (plan.source + plan.dest) == 2 * (nodes // 2) - 1
    plan = replace(plan, rate_bps=plan.rate_bps * (1 - 0.9 * slow))
    linked = replace(fleet, contacts=plan, light=light(nodes, horizon_s), power=None)
    trace = simulate(linked, Hierarchical(inner_steps=inner_steps, between_steps=between_steps))
    validate(trace, linked)
    assert trace.merged_steps == linked.budget_steps
    groups = groups_of(Network(plan), linked.training_nodes)
    held = {op.holders for op in trace.of_kind(Merge) if op.scope != GLOBAL}
    assert held <= set(groups)
    assert all(op.holders == linked.training_nodes for op in trace.of_kind(Merge) if op.scope == GLOBAL)
