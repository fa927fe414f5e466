"""The outer optimizer: pure, torch's own where torch has one, and Delayed Nesterov."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from orbital_train.train.outer import GlobalState, average, initial_state, outer_step
from orbital_train.train.spec import OuterSpec

GENERATOR = torch.Generator().manual_seed(1)
START = torch.randn(1001, generator=GENERATOR)
GRADIENTS = [torch.randn(1001, generator=GENERATOR) for _ in range(6)]
ALL = [
    OuterSpec(),
    OuterSpec(nesterov=False),
    OuterSpec(lr=1.0, momentum=0.0, nesterov=False),
    OuterSpec(optimizer="adamw", lr=0.1, weight_decay=0.3),
    OuterSpec(delay_merges=3),
    OuterSpec(delay_merges=2, nesterov=False),
]


def torchs(spec: OuterSpec, parameter: Tensor) -> torch.optim.Optimizer:
    if spec.optimizer == "sgd":
        return torch.optim.SGD([parameter], lr=spec.lr, momentum=spec.momentum, nesterov=spec.nesterov)
    betas = (spec.beta1, spec.beta2)
    return torch.optim.AdamW([parameter], lr=spec.lr, betas=betas, eps=spec.eps, weight_decay=spec.weight_decay)


@pytest.mark.parametrize("spec", ALL[:4])
def test_outer_step_is_torchs_bit_for_bit(spec: OuterSpec) -> None:
    parameter = START.clone().requires_grad_()
    optimizer, state = torchs(spec, parameter), initial_state(START, spec)
    for gradient in GRADIENTS:
        parameter.grad = gradient.clone()
        state = outer_step(state, gradient, spec)
        optimizer.step()
        assert torch.equal(state.parameters_F, parameter)


@pytest.mark.parametrize("spec", ALL)
def test_versions_and_outer_gradients_never_change(spec: OuterSpec) -> None:
    """So that two versions can follow on one, where the first is given up: the same step then gives the same bits."""
    state = initial_state(START, spec)
    for gradient in GRADIENTS:
        copy = GlobalState(
            parameters_F=state.parameters_F.clone(), outer={name: t.clone() for name, t in state.outer.items()}
        )
        kept = gradient.clone()
        after = outer_step(state, gradient, spec)
        assert torch.equal(gradient, kept)
        assert torch.equal(state.parameters_F, copy.parameters_F)
        assert state.outer.keys() == copy.outer.keys()
        assert all(torch.equal(state.outer[name], copy.outer[name]) for name in copy.outer)
        again = outer_step(copy, gradient, spec)
        assert torch.equal(again.parameters_F, after.parameters_F)
        assert all(torch.equal(again.outer[name], after.outer[name]) for name in after.outer)
        state = after


def test_outer_step_without_momentum_is_averaging() -> None:
    spec = OuterSpec(lr=1.0, momentum=0.0)
    state = initial_state(torch.tensor([1.0, 2.0]), spec)
    assert outer_step(state, torch.tensor([0.5, -1.0]), spec).parameters_F.tolist() == [0.5, 3.0]


@pytest.mark.parametrize("nesterov", [True, False])
def test_delayed_merges_add_up_to_one_step_on_their_mean(nesterov: bool) -> None:
    """To rounding, and after every third; in between each goes a third of the way, without momentum."""
    delayed_spec, whole_spec = OuterSpec(delay_merges=3, nesterov=nesterov), OuterSpec(nesterov=nesterov)
    delayed, whole = initial_state(START, delayed_spec), initial_state(START, whole_spec)
    for turn in (GRADIENTS[:3], GRADIENTS[3:]):
        for k, gradient in enumerate(turn):
            before, delayed = delayed, outer_step(delayed, gradient, delayed_spec)
            if k < 2:
                moved = before.parameters_F - delayed.parameters_F
                torch.testing.assert_close(moved, 0.7 * gradient / 3, rtol=0, atol=1e-6)
                assert torch.equal(delayed.outer["momentum"], before.outer["momentum"])
        whole = outer_step(whole, torch.stack(turn).mean(0), whole_spec)
        torch.testing.assert_close(delayed.parameters_F, whole.parameters_F, rtol=0, atol=1e-5)
        torch.testing.assert_close(delayed.outer["momentum"], whole.outer["momentum"], rtol=0, atol=1e-5)
        assert not delayed.outer["pending"].any()


def papers_delayed_nesterov(
    gradients: list[list[float]], lr: float, beta: float, n: int, c: float
) -> Iterator[list[float]]:
    """The algorithm of arXiv 2401.09135 on lists: after each merge, the parameters, which begin at zero.

    ``n`` merges fill the buffer; a part ``c`` of the momentum is applied with each of them, and the rest with the last.
    """
    size = len(gradients[0])
    parameters, momentum, buffer = ([0.0] * size for _ in range(3))
    for t, gradient in enumerate(gradients, start=1):
        buffer = [b + g for b, g in zip(buffer, gradient, strict=True)]
        share = c
        if t % n == 0:
            momentum = [beta * m + b / n for m, b in zip(momentum, buffer, strict=True)]
            buffer, share = [0.0] * size, 1 - c * n + c
        moves = [share * beta * m + g / n for m, g in zip(momentum, gradient, strict=True)]
        parameters = [p - lr * move for p, move in zip(parameters, moves, strict=True)]
        yield parameters


@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_delayed_nesterov_is_the_papers_with_c_of_zero(k: int) -> None:
    """Merge by merge, with the usual rate and momentum, which are DiLoCo's; k = 1 is Nesterov itself."""
    spec = OuterSpec(delay_merges=k)
    assert (spec.lr, spec.momentum, spec.nesterov) == (0.7, 0.9, True)
    state = initial_state(torch.zeros(3), spec)
    gradients = [gradient[:3].tolist() for gradient in GRADIENTS * 2]
    for gradient, expected in zip(gradients, papers_delayed_nesterov(gradients, 0.7, 0.9, k, c=0.0), strict=True):
        state = outer_step(state, torch.tensor(gradient), spec)
        assert state.parameters_F.tolist() == pytest.approx(expected, abs=1e-5)


