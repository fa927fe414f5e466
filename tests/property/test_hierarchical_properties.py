"""Properties of hierarchical merging that hold for every fleet, all contacts and all faults."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orbital_train.schedule.groups import groups_of
from orbital_train.schedule.network import Network
from orbital_train.schedule.policies.hierarchical import Hierarchical
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import GLOBAL, Evaluate, Merge, Trace
from orbital_train.schedule.validate import validate
from orbital_train.windows.plan import ContactPlan
from tests.property.test_gossip_properties import ended_before, failing_fleets, fault_plans, few
from tests.property.test_permutation_properties import figures, irregular
from tests.property.test_schedule_properties import fleets
from tests.unit.schedule.scenarios import contacts, light

IDS = ("link_id", "source_terminal", "dest_terminal")

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
@few(120)
def test_every_trace_is_sound(fleet: Scenario, policy: Hierarchical) -> None:
    fleet = whole(fleet)
    trace = simulate(fleet, policy)
    validate(trace, fleet)
    assert trace.merged_steps <= sum(a.steps for a in trace.accounts) <= fleet.budget_steps
    evaluations = list(trace.of_kind(Evaluate))
    lost = any(outage.loses_state for outage in fleet.faults.outages)  # with its only holders, a version is
    assert evaluations[-1].merged_steps >= trace.merged_steps
    assert lost or evaluations[-1].merged_steps == trace.merged_steps


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


@given(seed=st.integers(0, 10**6), order=st.integers(3, 5).flatmap(lambda n: st.permutations(range(n))))
@few(30)
def test_another_order_of_the_nodes_gives_the_same_trace(seed: int, order: list[int]) -> None:
    """Groups are numbered in another order, and values and scopes named by it: what is sent and done is compared."""
    policy, nodes = Hierarchical(inner_steps=5, between_steps=15, drift_steps=60.0), len(order)

    def run(to: tuple[int, ...]) -> Trace:
        fleet = irregular(np.random.default_rng(seed), nodes, 0, 1, to)
        # At the end of a budget all groups send at once, and the first gets the link.
        fleet = replace(fleet, contacts=and_slow_links(fleet.contacts, to), budget_steps=10**6)
        assume(len(groups_of(Network(fleet.contacts), fleet.training_nodes)) > 1)  # within one, all sites are alike
        return simulate(fleet, policy)

    first, second = run(tuple(range(nodes))), run(tuple(order))
    assert (first.merged_steps, first.end_us) == (second.merged_steps, second.end_us)
    sent = sorted((order[t.source], order[t.dest], t.start_us, t.end_us, t.bits) for t in first.transfers)
    assert sent == sorted((t.source, t.dest, t.start_us, t.end_us, t.bits) for t in second.transfers)
    for node, account in enumerate(first.accounts):
        assert figures(account) == pytest.approx(figures(second.accounts[order[node]]), rel=1e-9)


def and_slow_links(plan: ContactPlan, order: tuple[int, ...]) -> ContactPlan:
    """Everybody can be reached from everybody at any time, however slowly: there is one best site."""
    rates_bps = 1e5 + 137.0 * np.arange(len(order) - 1)
    rows = [(order[i], order[i + 1], 0.0, plan.horizon_s) for i in range(len(order) - 1)]
    slow = contacts(len(order), rows, plan.horizon_s, 1.0, 0.011)
    slow = replace(slow, rate_bps=rates_bps[slow.link_id])
    first = int(plan.contact_id.max()) + 1
    columns = {
        field.name: np.concatenate([getattr(plan, field.name), getattr(slow, field.name) + first * (field.name in IDS)])
        for field in fields(plan)
        if isinstance(getattr(plan, field.name), np.ndarray)
    }
    by_start = np.argsort(columns["start_s"], kind="stable")
    columns = {name: column[by_start] for name, column in columns.items()}
    return replace(plan, **columns | {"contact_id": np.arange(by_start.size)})


@given(fleet=failing_fleets(), policy=policies)
@few(30)
def test_the_same_inputs_give_the_same_trace(fleet: Scenario, policy: Hierarchical) -> None:
    assert simulate(whole(fleet), policy) == simulate(whole(fleet), policy)


@given(fleet=failing_fleets(), policy=policies, data=st.data())
@few(60)
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
