"""What only a CUDA device can show: the same trace there, twice with the same bits, close to the CPU's losses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch

from orbital_train.schedule.trace import Trace
from orbital_train.train.codecs import decode, encode
from orbital_train.train.run import run_local
from orbital_train.train.side_stream import SideStream
from tests.unit.train.failure_traces import failures_trace
from tests.unit.train.group_traces import gossip_trace
from tests.unit.train.problems import tiny_problem, tiny_spec
from tests.unit.train.thread_workers import Group
from tests.unit.train.traces import codec_trace, everything_trace

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


def test_two_runs_on_cuda_give_the_same_bits() -> None:
    trace, spec = everything_trace(), tiny_spec(device="cuda")
    first, second = (run_local(trace, spec, tiny_problem(spec, trace.fleet_nodes, "cuda")) for _ in range(2))
    assert first.digest == second.digest
    assert first.rows == second.rows


@pytest.mark.parametrize("make", [everything_trace, failures_trace, gossip_trace])
def test_replicas_in_host_memory_change_no_bit(make: Callable[[], Trace]) -> None:
    trace, spec = make(), tiny_spec(device="cuda")
    problem = partial(tiny_problem, spec, trace.fleet_nodes, "cuda")
    parked = Group.of(trace, spec, problem, 1, places=2)
    parked.run(spec)
    assert parked.executors[0].digest() == run_local(trace, spec, problem()).digest


def test_cuda_and_cpu_give_the_same_losses_within_rounding() -> None:
    trace = everything_trace()
    runs = []
    for device in ("cpu", "cuda"):
        spec = tiny_spec(device=device)
        runs.append(run_local(trace, spec, tiny_problem(spec, trace.fleet_nodes, device)))
    assert runs[1].losses == pytest.approx(runs[0].losses, rel=1e-3)


@pytest.mark.parametrize("codec", ["bf16", "fp8", "int8", "int4", "topk3"])
def test_codecs_on_cuda_are_as_close_as_on_the_cpu(codec: str) -> None:
    """Random numbers are other ones there; what is not random has the same bytes."""
    size = 300_001
    values = torch.randn(size, generator=torch.Generator().manual_seed(1))
    on_cpu, on_cuda = encode(values, codec, seed=3), encode(values.cuda(), codec, seed=3)
    if not codec.startswith("int"):
        assert torch.equal(on_cuda.cpu(), on_cpu)
    assert torch.equal(encode(values.cuda(), codec, seed=3), on_cuda)
    errors = [(decode(e, codec, size).cpu() - values).norm().item() for e in (on_cpu, on_cuda)]
    assert errors[1] == pytest.approx(errors[0], rel=0.02)


@pytest.mark.parametrize("codec", ["int4", "topk1"])
def test_what_is_encoded_beside_training_is_the_same_twice_and_as_without_it(
    codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace, spec = codec_trace(codec), tiny_spec(device="cuda")

    def digest() -> str:
        return run_local(trace, spec, tiny_problem(spec, trace.fleet_nodes, "cuda")).digest

    beside = {digest() for _ in range(3)}
    monkeypatch.setattr(SideStream, "run", lambda self, work, reads: work())
    assert beside == {digest()}
