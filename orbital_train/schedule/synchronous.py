"""``fully_connected``: synchronous data parallel training in every step, on ideal links and in constant sunlight."""

from __future__ import annotations

import math
from dataclasses import replace

from orbital_train.schedule.recorder import Recorder
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.transfers import Transfer
from orbital_train.schedule.wire import has_feedback


def simulate_synchronous(scenario: Scenario) -> Trace:
    """The trace of the baseline that every other policy is compared with.

    Every step averages the gradients with a ring all-reduce, in which each node sends ``2 (N - 1) / N`` of a message to
    the next one; on ideal links that takes no time. The budget is rounded up to whole steps of the fleet.
    """
    assert scenario.power is None, "the fully connected baseline runs in constant sunlight"
    if has_feedback(
        scenario.workload.codec
    ):  # gradients of single steps are not sent with fewer bits than training has
        scenario = replace(scenario, workload=replace(scenario.workload, codec="bf16"))
    group, workload = scenario.training_nodes, scenario.workload
    recorder, links = Recorder(scenario, scenario.training_nodes), _ring(scenario)
    steps = -(-scenario.budget_steps // len(group))
    chunk = max(1, scenario.evaluate_every_steps // len(group))
    recorder.evaluate(0, (0,), 0)
    for version, first in enumerate(range(0, steps, chunk), start=1):
        n = min(chunk, steps - first)
        recorder.sync_steps(first, n, version, _transfers(scenario, links, first, n, version))
        recorder.evaluate((first + n) * workload.step_us, (version,), (first + n) * len(group))
    end_us = steps * workload.step_us
    nodes = scenario.build_nodes()
    for node in nodes:
        node.train()
        node.advance(end_us)
    return recorder.trace("fully_connected", (-(-steps // chunk),), steps * len(group), end_us, nodes)


def _transfers(
    scenario: Scenario, links: list[tuple[int, int, int]], first: int, n: int, version: int
) -> list[Transfer]:
    """What goes round the ring in ``n`` steps, counted on each link."""
    nodes, step_us = len(scenario.training_nodes), scenario.workload.step_us
    bits_per_step = math.ceil(2 * (nodes - 1) / nodes * scenario.workload.message_bits)
    return [
        Transfer(
            contact=contact,
            source=source,
            dest=dest,
            start_us=first * step_us,
            end_us=(first + n) * step_us,
            owlt_us=0,
            bits=bits_per_step * n,
            value=f"gradients@{version}",
        )
        for contact, source, dest in links
    ]


def _ring(scenario: Scenario) -> list[tuple[int, int, int]]:
    """(contact, source, dest) from each node of the group to the next."""
    group, plan = scenario.training_nodes, scenario.contacts
    if len(group) == 1:
        return []
    pairs = {(s, d): c for c, (s, d) in enumerate(zip(plan.source.tolist(), plan.dest.tolist(), strict=True))}
    hops = zip(group, group[1:] + group[:1], strict=True)
    return [(pairs[s, d], s, d) for s, d in hops]
