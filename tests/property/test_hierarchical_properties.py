"""Properties of hierarchical merging that hold for every fleet, all contacts and all faults."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from orbital_train.schedule.groups import groups_of
from orbital_train.schedule.network import Network
from orbital_train.schedule.policies.hierarchical import Hierarchical
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import GLOBAL, Evaluate, Merge
from orbital_train.schedule.validate import validate
from tests.property.test_gossip_properties import ended_before, failing_fleets, fault_plans, few
from tests.property.test_schedule_properties import fleets
from tests.unit.schedule.scenarios import contacts, light

policies = st.builds(
    Hierarchical,
    inner_steps=st.integers(1, 30),
    between_steps=st.integers(1, 90),
    weights=st.sampled_from(["tokens", "uniform"]),
)


def whole(fleet: Scenario) -> Scenario:
    """Its model is one fragment."""
    return replace(fleet, workload=replace(fleet.workload, fragments=1))


@given(fleet=failing_fleets(), policy=policies)
@few(200)
def test_every_trace_is_sound(fleet: Scenario, policy: Hierarchical) -> None:
    fleet = whole(fleet)
    trace = simulate(fleet, policy)
    validate(trace, fleet)
    assert trace.merged_steps <= sum(a.steps for a in trace.accounts) <= fleet.budget_steps
    evaluations = list(trace.of_kind(Evaluate))
    assert evaluations[-1].merged_steps == trace.merged_steps


@given(fleet=fleets(), policy=policies)
@few(40)
def test_where_every_node_is_always_linked_the_whole_budget_is_merged(fleet: Scenario, policy: Hierarchical) -> None:
    """Two groups, but for one of few nodes: the link in the middle is slow."""
    nodes, horizon_s = len(fleet.contacts.node_names), 100_000.0
    plan = contacts(nodes, [(i, i + 1, 0.0, horizon_s) for i in range(nodes - 1)], horizon_s, 1e7, 0.02)
    slow = (plan.source + plan.dest) == 2 * (nodes // 2) - 1
    plan = replace(plan, rate_bps=plan.rate_bps * (1 - 0.9 * slow))
    linked = replace(whole(fleet), contacts=plan, light=light(nodes, horizon_s), power=None)
    trace = simulate(linked, policy)
    validate(trace, linked)
    assert trace.merged_steps == linked.budget_steps
    groups = groups_of(Network(plan), linked.training_nodes)
    held = {op.holders for op in trace.of_kind(Merge) if op.scope != GLOBAL}
    assert held <= set(groups)
    assert all(op.holders == linked.training_nodes for op in trace.of_kind(Merge) if op.scope == GLOBAL)


@given(fleet=failing_fleets(), policy=policies)
@few(30)
def test_the_same_inputs_give_the_same_trace(fleet: Scenario, policy: Hierarchical) -> None:
    assert simulate(whole(fleet), policy) == simulate(whole(fleet), policy)


@given(fleet=failing_fleets(), policy=policies, data=st.data())
@few(80)
def test_a_fault_changes_nothing_that_ended_before_it(
    fleet: Scenario, policy: Hierarchical, data: st.DataObject
) -> None:
    fleet = whole(fleet)
    more = data.draw(fault_plans(len(fleet.contacts.node_names)))
    faults = [*more.outages, *more.link_outages, *more.slow_downs]
    if not faults:
        return
    a = simulate(fleet, policy)
    b = simulate(replace(fleet, faults=fleet.faults.with_fault(faults[0])), policy)
    assert ended_before(a, faults[0].start_us) == ended_before(b, faults[0].start_us)
