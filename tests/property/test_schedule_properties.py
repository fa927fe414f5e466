"""Properties of the schedule that hold for every fleet, every set of contacts and every policy."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbital_train.schedule.measures import measure
from orbital_train.schedule.node import Node, NodeSetting
from orbital_train.schedule.ops.merging import Merge
from orbital_train.schedule.ops.nodes import Adopt, Step
from orbital_train.schedule.ops.run import Evaluate, Stage
from orbital_train.schedule.policies.fixed_period import FixedPeriod
from orbital_train.schedule.policies.link_aware import LinkAware
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.validate import validate
from orbital_train.schedule.values import GLOBAL
from tests.property.brute_force import assert_sound
from tests.property.fleets import ARMS, Arm, every_policy, failing_flights, few, fleets, flown, schedules
from tests.unit.schedule.scenarios import POWER, WORKLOAD, contacts, light

S = 1_000_000


# -- power ---


@st.composite
def settings_of_nodes(draw: st.DrawFn) -> NodeSetting:
    """A satellite with any mix of sun and shadow over 6000 s, and a battery that may or may not carry it."""
    cuts = sorted(draw(st.lists(st.integers(1, 5999), max_size=6, unique=True)))
    power = replace(
        POWER,
        array_m2=draw(st.floats(0.2, 5.0)),
        battery_wh=draw(st.floats(5.0, 400.0)),
        depth_of_discharge=draw(st.floats(0.26, 1.0)),
    )
    fractions = draw(st.lists(st.sampled_from([0.0, 0.3, 1.0]), min_size=len(cuts) + 1, max_size=len(cuts) + 1))
    return NodeSetting(
        step_us=draw(st.integers(1, 60 * S)),
        trains=True,
        power=power,
        edge_us=(0, *(cut * S for cut in cuts), 6000 * S),
        supply_w=tuple(fraction * power.array_w(1.0) for fraction in fractions),
    )


@given(setting=settings_of_nodes(), sends=st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 900)), max_size=4))
@few(80)
def test_a_nodes_energy_balances_and_its_predictions_come_true(
    setting: NodeSetting, sends: list[tuple[int, int]]
) -> None:
    node, power = Node(setting), setting.power
    assert power is not None
    for start_s, length_s in sends:
        node.add_send(start_s * S, (start_s + length_s) * S)
    node.train()
    goal_us = node.time_of_steps_us(3, 6000 * S)
    ahead = node.fork()
    ahead.advance(6000 * S)
    if goal_us is not None:
        node.advance(goal_us)
        assert node.stepped_now()
        assert node.steps >= 3
    node.advance(6000 * S)
    assert node.steps == ahead.steps == sum(run.n for run in node.runs)
    assert (goal_us is None) == (node.steps < 3)
    stored_wh = node.energy_wh - power.battery_wh
    out_wh = node.consumed_wh + node.curtailed_wh + node.loss_wh + stored_wh
    assert abs(node.harvested_wh - out_wh) <= 1e-9 * max(1.0, node.harvested_wh, node.consumed_wh)
    lit_s = [s * (b - a) / S for s, (a, b) in zip(setting.supply_w, itertools.pairwise(setting.edge_us), strict=True)]
    assert node.harvested_wh == pytest.approx(sum(lit_s) / 3600, rel=1e-9, abs=1e-12)
    assert node.training_us + node.waiting_us + node.no_energy_us == 6000 * S
    assert all(0 <= energy_wh <= power.battery_wh for _, energy_wh in node.battery)


# -- policies ---


@every_policy
@given(data=st.data())
@few(25)
def test_every_trace_is_sound(arm: Arm, data: st.DataObject) -> None:
    fleet, policy = data.draw(failing_flights(arm))
    trace = simulate(fleet, policy)
    validate(trace, fleet)
    assert_sound(trace, fleet)
    assert_accounted_for(trace, fleet)


def assert_accounted_for(trace: Trace, scenario: Scenario) -> None:
    """Steps and times add up."""
    trained = sum(op.n for op in trace.of_kind(Step))
    assert trace.merged_steps <= trained == sum(account.steps for account in trace.accounts) <= scenario.budget_steps
    assert trace.end_us <= scenario.horizon_us
    measured = measure(trace)
    assert measured.lost_steps == trained - trace.merged_steps
    for account in trace.accounts:
        times_us = (account.training_us, account.no_energy_us, account.waiting_us, account.down_us)
        assert sum(times_us) + account.restoring_us == (trace.end_us if account.trains else 0)
    if not scenario.faults:
        assert_evaluated(trace, scenario)


def assert_evaluated(trace: Trace, scenario: Scenario) -> None:
    """Once for every bucket of steps that merges reach, of the versions that there were then."""
    if trace.own:
        assert_mean_evaluated(trace, scenario)
        return
    versions, parts = [0] * trace.fragments, 0
    made = {tuple(versions): 0}
    for op in (op for op in trace.of_kind(Merge) if op.scope == GLOBAL):
        versions[op.fragment] = op.to_version
        parts += sum(c.steps for c in op.contributions)
        made[tuple(versions)] = parts // trace.fragments
    evaluations = list(trace.of_kind(Evaluate))
    assert all(e.merged_steps == made[e.versions] for e in evaluations)
    assert [e.versions for e in evaluations] == sorted({e.versions for e in evaluations})
    assert evaluations[0].versions == (0,) * trace.fragments
    assert evaluations[-1].merged_steps == trace.merged_steps
    buckets = [e.merged_steps // scenario.evaluate_every_steps for e in evaluations]
    assert {steps // scenario.evaluate_every_steps for steps in made.values()} == set(buckets)


def assert_mean_evaluated(trace: Trace, scenario: Scenario) -> None:
    """Gossip: of all nodes that have begun, as they are then; once for every bucket of steps that others took in."""
    evaluations = list(trace.of_kind(Evaluate))
    begun = [i for i in scenario.training_nodes if scenario.staging is None or i in scenario.staging.sources]
    assert evaluations[0].own == tuple((i, *([0] * trace.fragments)) for i in scenario.training_nodes)
    ready_us = dict.fromkeys(begun, 0) | {op.node: op.end_us for op in trace.of_kind(Stage)}
    for e in evaluations[1:]:
        assert [node for node, *_ in e.own] == [
            i for i in scenario.training_nodes if ready_us.get(i, scenario.horizon_us) <= e.end_us
        ]
    assert evaluations[-1].merged_steps == trace.merged_steps
    buckets = [e.merged_steps // scenario.evaluate_every_steps for e in evaluations[:-1]]
    assert buckets == sorted(set(buckets))


@every_policy
@given(data=st.data())
@few(8)
def test_where_every_node_is_always_linked_the_whole_budget_is_merged(arm: Arm, data: st.DataObject) -> None:
    """And no contribution is older than the policy's bound."""
    fleet = data.draw(fleets())
    nodes, horizon_s = len(fleet.contacts.node_names), 60_000.0
    chain = [(i, i + 1, 0.0, horizon_s) for i in range(nodes - 1)]
    fleet, policy = flown(
        replace(
            fleet,
            contacts=contacts(nodes, chain, horizon_s, 1e7, 0.02),
            light=light(nodes, horizon_s, [(0, 500.0, 2600.0), (1, 1700.0, 3800.0)]),
        ),
        data.draw(schedules(arm, fleet)),
    )
    trace = simulate(fleet, policy)
    validate(trace, fleet)
    assert_sound(trace, fleet)
    assert_accounted_for(trace, fleet)
    trained = sum(account.steps for account in trace.accounts)
    if trace.end_us < fleet.horizon_us:
        assert trained == fleet.budget_steps
        if getattr(policy, "adopt", "keep") == "keep":
            alone = policy.name == "gossip" and len(fleet.training_nodes) == 1
            assert trace.merged_steps == (0 if alone else fleet.budget_steps)
    else:  # too little power for the budget
        assert fleet.power is not None
        assert trained < fleet.budget_steps
    bound = {"fixed_period": 0, "link_aware": getattr(policy, "max_staleness", 0)}.get(policy.name, fleet.budget_steps)
    if arm[1] != "skipping":  # which takes whatever comes when the run ends
        assert max((c.staleness for op in trace.of_kind(Merge) for c in op.contributions), default=0) <= bound


