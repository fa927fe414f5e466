"""Learning rate, clipping, outer step and codec."""

import pytest
import torch

from orbital_train.train.codec import decode, encode, encoded_bytes
from orbital_train.train.inner import clip, lr_at
from orbital_train.train.outer import initial_state, outer_step
from orbital_train.train.spec import InnerSpec, OuterSpec


@pytest.mark.parametrize(("progress", "lr"), [(0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (0.55, 0.6), (1.0, 0.2), (1.7, 0.2)])
def test_learning_rate(progress: float, lr: float) -> None:
    """Warm-up over a tenth to 1, then half a cosine to 0.2; half way down is 0.6."""
    spec = InnerSpec(lr=1.0, min_lr_fraction=0.2, warmup_fraction=0.1)
    assert lr_at(spec, progress) == pytest.approx(lr)


@pytest.mark.parametrize(("warmup", "progress", "lr"), [(0.0, 0.0, 3.0), (1.0, 0.5, 1.5), (1.0, 1.0, 3.0)])
def test_no_warm_up_and_nothing_but_warm_up(warmup: float, progress: float, lr: float) -> None:
    assert lr_at(InnerSpec(lr=3.0, warmup_fraction=warmup), progress) == lr


def test_clipping() -> None:
    gradient = torch.tensor([3.0, 4.0])
    clip(gradient, 10.0)
    assert gradient.tolist() == [3.0, 4.0]
    clip(gradient, 0.0)
    assert gradient.tolist() == [3.0, 4.0]
    clip(gradient, 1.0)
    torch.testing.assert_close(gradient, torch.tensor([0.6, 0.8]))


@pytest.mark.parametrize(
    "spec", [OuterSpec(), OuterSpec(nesterov=False), OuterSpec(lr=1.0, momentum=0.0, nesterov=False)]
)
def test_outer_step_is_torch_sgd_bit_for_bit(spec: OuterSpec) -> None:
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(1001, generator=generator)
    parameter = start.clone().requires_grad_()
    sgd = torch.optim.SGD([parameter], lr=spec.lr, momentum=spec.momentum, nesterov=spec.nesterov)
    state = initial_state(start, spec)
    for _ in range(5):
        parameter.grad = torch.randn(1001, generator=generator)
        before = state.parameters_F.clone()
        after = outer_step(state, parameter.grad, spec)
        sgd.step()
        assert torch.equal(after.parameters_F, parameter)
        assert torch.equal(state.parameters_F, before)  # versions never change
        state = after


def test_outer_step_without_momentum_is_averaging() -> None:
    spec = OuterSpec(lr=1.0, momentum=0.0)
    state = initial_state(torch.tensor([1.0, 2.0]), spec)
    assert outer_step(state, torch.tensor([0.5, -1.0]), spec).parameters_F.tolist() == [0.5, 3.0]


@pytest.mark.parametrize(("codec", "size", "decoded"), [("fp32", 8, 1.00390625 - 2**-20), ("bf16", 4, 1.0)])
def test_codec(codec: str, size: int, decoded: float) -> None:
    encoded = encode(torch.tensor([1.00390625 - 2**-20, 1.5]), codec)
    assert encoded.nbytes == size == encoded_bytes(2, codec)
    assert decode(encoded).tolist() == [decoded, 1.5]
    assert decode(encoded).dtype == torch.float32


def test_unknown_codec_is_an_error() -> None:
    with pytest.raises(KeyError, match="int3"):
        encode(torch.zeros(1), "int3")
