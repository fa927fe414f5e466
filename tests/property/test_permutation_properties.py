"""Nodes are numbers by which nothing is decided: where no two things are alike, another order gives the same trace.

Equal times are settled by the lower number. So that there are none, all times, rates and light times here are irregular
and no node starts training when another does.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbital_train.schedule.known import Policy
from orbital_train.schedule.policies.fixed_period import FixedPeriod
from orbital_train.schedule.policies.link_aware import LinkAware
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Combine, Merge, NodeAccount, Op, Trace, Transfer
from tests.unit.schedule.scenarios import POWER, WORKLOAD, contacts, light

HORIZON_S = 7200.0
Order = tuple[int, ...]  # the new number of each node

POLICIES: dict[str, Policy] = {
    "keep": LinkAware(min_inner_steps=5, drift_steps=60.0, max_staleness=2),
    "keep, uniform": LinkAware(min_inner_steps=2, drift_steps=60.0, weights="uniform"),
    "replace": LinkAware(min_inner_steps=8, drift_steps=60.0, adopt="replace"),
    "home": LinkAware(min_inner_steps=5, drift_steps=60.0, home=(0, 2)),
    "blocking": FixedPeriod(inner_steps=12, site=1),
    "skipping": FixedPeriod(inner_steps=9, site=0, form="skipping", timeout_s=75.3),
}


def irregular(rng: np.random.Generator, nodes: int, relays: int, fragments: int, order: Order) -> Scenario:
    """Nodes by their new numbers. All begin in darkness, with too little in their batteries for one step."""
    windows = []
    for start_s in np.sort(rng.uniform(1.0, 6000.0, 4 * nodes)).tolist():
        a, b = rng.permutation(nodes)[:2].tolist()
        windows.append((order[a], order[b], start_s, start_s + float(rng.uniform(100.0, 1200.0))))
    plan = contacts(nodes, windows, HORIZON_S, 1e6, 0.0)
    sizes = len(plan)
    plan = replace(plan, rate_bps=rng.uniform(0.8e6, 3e6, sizes), owlt_s=rng.uniform(0.001, 0.05, sizes))
    dawn_s, dusk_s = rng.uniform(10.0, 900.0, nodes).tolist(), rng.uniform(1000.0, 5000.0, nodes).tolist()
    nights = [(order[i], 0.001, dawn_s[i]) for i in range(nodes)]
    nights += [(order[i], dusk_s[i], dusk_s[i] + float(rng.uniform(100.0, 2000.0))) for i in range(nodes)]
    return Scenario(
        contacts=plan,
        light=light(nodes, HORIZON_S, nights),
        power=replace(POWER, battery_wh=5.0),
        workload=replace(WORKLOAD, fragments=fragments),
        training_nodes=tuple(sorted(order[: nodes - relays])),
        budget_steps=int(rng.integers(100, 1200)),
        evaluate_every_steps=50,
    )


def renamed(policy: Policy, order: Order) -> Policy:
    if isinstance(policy, FixedPeriod):
        return replace(policy, site=order[policy.site])
    assert isinstance(policy, LinkAware)
    return replace(policy, home=tuple(order[i] for i in policy.home))


def renumbered(trace: Trace, order: Order) -> tuple[list[str], list[str]]:
    """Operations and transfers with nodes by their new numbers, in an order of their own."""

    def value(name: str) -> str:
        return re.sub(r"^(local|snap|sum)/(\d+)", lambda m: f"{m[1]}/{order[int(m[2])]}", name)

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


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())
@given(
    seed=st.integers(0, 10**6),
    order=st.integers(3, 5).flatmap(lambda nodes: st.permutations(range(nodes))),
    relays=st.integers(0, 1),
    fragments=st.integers(1, 2),
)
@settings(max_examples=10, deadline=None, derandomize=True)
def test_another_order_of_the_nodes_gives_the_same_trace(
    policy: Policy, seed: int, order: list[int], relays: int, fragments: int
) -> None:
    nodes, fragments = len(order), fragments if isinstance(policy, LinkAware) else 1
    kept = tuple(range(nodes))

    def run(to: Order) -> Trace:
        fleet = irregular(np.random.default_rng(seed), nodes, relays, fragments, to)
        if isinstance(policy, FixedPeriod):  # at the end of a budget all send at once, and the first gets the link
            fleet = replace(fleet, budget_steps=10**6)
        return simulate(fleet, renamed(policy, to))

    first, second = run(kept), run(tuple(order))
    assert (first.merged_steps, first.end_us) == (second.merged_steps, second.end_us)
    for before, after in zip(renumbered(first, tuple(order)), renumbered(second, kept), strict=True):
        assert before == after
    for node, account in enumerate(first.accounts):
        assert figures(account) == pytest.approx(figures(second.accounts[order[node]]), rel=1e-9)
