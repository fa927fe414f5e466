"""The model, the flat layout of its parameters, and the bench."""

import math

import pytest
import torch

from orbital_train.train.bench import Bench
from orbital_train.train.flat import Layout, flatten
from orbital_train.train.models.gpt import GPT, gpt

MODEL = {"layers": 2, "heads": 2, "width": 16, "context": 12}


def seeded(seed: int) -> GPT:
    torch.manual_seed(seed)
    return gpt(vocabulary_size=30, **MODEL)


def test_initial_values_are_drawn_in_the_order_of_the_parameters_and_nothing_else_is() -> None:
    """As promised to runs of earlier versions."""
    model, generator = seeded(5), torch.Generator().manual_seed(5)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            residual = name.endswith(("attention.project.weight", "contract.weight"))
            drawn = torch.empty(parameter.shape).normal_(0.0, 0.01 if residual else 0.02, generator=generator)
            assert torch.equal(parameter, drawn)
    assert torch.equal(torch.get_rng_state(), generator.get_state())


def test_sketch_takes_no_memory() -> None:
    """GPT-2 small has 124 M parameters less its biases and 1024 positions of 768."""
    with torch.device("meta"):
        model = gpt(vocabulary_size=50257, layers=12, heads=12, width=768, context=1024)
    assert all(p.is_meta for p in model.parameters())
    assert sum(p.numel() for p in model.parameters()) == 124_337_664


def test_initial_spread_is_that_of_gpt_2() -> None:
    torch.manual_seed(1)
    model = gpt(vocabulary_size=100, layers=8, heads=2, width=128, context=64)
    spread = {name: p.std().item() for name, p in model.named_parameters()}
    assert spread["blocks.3.expand.weight"] == pytest.approx(0.02, rel=0.02)
    assert spread["blocks.3.contract.weight"] == pytest.approx(0.02 / 4, rel=0.02)
    assert spread["blocks.3.attention.project.weight"] == pytest.approx(0.02 / 4, rel=0.02)
    assert model.norm.weight.tolist() == [1.0] * 128


def test_initial_loss_is_that_of_a_uniform_guess() -> None:
    model = seeded(1)
    x_BT = torch.arange(24).view(2, 12)
    assert model(x_BT, x_BT + 1).item() == pytest.approx(math.log(30), abs=0.05)


def test_model_is_causal() -> None:
    model = seeded(1)
    x_BT = torch.arange(12).view(1, 12)
    changed_BT = x_BT.clone()
    changed_BT[0, 8:] = 29
    before, after = model.logits_BTV(x_BT), model.logits_BTV(changed_BT)
    assert torch.equal(before[0, :8], after[0, :8])
    assert not torch.equal(before[0, 8], after[0, 8])


def test_layout_is_matrices_then_vectors_as_views() -> None:
    model = seeded(1)
    layout = Layout.of(model)
    flat_P = flatten(model, layout)
    views = layout.views(flat_P)
    assert [t.dim() for t in views.values()] == [2] * 10 + [1] * 5
    assert layout.matrix_size == flat_P.numel() - 5 * 16
    assert layout.size == sum(p.numel() for p in model.parameters())
    assert all(torch.equal(views[name], p) for name, p in model.named_parameters())
    views["norm.weight"].fill_(7.0)
    assert flat_P[-16:].tolist() == [7.0] * 16


def test_bench_computes_with_the_bound_parameters() -> None:
    model, twin = seeded(1), seeded(2)
    layout = Layout.of(model)
    bench = Bench(model, layout, torch.float32)
    bench.bind(flatten(twin, layout))
    x_BT = torch.arange(24).view(2, 12)
    for _ in range(2):  # the gradient does not add up
        loss = bench.gradient((x_BT, x_BT + 1))
    expected = twin(x_BT, x_BT + 1)
    expected.backward()
    assert torch.equal(loss, expected)
    assert all(torch.equal(g, dict(twin.named_parameters())[n].grad) for n, g in layout.views(bench.gradient_P).items())
