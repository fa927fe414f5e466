"""Properties of the schedule that hold for every fleet, every set of contacts and every policy."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbital_train.schedule.known import Policy
from orbital_train.schedule.measures import measure
from orbital_train.schedule.node import Node, NodeSetting
from orbital_train.schedule.policies.fixed_period import FixedPeriod
from orbital_train.schedule.policies.link_aware import LinkAware
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Adopt, Evaluate, Merge, Snapshot, Step, Trace
from orbital_train.schedule.validate import validate
from tests.unit.schedule.scenarios import POWER, WORKLOAD, contacts, light

S = 1_000_000
BITS = 1_000_000


def few(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, derandomize=True)


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

POLICIES: dict[str, Policy] = {
    "keep": LinkAware(min_inner_steps=5, drift_steps=60.0, max_staleness=2, lookahead_s=3000.0),
    "keep, uniform": LinkAware(min_inner_steps=1, drift_steps=20.0, max_staleness=8, weights="uniform"),
    "replace": LinkAware(min_inner_steps=8, drift_steps=60.0, adopt="replace"),
    "one home": LinkAware(min_inner_steps=5, drift_steps=60.0, max_staleness=2, home=(1,)),
    "two homes, replace": LinkAware(min_inner_steps=6, drift_steps=60.0, adopt="replace", home=(0, 1)),
    "blocking": FixedPeriod(inner_steps=12, site=0),
    "skipping": FixedPeriod(inner_steps=9, site=1, form="skipping", timeout_s=75.0),
    "skipping, no patience": FixedPeriod(inner_steps=3, site=0, form="skipping", timeout_s=0.0, weights="uniform"),
    "local_then_average": FixedPeriod(inner_steps=None, site=0, name="local_then_average"),
}
every_policy = pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())


@st.composite
def fleets(draw: st.DrawFn) -> Scenario:
    """Two to five nodes, one perhaps a relay; random contacts and nights over two hours; some short of power."""
    nodes, horizon_s = draw(st.integers(2, 5)), 7200.0
    windows = []
    for _ in range(draw(st.integers(1, 14))):
        a, b = draw(st.permutations(range(nodes)))[:2]
        start_s = draw(st.integers(0, 6900))
        windows.append((a, b, float(start_s), min(horizon_s, start_s + draw(st.integers(5, 2500)))))
    dark = []
    for node in range(nodes):
        start_s = draw(st.integers(1, 7000))
        if start_s < 6800:
            dark.append((node, float(start_s), float(draw(st.integers(start_s + 1, 7100)))))
    power = draw(st.sampled_from([POWER, replace(POWER, array_m2=1.9), replace(POWER, battery_wh=20.0), None]))
    workload = replace(
        WORKLOAD, step_s=draw(st.sampled_from([10.0, 7.3, 33.333333])), fragments=draw(st.integers(1, 3))
    )
    relay = draw(st.sampled_from([None, 1, nodes - 1])) if nodes > 2 else None
    return Scenario(
        contacts=contacts(nodes, windows, horizon_s, draw(st.sampled_from([1e6, 1e7, math.inf])), 0.02),
        light=light(nodes, horizon_s, dark),
        power=power,
        workload=workload,
        training_nodes=tuple(i for i in range(nodes) if i != relay),
        budget_steps=draw(st.integers(1, 900)),
        evaluate_every_steps=draw(st.integers(1, 200)),
    )


def suited(fleet: Scenario, policy: Policy) -> Scenario:
    """The fleet, with a model that this policy can synchronise."""
    fragments = fleet.workload.fragments if isinstance(policy, LinkAware) else 1
    return replace(fleet, workload=replace(fleet.workload, fragments=fragments))


def assert_sound(trace: Trace, scenario: Scenario) -> None:
    """What the validator holds, and what is true of the operations taken together."""
    validate(trace, scenario)
    trained = dict.fromkeys(scenario.training_nodes, 0)
    claimed: dict[tuple[int, int], int] = defaultdict(int)  # by node and fragment
    version: dict[tuple[int, int], int] = defaultdict(int)
    for op in trace.ops:
        if isinstance(op, Step):
            trained[op.node] += op.n
        elif isinstance(op, Snapshot):
            assert op.base_version == version[op.node, op.fragment]
        elif isinstance(op, Adopt):
            assert op.version > version[op.node, op.fragment]
            version[op.node, op.fragment] = op.version
        elif isinstance(op, Merge):
            for c in op.contributions:
                claimed[c.node, op.fragment] += c.steps
                assert claimed[c.node, op.fragment] <= trained[c.node], "steps are claimed twice, or were not trained"
    assert sum(claimed.values()) // scenario.workload.fragments == trace.merged_steps
    assert sum(trained.values()) <= scenario.budget_steps
    assert trace.end_us <= scenario.horizon_us
    assert_evaluated(trace, scenario)
    measured = measure(trace)
    assert measured.lost_steps == sum(trained.values()) - trace.merged_steps >= 0
    shares = (measured.training_fraction, measured.waiting_fraction, measured.no_energy_fraction)
    assert sum(shares) == pytest.approx(1.0 if trace.end_us else 0.0)


def assert_evaluated(trace: Trace, scenario: Scenario) -> None:
    """Once for every bucket of steps that merges reach, of the versions that there were then."""
    versions, parts = [0] * trace.fragments, 0
    made = {tuple(versions): 0}
    for op in trace.of_kind(Merge):
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


@every_policy
@given(fleet=fleets())
@few(30)
def test_every_trace_is_sound(fleet: Scenario, policy: Policy) -> None:
    fleet = suited(fleet, policy)
    assert_sound(simulate(fleet, policy), fleet)


@every_policy
@given(fleet=fleets())
@few(15)
def test_where_every_node_is_always_linked_the_whole_budget_is_merged(fleet: Scenario, policy: Policy) -> None:
    nodes, horizon_s = len(fleet.contacts.node_names), 100_000.0
    chain = [(i, i + 1, 0.0, horizon_s) for i in range(nodes - 1)]
    linked = replace(
        suited(fleet, policy),
        contacts=contacts(nodes, chain, horizon_s, 1e7, 0.02),
        light=light(nodes, horizon_s, [(0, 500.0, 2600.0), (1, 1700.0, 3800.0)]),
    )
    trace = simulate(linked, policy)
    assert_sound(trace, linked)
    trained = sum(account.steps for account in trace.accounts)
    if trace.end_us < linked.horizon_us:
        assert trained == linked.budget_steps
        if getattr(policy, "adopt", "keep") == "keep":
            assert trace.merged_steps == linked.budget_steps
    else:  # too little power for the budget
        assert linked.power is not None
        assert trained < linked.budget_steps


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
    assert_sound(a, fleet)
