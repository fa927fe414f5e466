"""Traces of the simulation, with failures."""

from dataclasses import replace

from orbital_train.schedule.faults import FaultPlan, LinkOutage, Outage
from orbital_train.schedule.policies.asynchronous import Asynchronous
from orbital_train.schedule.policies.fixed_period import FixedPeriod
from orbital_train.schedule.policies.gossip import Gossip
from orbital_train.schedule.policies.hierarchical import Hierarchical
from orbital_train.schedule.policies.link_aware import LinkAware
from orbital_train.schedule.policies.quorum import Quorum
from orbital_train.schedule.policies.streaming import Streaming
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Trace
from tests.unit.schedule.scenarios import WORKLOAD, rolling_night, scenario

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
    "streaming": Streaming(inner_steps=20, site=0, timeout_s=60.0, overlap_steps=5, alpha=0.5),
    "asynchronous": Asynchronous(inner_steps=20, home=(4,)),
    "quorum": Quorum(inner_steps=20, quorum=2, site=0, grace=0.5),
    "gossip": Gossip(inner_steps=20),
    "hierarchical": Hierarchical(inner_steps=10, between_steps=20),
}


def trace_of(policy: str) -> Trace:
    """Four nodes and a ground site; the model in two fragments where the policy can."""
    fragments = 2 if policy in ("keep", "replace", "home", "streaming", "gossip") else 1
    fleet = scenario(
        5,
        training_nodes=(0, 1, 2, 3),
        dark=rolling_night(5, 20_000.0),
        budget_steps=600,
        workload=replace(WORKLOAD, fragments=fragments, codec="bf16"),
    )
    return simulate(replace(fleet, faults=FAULTS), POLICIES[policy])
