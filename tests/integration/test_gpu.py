"""What only a CUDA device can show: the same trace there, twice with the same bits, close to the CPU's losses."""

from __future__ import annotations

import pytest
import torch

from orbital_train.train.run import run_local
from tests.unit.train.traces import everything_trace, tiny_problem, tiny_spec

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


def test_two_runs_on_cuda_give_the_same_bits() -> None:
    trace, spec = everything_trace(), tiny_spec(device="cuda")
    first, second = (run_local(trace, spec, tiny_problem(spec, trace.fleet_nodes, "cuda")) for _ in range(2))
    assert first.digest == second.digest
    assert first.rows == second.rows


def test_cuda_and_cpu_give_the_same_losses_within_rounding() -> None:
    trace = everything_trace()
    runs = []
    for device in ("cpu", "cuda"):
        spec = tiny_spec(device=device)
        runs.append(run_local(trace, spec, tiny_problem(spec, trace.fleet_nodes, device)))
    assert runs[1].losses == pytest.approx(runs[0].losses, rel=1e-3)
