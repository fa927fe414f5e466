"""The fully connected baseline: bytes, steps, progress."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import pytest

from orbital_train.schedule.measures import measure
from orbital_train.schedule.ops.nodes import SyncStep
from orbital_train.schedule.ops.run import Evaluate
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.synchronous import simulate_synchronous
from orbital_train.schedule.trace_file import read_trace, write_trace
from orbital_train.schedule.validate import TraceError, validate
from tests.unit.schedule.scenarios import scenario


def fleet(nodes: int = 4, budget_steps: int = 402) -> Scenario:
    pairs = [(a, b, 0.0, 20_000.0) for a, b in itertools.combinations(range(nodes), 2)]
    return scenario(nodes, windows=pairs, power=None, rate_bps=math.inf, owlt_s=0.0,
                    budget_steps=budget_steps)  # fmt: skip


def test_the_budget_is_rounded_up_to_whole_steps_of_the_fleet() -> None:
    trace = simulate_synchronous(fleet())
    validate(trace, fleet())
    steps = list(trace.of_kind(SyncStep))
    assert sum(op.n for op in steps) == 101
    assert [(op.first, op.n) for op in steps] == [(0, 25), (25, 25), (50, 25), (75, 25), (100, 1)]
    assert trace.merged_steps == 404
    assert trace.end_us == 1_010_000_000
    assert [account.steps for account in trace.accounts] == [101] * 4
    assert sum(op.tokens for op in steps) == 404_000


def test_every_node_sends_its_share_of_the_ring_all_reduce() -> None:
    """2 (N - 1) / N of 32 Mbit a step."""
    trace = simulate_synchronous(fleet())
    assert {t.bits for t in trace.transfers} == {25 * 48_000_000, 48_000_000}
    assert [(t.source, t.dest) for t in trace.transfers[:4]] == [(0, 1), (1, 2), (2, 3), (3, 0)]
    assert measure(trace).link_bytes == 101 * 4 * 48e6 / 8


@pytest.mark.parametrize(("codec", "bits"), [("bf16", 16), ("int4", 16), ("topk1", 16)])
def test_gradients_of_single_steps_are_sent_in_16_bits_or_more(codec: str, bits: int) -> None:
    """What it is compared with is not made cheaper by a codec that needs error feedback, which it has not."""
    plain = fleet()
    trace = simulate_synchronous(replace(plain, workload=replace(plain.workload, codec=codec)))
    assert trace.message_bits == bits * 1_000_000
    assert measure(trace).link_bytes == 101 * 4 * 1.5 * bits * 1e6 / 8


def test_progress_runs_with_the_fleets_steps() -> None:
    steps = list(simulate_synchronous(fleet()).of_kind(SyncStep))
    assert [op.lr_progress for op in steps] == pytest.approx([0.0, 100 / 402, 200 / 402, 300 / 402, 400 / 402])
    assert {op.lr_progress_per_step for op in steps} == {4 / 402}


def test_it_is_validated_at_the_cadence() -> None:
    trace = simulate_synchronous(fleet())
    found = [(e.versions, e.merged_steps, e.start_us) for e in trace.of_kind(Evaluate)]
    assert found == [((k,), min(100 * k, 404), min(250 * k, 1010) * 1_000_000) for k in range(6)]


def test_one_node_sends_nothing() -> None:
    trace = simulate_synchronous(fleet(1, budget_steps=7))
    assert trace.transfers == ()
    assert (trace.merged_steps, trace.end_us) == (7, 70_000_000)


def test_it_survives_writing_and_reading(tmp_path: Path) -> None:
    trace = simulate_synchronous(fleet())
    write_trace(trace, tmp_path / "trace")
    assert read_trace(tmp_path / "trace") == trace


def test_nothing_is_lost_and_nobody_waits() -> None:
    measured = measure(simulate_synchronous(fleet()))
    assert (measured.lost_steps, measured.duty, measured.goodput) == (0, 1.0, 1.0)
    assert (measured.training_fraction, measured.waiting_fraction) == (1.0, 0.0)


def test_the_validator_sees_values_written_twice() -> None:
    trace = simulate_synchronous(fleet())
    ops = tuple(replace(op, to_version=1) if op.id == 3 else op for op in trace.ops)
    with pytest.raises(TraceError, match="writes global/0@1 again"):
        validate(replace(trace, ops=ops), fleet())
