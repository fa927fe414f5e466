"""The model, the flat layout of its parameters, and the bench."""

import math

import pytest
import torch

from orbital_train.train.bench import Bench
from orbital_train.train.estimate import parameter_count
from orbital_train.train.flat import Layout, flatten
from orbital_train.train.model import build_gpt
from orbital_train.train.spec import ModelSpec

MODEL = ModelSpec(layers=2, heads=2, width=16, context=12)


def test_initial_parameters_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one, two, other = (dict(build_gpt(MODEL, 30, seed).named_parameters()) for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["tokens.weight"], other["tokens.weight"])


def test_initial_spread_is_that_of_gpt_2() -> None:
    model = build_gpt(ModelSpec(layers=8, heads=2, width=128, context=64), 100, seed=1)
    spread = {name: p.std().item() for name, p in model.named_parameters()}
    assert spread["blocks.3.expand.weight"] == pytest.approx(0.02, rel=0.02)
    assert spread["blocks.3.contract.weight"] == pytest.approx(0.02 / 4, rel=0.02)
    assert spread["blocks.3.attention.project.weight"] == pytest.approx(0.02 / 4, rel=0.02)
    assert model.norm.weight.tolist() == [1.0] * 128


def test_initial_loss_is_that_of_a_uniform_guess() -> None:
    model = build_gpt(MODEL, 30, seed=1)
    x_BT = torch.arange(24).view(2, 12)
    assert model(x_BT, x_BT + 1).item() == pytest.approx(math.log(30), abs=0.05)


def test_model_is_causal() -> None:
    model = build_gpt(MODEL, 30, seed=1)
    x_BT = torch.arange(12).view(1, 12)
    changed_BT = x_BT.clone()
    changed_BT[0, 8:] = 29
    before, after = model.logits_BTV(x_BT), model.logits_BTV(changed_BT)
    assert torch.equal(before[0, :8], after[0, :8])
    assert not torch.equal(before[0, 8], after[0, 8])


def test_layout_is_matrices_then_vectors_as_views() -> None:
    model = build_gpt(MODEL, 30, seed=1)
    layout = Layout.of(model)
    flat_P = flatten(model, layout)
    views = layout.views(flat_P)
    assert [t.dim() for t in views.values()] == [2] * 10 + [1] * 5
    assert layout.matrix_size == flat_P.numel() - 5 * 16
    assert layout.size == parameter_count(MODEL, 30) == sum(p.numel() for p in model.parameters())
    assert all(torch.equal(views[name], p) for name, p in model.named_parameters())
    views["norm.weight"].fill_(7.0)
    assert flat_P[-16:].tolist() == [7.0] * 16


def test_bench_computes_with_the_bound_parameters() -> None:
    model, twin = build_gpt(MODEL, 30, seed=1), build_gpt(MODEL, 30, seed=2)
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
