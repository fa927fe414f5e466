"""Traces of the simulation, with failures, on any number of workers."""

from dataclasses import replace

import pytest

from orbital_train.schedule.faults import FaultPlan, LinkOutage, Outage
from orbital_train.schedule.policies.fixed_period import FixedPeriod
from orbital_train.schedule.policies.gossip import Gossip
from orbital_train.schedule.policies.hierarchical import Hierarchical
from orbital_train.schedule.policies.link_aware import LinkAware
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Adopt, Lose, Restore, Trace
from orbital_train.train.spec import InnerSpec, OuterSpec
from tests.unit.schedule.scenarios import WORKLOAD, rolling_night, scenario
from tests.unit.train.traces import REPLICA, Group, line_problem, tiny_spec

SPEC = tiny_spec(inner=InnerSpec(lr=5e-2), outer=OuterSpec(momentum=0.5))
S = 1_000_000
FAULTS = FaultPlan(
    outages=(
        Outage(node=3, start_us=0, end_us=300 * S, loses_state=True, cause="late"),
        Outage(node=0, start_us=455 * S, end_us=700 * S, loses_state=False, cause="reset"),
        Outage(node=1, start_us=905 * S, end_us=1300 * S, loses_state=True, cause="reset"),
        Outage(node=2, start_us=1503 * S, end_us=1600 * S, loses_state=False, cause="reset"),
        Outage(node=2, start_us=2204 * S, end_us=2300 * S, loses_state=True, cause="reset"),
    ),
    link_outages=(LinkOutage(a=0, b=1, start_us=1300 * S, end_us=2000 * S, cause="link"),),
)
POLICIES = {
    "keep": LinkAware(min_inner_steps=20),
    "replace": LinkAware(min_inner_steps=20, adopt="replace"),
    "home": LinkAware(min_inner_steps=20, home=(4,)),
    "skipping": FixedPeriod(inner_steps=25, site=0, form="skipping", timeout_s=60.0),
    "gossip": Gossip(inner_steps=20),
    "hierarchical": Hierarchical(inner_steps=10, between_steps=20),
}


def trace_of(policy: str) -> Trace:
    """Four nodes and a ground site; the model in two fragments where the policy can."""
    fragments = 1 if policy in ("skipping", "hierarchical") else 2
    fleet = scenario(
        5,
        training_nodes=(0, 1, 2, 3),
        dark=rolling_night(5, 20_000.0),
        budget_steps=600,
        workload=replace(WORKLOAD, fragments=fragments, bits_per_parameter=16.0),
    )
    return simulate(replace(fleet, faults=FAULTS), POLICIES[policy])


@pytest.mark.parametrize("policy", POLICIES)
def test_failures_change_no_bit_with_the_number_of_workers_nor_with_a_resume(policy: str) -> None:
    trace = trace_of(policy)
    failures = [op.id for op in trace.ops if isinstance(op, Lose | Restore)]
    assert len(failures) >= 6
    assert any(op.source == op.node for op in trace.of_kind(Restore))
    assert any(op.source != op.node for op in trace.of_kind(Restore))
    assert {op.codec for op in trace.of_kind(Adopt)} == {"bf16" if policy == "home" else None}
    alone, four, cut = (Group.of(trace, SPEC, line_problem, workers) for workers in (1, 4, 2))
    for group in (alone, four):
        group.run(SPEC)
    digest, rows = alone.executors[0].digest(), alone.all_rows()
    assert {e.digest() for e in four.executors} == {digest}
    assert four.all_rows() == rows
    for op_id in failures[1::2]:
        cut.run(SPEC, limit=op_id)
    resumed = Group.of(trace, SPEC, line_problem, 1)
    resumed.executors[0].load(failures[1::2][-1], *cut.saved())
    for group in (resumed, cut):
        group.run(SPEC)
        assert {e.digest() for e in group.executors} == {digest}

    losses = [row["loss"] for row in rows if row["event"] == "evaluate"]
    assert losses[-1] < 0.8 * losses[0]
    nodes, shared = alone.saved()
    own = {f"own/{node}/{f}@{version}" for node, *versions in trace.own for f, version in enumerate(versions)}
    assert {name for saved in nodes.values() for name in saved.tensors} == REPLICA | own
    assert {name.rpartition("/")[0] for name in shared.tensors} == {
        f"global/{fragment}@{version}" for fragment, version in enumerate(trace.versions)
    }
