"""Learning rate and clipping."""

import pytest
import torch

from orbital_train.train.inner import clip, lr_at
from orbital_train.train.spec import InnerSpec


@pytest.mark.parametrize(("progress", "lr"), [(0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (0.55, 0.6), (1.0, 0.2), (1.7, 0.2)])
def test_learning_rate(progress: float, lr: float) -> None:
    """Warm-up over a tenth to 1, then half a cosine to 0.2; half way down is 0.6."""
    spec = InnerSpec(lr=1.0, min_lr_fraction=0.2, warmup_fraction=0.1)
    assert lr_at(spec, progress) == pytest.approx(lr)


@pytest.mark.parametrize(("schedule", "rates"), [
    ("linear", {0.1: 1.0, 0.325: 0.8, 0.55: 0.6, 1.0: 0.2, 1.7: 0.2}),
    ("wsd", {0.1: 1.0, 0.5: 1.0, 0.75: 1.0, 0.875: 0.6, 1.0: 0.2, 1.7: 0.2}),
    ("constant", {0.1: 1.0, 0.5: 1.0, 1.0: 1.0, 1.7: 1.0}),
])  # fmt: skip
def test_schedules(schedule: str, rates: dict[float, float]) -> None:
    """All warm up over a tenth; wsd falls over the last quarter."""
    spec = InnerSpec(lr=1.0, min_lr_fraction=0.2, warmup_fraction=0.1, decay_fraction=0.25, schedule=schedule)  # type: ignore[arg-type]
    assert [lr_at(spec, progress) for progress in (0.0, 0.05)] == [0.0, 0.5]
    assert {progress: lr_at(spec, progress) for progress in rates} == pytest.approx(rates)


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
