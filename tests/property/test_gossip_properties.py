"""Properties of gossip that hold for every fleet, all contacts and all faults."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from orbital_train.schedule.faults import NO_FAULTS, FaultPlan, LinkOutage, Outage, SlowDown
from orbital_train.schedule.policies.gossip import Gossip
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Evaluate, Mix, Step, Trace
from orbital_train.schedule.validate import validate
from tests.property.test_schedule_properties import fleets
from tests.unit.schedule.scenarios import contacts, light

S = 1_000_000


def few(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, derandomize=True)


policies = st.builds(
    Gossip, inner_steps=st.integers(1, 60), seed=st.integers(0, 9), weights=st.sampled_from(["tokens", "uniform"])
)
fragments = st.integers(1, 3)


@st.composite
def fault_plans(draw: st.DrawFn, nodes: int) -> FaultPlan:
    """A few of each kind in two hours."""
    node, start_s, length_s = st.integers(0, nodes - 1), st.integers(0, 7000), st.integers(1, 1500)
    outages, links, slow = [], [], []
    for _ in range(draw(st.integers(0, 4))):
        start_us = draw(start_s) * S
        end_us = draw(st.sampled_from([None, start_us + draw(length_s) * S]))
        outages.append(
            Outage(node=draw(node), start_us=start_us, end_us=end_us, loses_state=draw(st.booleans()), cause="reset")
        )
    for _ in range(draw(st.integers(0, 4))):
        start_us, (a, b) = draw(start_s) * S, draw(st.permutations(range(nodes)))[:2]
        links.append(LinkOutage(a=a, b=b, start_us=start_us, end_us=start_us + draw(length_s) * S, cause="link"))
    for _ in range(draw(st.integers(0, 2))):
        start_us = draw(start_s) * S
        slow.append(SlowDown(node=draw(node), start_us=start_us, end_us=start_us + draw(length_s) * S, factor=1.7))
    return FaultPlan(outages=tuple(outages), link_outages=tuple(links), slow_downs=tuple(slow))


@st.composite
def failing_fleets(draw: st.DrawFn) -> Scenario:
    fleet = draw(fleets())
    faults = draw(fault_plans(len(fleet.contacts.node_names)))
    return replace(fleet, faults=faults, workload=replace(fleet.workload, fragments=draw(fragments)))


@given(fleet=failing_fleets(), policy=policies)
@few(120)
def test_every_trace_is_sound(fleet: Scenario, policy: Gossip) -> None:
    trace = simulate(fleet, policy)
    validate(trace, fleet)
    assert sum(a.steps for a in trace.accounts) <= fleet.budget_steps
    evaluations = list(trace.of_kind(Evaluate))
    assert evaluations[-1].merged_steps == trace.merged_steps
    assert evaluations[0].own == tuple((i, *([0] * trace.fragments)) for i in fleet.training_nodes)


@given(fleet=fleets(), policy=policies, fragments=fragments)
@few(30)
def test_where_every_node_is_always_linked_the_whole_budget_is_taken_in(
    fleet: Scenario, policy: Gossip, fragments: int
) -> None:
    nodes, horizon_s = len(fleet.contacts.node_names), 100_000.0
    linked = replace(
        fleet,
        contacts=contacts(nodes, [(i, i + 1, 0.0, horizon_s) for i in range(nodes - 1)], horizon_s, 1e7, 0.02),
        light=light(nodes, horizon_s),
        workload=replace(fleet.workload, fragments=fragments),
        power=None,
    )
    trace = simulate(linked, policy)
    validate(trace, linked)
    assert trace.merged_steps == linked.budget_steps
    assert all(account.no_energy_us == 0 for account in trace.accounts)


@given(fleet=failing_fleets(), policy=policies)
@few(30)
def test_the_same_inputs_give_the_same_trace(fleet: Scenario, policy: Gossip) -> None:
    assert simulate(fleet, policy) == simulate(fleet, policy)


@given(fleet=failing_fleets(), policy=policies, data=st.data())
@few(60)
def test_a_fault_changes_nothing_that_ended_before_it(fleet: Scenario, policy: Gossip, data: st.DataObject) -> None:
    more = data.draw(fault_plans(len(fleet.contacts.node_names)))
    faults = [*more.outages, *more.link_outages, *more.slow_downs]
    if not faults:
        return
    fault = faults[0]
    a = simulate(fleet, policy)
    b = simulate(replace(fleet, faults=fleet.faults.with_fault(fault)), policy)
    assert ended_before(a, fault.start_us) == ended_before(b, fault.start_us)


def ended_before(trace: Trace, at_us: int) -> Counter[object]:
    """Operations and transfers that ended by a moment; steps one by one, as a fault may cut a block of them."""
    ended: Counter[object] = Counter(t for t in trace.transfers if t.arrival_us < at_us)
    for op in trace.ops:
        if isinstance(op, Step):
            step_us = (op.end_us - op.start_us) // op.n
            ended.update((op.node, op.first + k) for k in range(op.n) if op.start_us + (k + 1) * step_us < at_us)
        elif op.end_us < at_us:
            ended[replace(op, id=0)] += 1
    return ended


@given(fleet=fleets(), policy=policies)
@few(30)
def test_nodes_never_wait_but_at_the_end(fleet: Scenario, policy: Gossip) -> None:
    trace = simulate(replace(fleet, faults=NO_FAULTS, power=None), policy)
    last: dict[int, int] = defaultdict(int)
    for op in trace.of_kind(Step):
        assert op.start_us == last[op.node]
        last[op.node] = op.end_us


@given(fleet=fleets(), inner_steps=st.integers(2, 60))
@few(20)
def test_two_nodes_that_mix_have_mixed_as_often_or_one_lost_its_chance(fleet: Scenario, inner_steps: int) -> None:
    trace = simulate(replace(fleet, faults=NO_FAULTS), Gossip(inner_steps=inner_steps))
    mixed: dict[tuple[int, ...], int] = defaultdict(int)
    for mix in trace.of_kind(Mix):
        mixed[tuple(sorted(c.snapshot for c in mix.contributions))] += 1
    assert sum(count == 1 for count in mixed.values()) <= len(fleet.training_nodes)  # those of exchanges cut by the end
    assert max(mixed.values(), default=0) <= 2