def ideal(nodes: int, budget_steps: int, horizon_s: float = 50_000.0) -> Scenario:
    """No transfer takes any time, and the sun never sets."""
    pairs = [(a, b, 0.0, horizon_s) for a, b in itertools.combinations(range(nodes), 2)]
    return Scenario(
        contacts=contacts(nodes, pairs, horizon_s, math.inf, 0.0),
        light=light(nodes, horizon_s),
        power=None,
        workload=WORKLOAD,
        training_nodes=tuple(range(nodes)),
        budget_steps=budget_steps,
        evaluate_every_steps=100,
    )


def training_ops(trace: Trace, mode: str) -> list[object]:
    """What is trained and merged, without what carried it; how a result is adopted reads the same in every mode."""
    ops: list[object] = []
    for op in trace.ops:
        if isinstance(op, Adopt):
            assert op.mode == mode
            op = replace(op, mode="replace")
        ops.append(op)
    return ops


@pytest.mark.parametrize("adoption", ["replace", "keep"])
@given(
    nodes=st.integers(2, 5),
    inner_steps=st.integers(1, 70),
    budget_steps=st.integers(1, 1500),
    weights=st.sampled_from(["tokens", "uniform"]),
)
@few(40)
def test_link_aware_on_an_ideal_network_is_fixed_period(
    adoption: str, nodes: int, inner_steps: int, budget_steps: int, weights: str
) -> None:
    fleet = ideal(nodes, budget_steps)
    aware = LinkAware(min_inner_steps=inner_steps, adopt=adoption, weights=weights)  # type: ignore[arg-type]
    fixed = FixedPeriod(inner_steps=inner_steps, site=0, weights=weights)  # type: ignore[arg-type]
    a, b = simulate(fleet, aware), simulate(fleet, fixed)
    assert training_ops(a, adoption) == training_ops(b, "replace")
    assert (a.merged_steps, a.end_us) == (b.merged_steps, b.end_us) == (budget_steps, b.end_us)
    validate(a, fleet)
    assert_sound(a, fleet)


def test_the_same_inputs_give_the_same_bytes_in_any_process() -> None:
    """Some random fleets under every policy."""
    root = Path(__file__).parents[2]
    printed = set()
    for seed in ("1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
        command = [sys.executable, "-m", "tests.property.digests"]
        printed.add(subprocess.run(command, check=True, env=environment, cwd=root, capture_output=True).stdout)
    (lines,) = printed
    assert len(set(lines.split())) > 2 * len(ARMS)