def test_shares_of_a_step_lead_as_far_as_a_whole_one_in_the_end() -> None:
    """Four merges by a quarter of the fleet each, and then many of nothing, by which the momentum runs out."""
    spec, nothing = OuterSpec(), torch.zeros_like(START)
    whole = parts = initial_state(START, spec)
    for gradient in (torch.stack(GRADIENTS[:4]).mean(dim=0), *[nothing] * 200):
        whole = outer_step(whole, gradient, spec)
    for gradient in (*GRADIENTS[:4], *[nothing] * 200):
        parts = outer_step(parts, gradient, spec, share=0.25)
    torch.testing.assert_close(parts.parameters_F, whole.parameters_F)


def test_a_share_of_adamws_step_is_of_its_rate() -> None:
    spec = OuterSpec(optimizer="adamw", lr=0.1, weight_decay=0.0)
    before = initial_state(START, spec)
    whole, part = (outer_step(before, GRADIENTS[0], spec, share=share) for share in (1.0, 0.25))
    torch.testing.assert_close(part.parameters_F - START, (whole.parameters_F - START) / 4, rtol=1e-3, atol=1e-6)
    assert all(torch.equal(part.outer[name], value) for name, value in whole.outer.items())


def test_a_share_of_an_average_is_of_parameters_alone() -> None:
    before = GlobalState(parameters_F=START, outer={})
    after_F = average(before, GRADIENTS[0], trained=1000, share=0.5).parameters_F
    assert torch.equal(after_F[:1000], START[:1000] - GRADIENTS[0][:1000] * 0.5)
    assert torch.equal(after_F[1000:], START[1000:] - GRADIENTS[0][1000:])


def test_outer_adamw_by_hand() -> None:
    """With DiLoCo's large eps small elements of an outer gradient make small steps."""
    spec = OuterSpec(optimizer="adamw")
    assert (spec.beta1, spec.beta2, spec.eps, spec.weight_decay) == (0.9, 0.95, 0.1, 0.0)
    state, mean, square, parameter = initial_state(torch.zeros(1), spec), 0.0, 0.0, 0.0
    for t, gradient in enumerate([0.5, -0.25, 1e-3], start=1):
        state = outer_step(state, torch.tensor([gradient]), spec)
        mean, square = 0.9 * mean + 0.1 * gradient, 0.95 * square + 0.05 * gradient**2
        parameter -= spec.lr * (mean / (1 - 0.9**t)) / ((square / (1 - 0.95**t)) ** 0.5 + 0.1)
        assert state.parameters_F.item() == pytest.approx(parameter, rel=1e-5)


def test_momentum_of_every_merge_drives_asynchronous_merges_too_far() -> None:
    """What it is for: with k = 1 as many merges of one gradient go more than k times as far: momenta add up."""
    gradient = torch.ones(1)
    spec = OuterSpec(delay_merges=4)
    delayed, at_once = initial_state(torch.zeros(1), spec), initial_state(torch.zeros(1), OuterSpec())
    for _ in range(12):
        delayed, at_once = outer_step(delayed, gradient, spec), outer_step(at_once, gradient, OuterSpec())
    assert at_once.parameters_F.item() < 4 * delayed.parameters_F.item() < 0


@pytest.mark.parametrize("spec", ALL)
def test_buffers_become_their_average(spec: OuterSpec) -> None:
    """Whatever the optimizer; parameters do not notice that there are any."""
    with_buffers, without = initial_state(START, spec, 1000), initial_state(START[:1000], spec)
    for gradient in GRADIENTS:
        before = with_buffers.parameters_F[1000]
        with_buffers = outer_step(with_buffers, gradient, spec, 1000)
        without = outer_step(without, gradient[:1000], spec)
        assert with_buffers.parameters_F[1000] == before - gradient[1000]
        assert torch.equal(with_buffers.parameters_F[:1000], without.parameters_F)
