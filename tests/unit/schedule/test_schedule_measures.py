"""Measures of a trace that was counted by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orbital_train.schedule.measures import measure
from orbital_train.schedule.ops.merging import Contribution, Merge
from orbital_train.schedule.trace import NodeAccount, Trace
from orbital_train.schedule.transfers import Transfer

ACCOUNT = NodeAccount(
    name="n0", trains=True, steps=6, steps_allowed=8, steps_always_powered=10, training_us=60, no_energy_us=20,
    waiting_us=20, down_us=0, restoring_us=0, harvested_wh=0.0, curtailed_wh=0.0, consumed_wh=0.0,
    battery_loss_wh=0.0, unserved_wh=0.25,
    battery_us=(), battery_wh=(),
)  # fmt: skip
RELAY = replace(ACCOUNT, name="site", trains=False, steps=0, steps_allowed=0, steps_always_powered=0, unserved_wh=9.0)


def merge(version: int, *rows: tuple[int, int, float, int]) -> Merge:
    """Rows of (node, steps, weight, staleness)."""
    contributions = tuple(
        Contribution(snapshot=f"snap/{node}/0@{version}", node=node, steps=steps, weight=weight, staleness=staleness)
        for node, steps, weight, staleness in rows
    )
    return Merge(
        id=version - 1, start_us=50 * version, end_us=50 * version, scope="global", site=0, holders=(0, 1), fragment=0,
        from_version=version - 1, to_version=version, contributions=contributions,
        inputs=tuple(c.snapshot for c in contributions), input_weights=tuple(c.weight for c in contributions),
        momentum="replicated", codec="fp32",
    )  # fmt: skip


def trace(*merges: Merge) -> Trace:
    sent = Transfer(contact=0, source=0, dest=1, start_us=0, end_us=1, owlt_us=0, bits=80, value="x")
    return Trace(
        policy="by hand", fleet_nodes=(0, 1), fragments=1, versions=(len(merges),),
        budget_steps=12, merged_steps=9, end_us=100,
        step_us=10, tokens_per_step=5, message_bits=80, state_bits=80, transfers=(sent, sent, sent), ops=merges,
        accounts=(ACCOUNT, replace(ACCOUNT, steps=5, training_us=50, waiting_us=30), RELAY),
    )  # fmt: skip


def test_a_small_trace() -> None:
    found = measure(trace(merge(1, (0, 4, 0.8, 0), (1, 1, 0.2, 0)), merge(2, (0, 0, 0.0, 1), (1, 4, 1.0, 3))))
    assert (found.simulated_s, found.budget_steps, found.merged_steps) == (1e-4, 12, 9)
    assert (found.trained_steps, found.lost_steps) == (11, 2)
    assert found.merged_tokens_per_h == pytest.approx(45 / 100 * 3.6e9)  # 45 tokens in 100 us
    assert found.duty == pytest.approx(16 / 20)
    assert found.goodput == pytest.approx(9 / 16)
    assert (found.merges, found.mean_inner_steps, found.mean_contributors) == (2, 3.0, 1.5)
    assert (found.mean_staleness, found.max_staleness) == (1.0, 3)
    assert found.link_bytes == 30.0
    assert found.training_fraction == pytest.approx(110 / 200)
    assert found.waiting_fraction == pytest.approx(50 / 200)
    assert found.no_energy_fraction == pytest.approx(40 / 200)
    assert found.unserved_wh == 0.5


def test_where_nothing_was_merged_there_are_no_means() -> None:
    found = measure(replace(trace(), merged_steps=0))
    assert (found.merges, found.mean_contributors, found.lost_steps) == (0, 0.0, 11)
    assert (found.mean_inner_steps, found.mean_staleness, found.max_staleness) == (None, None, None)
