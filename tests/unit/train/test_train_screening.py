"""What nodes find out about their own replicas, and what they cannot."""

from __future__ import annotations

import pytest
import torch

from orbital_train.train.flips import flip
from orbital_train.train.inner import Replica
from orbital_train.train.optimizers import optimizer_names
from orbital_train.train.screening import is_outlier, moments_are_sound, remember
from orbital_train.train.spec import InnerSpec
from orbital_train.train.state import NodeState

SIZE = 40


def trained(
    optimizer: str = "AdamW", steps: int = 30, scale: float = 1.0, *, even: bool = False, **more: object
) -> Replica:
    """A replica after steps along gradients that jump, fall to nothing and come back, or are about 0.01."""
    draw = torch.Generator().manual_seed(1)
    parameters_P = torch.randn(SIZE, generator=draw).requires_grad_()
    parameters_P.grad = torch.zeros(SIZE)
    kind = getattr(torch.optim, optimizer)
    replica = Replica(parameters_P, [kind([parameters_P], lr=1e-3, **more)], InnerSpec.rewarm_steps)
    for k in range(steps):
        size = 0.01 if even else scale * 10.0 ** (3 * ((k * k) % 7) - 9)
        parameters_P.grad.copy_(size * torch.randn(SIZE, generator=draw) * (torch.arange(SIZE) % 5 > 0))
        replica.step(1e-3)
    return replica


def moment(replica: Replica, name: str) -> torch.Tensor:
    (state, _), *_ = replica.moments()
    return state[name]


@pytest.mark.parametrize("scale", [1e-18, 1e-9, 1.0, 1e6])
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 10, 50])
@pytest.mark.parametrize("betas", [(0.9, 0.99), (0.9, 0.999), (0.95, 0.95), (0.0, 0.5), (0.9, 0.5)])
def test_there_is_no_false_alarm(scale: float, steps: int, betas: tuple[float, float]) -> None:
    assert moments_are_sound(trained(steps=steps, scale=scale, betas=betas))


@pytest.mark.parametrize("name", sorted(set(optimizer_names()) - {"LBFGS", "SparseAdam", "Muon"}))
def test_nor_with_any_other_optimizer(name: str) -> None:
    assert moments_are_sound(trained(name))


def test_the_worst_gradients_reach_the_bound_and_do_not_pass_it() -> None:
    """Those for which Cauchy's inequality is an equality: they fall by beta1 / beta2 a step into the past."""
    beta1, beta2 = 0.9, 0.99
    parameter = torch.zeros(1, requires_grad=True)
    replica = Replica(parameter, [torch.optim.AdamW([parameter], lr=1e-3, betas=(beta1, beta2))], 0)
    for k in range(100):
        parameter.grad = torch.tensor([(beta1 / beta2) ** (99 - k)])
        replica.step(1e-3)
    m, v = moment(replica, "exp_avg").item(), moment(replica, "exp_avg_sq").item()
    bound = (1 - beta1) ** 2 / ((1 - beta2) * (1 - beta1**2 / beta2))
    assert m * m / v == pytest.approx(bound, rel=1e-4)
    assert moments_are_sound(replica)
    moment(replica, "exp_avg").mul_(1.01)
    assert not moments_are_sound(replica)


@pytest.mark.parametrize(
    ("name", "bit", "found"),
    [
        ("exp_avg", 30, True),  # the mean becomes huge
        ("exp_avg", 31, False),  # its sign alone says nothing
        ("exp_avg", 0, False),
        ("exp_avg_sq", 31, True),  # a negative square
        ("exp_avg_sq", 30, False),  # too large a square slows one parameter down, and no bound tells
        ("exp_avg_sq", 28, True),  # next to nothing: the step would be huge
        ("exp_avg_sq", 0, False),
    ],
)
def test_what_the_moments_tell(name: str, bit: int, found: bool) -> None:
    replica = trained(even=True)
    flip(moment(replica, name), 7, bit)
    assert moments_are_sound(replica) is not found


@pytest.mark.parametrize("name", ["exp_avg", "exp_avg_sq"])
@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_what_is_no_number_is_found(name: str, value: float) -> None:
    replica = trained()
    moment(replica, name)[3] = value
    assert not moments_are_sound(replica)
    momentum = trained("SGD", momentum=0.9)
    moment(momentum, "momentum_buffer")[3] = value
    assert not moments_are_sound(momentum)


def test_a_norm_is_compared_to_the_median_of_those_before() -> None:
    state = NodeState(replica=trained(steps=0))
    assert not is_outlier(state, 0, 1e30, 5.0)  # nothing to compare it to
    assert is_outlier(state, 0, float("inf"), 5.0)
    for norm in (1.0, 40.0, 2.0, 0.0):  # nothing says nothing
        remember(state, 0, norm)
    assert state.held["norms/0"].tolist() == [1.0, 40.0, 2.0]
    assert not is_outlier(state, 0, 10.0, 5.0)
    assert is_outlier(state, 0, 10.1, 5.0)
    assert is_outlier(state, 0, float("nan"), 5.0)
    assert not is_outlier(state, 1, 1e9, 5.0)  # another fragment
    for norm in range(100, 110):
        remember(state, 0, float(norm))
    assert state.held["norms/0"].tolist() == [float(norm) for norm in range(102, 110)]
