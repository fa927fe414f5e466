"""No policy ever merges more than the bound, and no sequence of commands trains more than energy allows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from orbital_train.schedule.bounds import bound, find_limits, merged_with_others, most_merged
from orbital_train.schedule.capacity import Capacity, narrowest_cuts
from orbital_train.schedule.most_training import most_steps
from orbital_train.schedule.node import Node, NodeSetting
from orbital_train.schedule.simulate import simulate
from tests.property.fleets import Arm, every_policy, few, fleets, flown, schedules
from tests.property.test_schedule_properties import settings_of_nodes

S = 1_000_000


@every_policy
@given(data=st.data())
@few(25)
def test_no_policy_merges_more_than_the_bound(arm: Arm, data: st.DataObject) -> None:
    fleet = data.draw(fleets())
    fleet, policy = flown(fleet, data.draw(schedules(arm, fleet)))
    trace = simulate(fleet, policy)
    limits = find_limits(fleet, trace.end_us)
    assert trace.merged_steps <= most_merged(limits, trace)
    steps, mean = merged_with_others(trace)
    assert steps <= trace.merged_steps
    assert mean is None or steps <= bound(limits, mean).steps


commands = st.lists(st.tuples(st.integers(0, 5999 * S), st.sampled_from(["train", "hold"])), max_size=8)
sends = st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 900)), max_size=2)


@given(setting=settings_of_nodes(), commands=commands, sends=sends, until_us=st.integers(0, 6000 * S))
@few(200)
def test_no_commands_train_more_steps_than_energy_allows(
    setting: NodeSetting, commands: list[tuple[int, str]], sends: list[tuple[int, int]], until_us: int
) -> None:
    node = Node(setting)
    for start_s, length_s in sends:
        node.add_send(start_s * S, (start_s + length_s) * S)
    node.train()
    for at_us, command in sorted(commands):
        if at_us < until_us:
            node.advance(at_us)
            getattr(node, command)()
    node.advance(until_us)
    assert node.steps <= most_steps(setting, until_us)


@given(setting=settings_of_nodes(), a_us=st.integers(0, 6000 * S), b_us=st.integers(0, 6000 * S))
@few(80)
def test_energy_allows_no_fewer_steps_in_longer_time_or_with_more_power(
    setting: NodeSetting, a_us: int, b_us: int
) -> None:
    a_us, b_us = sorted((a_us, b_us))
    assert most_steps(setting, a_us) <= most_steps(setting, b_us) <= b_us // setting.step_us
    always = replace(setting, power=None)
    assert most_steps(setting, b_us) <= most_steps(always, b_us) == b_us // setting.step_us


@st.composite
def capacities(draw: st.DrawFn) -> Capacity:
    nodes = draw(st.integers(2, 7))
    pairs = [(a, b) for a in range(nodes) for b in range(a)]
    messages = np.array(draw(st.lists(st.integers(0, 5), min_size=len(pairs), max_size=len(pairs))), dtype=float)
    a, b = np.array(pairs).T
    both = np.concatenate([messages, messages])
    return Capacity(
        nodes=nodes,
        source=np.concatenate([a, b]),
        dest=np.concatenate([b, a]),
        messages=both,
        last_us=np.zeros(both.size, dtype=np.int64),
    )


@given(capacity=capacities())
@few(80)
def test_all_cuts_are_those_of_a_maximum_flow_between_each_two_nodes(capacity: Capacity) -> None:
    n = capacity.nodes
    limits = np.zeros((n, n), dtype=np.int32)
    limits[capacity.source, capacity.dest] = capacity.messages
    cuts = narrowest_cuts(capacity, np.arange(n), 1000)
    for a in range(n):
        for b in range(n):
            if a != b:
                assert cuts[a, b] == maximum_flow(csr_array(limits), a, b).flow_value
