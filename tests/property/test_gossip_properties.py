"""Properties of gossip that hold for every fleet and all contacts, beside those of every policy."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from orbital_train.schedule.ops.merging import Mix
from orbital_train.schedule.ops.nodes import Step
from orbital_train.schedule.policies.gossip import Gossip
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from tests.property.fleets import few, fleets


@given(fleet=fleets(), inner_steps=st.integers(1, 60), seed=st.integers(0, 9))
@few(30)
def test_nodes_never_wait_but_at_the_end(fleet: Scenario, inner_steps: int, seed: int) -> None:
    trace = simulate(replace(fleet, power=None, staging=None), Gossip(inner_steps=inner_steps, seed=seed))
    last: dict[int, int] = defaultdict(int)
    for op in trace.of_kind(Step):
        assert op.start_us == last[op.node]
        last[op.node] = op.end_us


@given(fleet=fleets(), inner_steps=st.integers(2, 60))
@few(20)
def test_two_nodes_that_mix_have_mixed_as_often_or_one_lost_its_chance(fleet: Scenario, inner_steps: int) -> None:
    trace = simulate(fleet, Gossip(inner_steps=inner_steps))
    mixed: dict[tuple[int, ...], int] = defaultdict(int)
    for mix in trace.of_kind(Mix):
        mixed[tuple(sorted(c.snapshot for c in mix.contributions))] += 1
    assert sum(count == 1 for count in mixed.values()) <= len(fleet.training_nodes)  # those of exchanges cut by the end
    assert max(mixed.values(), default=0) <= 2
