"""Gradients and micro-batches."""

import pytest
import torch

from orbital_train.train.bench import Bench
from orbital_train.train.flat import Layout, flatten
from tests.unit.train.problems import line_batch, line_problem, tiny_problem, tiny_spec


def bench_of(module: torch.nn.Module, micro_batches: int) -> Bench:
    layout = Layout.of(module)
    bench = Bench(module, layout, torch.float32, micro_batches)
    bench.bind(flatten(module, layout))
    return bench


@pytest.mark.parametrize("micro_batches", [1, 2, 4])
def test_micro_batches_add_up_to_the_batch(micro_batches: int) -> None:
    """In one part to the bit as a plain backward pass, in several to rounding."""
    module = line_problem().module
    expected = module(*line_batch(3, 1))
    expected.backward()
    gradient = torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])
    bench = bench_of(line_problem().module, micro_batches)
    loss = bench.gradient(line_batch(3, 1))
    rtol = 0.0 if micro_batches == 1 else 1e-6
    torch.testing.assert_close(loss, expected.detach(), rtol=rtol, atol=0)
    torch.testing.assert_close(bench.gradient_P, gradient, rtol=rtol, atol=0)


def test_micro_batches_of_a_language_model() -> None:
    spec = tiny_spec(batch_size=4)
    problem = tiny_problem(spec, (0,))
    whole, parts = bench_of(problem.module, 1), bench_of(tiny_problem(spec, (0,)).module, 4)
    losses = [bench.gradient(problem.batch(0, 0)) for bench in (whole, parts)]
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(whole.gradient_P, parts.gradient_P)
