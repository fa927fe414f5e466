"""Drawing of tokens."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from orbital_train.train.sample import sample


class Counting:
    """After token k comes (k + 1) % 5 nine times out of ten, else (k + 2) % 5; it notes how much it is shown."""

    def __init__(self) -> None:
        self.shown: list[int] = []

    def logits_BTV(self, x_BT: Tensor) -> Tensor:
        self.shown.append(x_BT.shape[1])
        logits_BTV = torch.full((*x_BT.shape, 5), -30.0)
        logits_BTV.scatter_(2, ((x_BT + 1) % 5)[:, :, None], torch.tensor(0.9).log().item())
        return logits_BTV.scatter_(2, ((x_BT + 2) % 5)[:, :, None], torch.tensor(0.1).log().item())


def draw(tokens: int = 10, *, temperature: float = 1.0, seed: int = 0, model: Counting | None = None) -> list[int]:
    return sample(model or Counting(), [0, 1], tokens=tokens, context=4, temperature=temperature, seed=seed)


def test_the_likeliest_token() -> None:
    model = Counting()
    assert draw(8, temperature=0.0, model=model) == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    assert model.shown == [2, 3, 4, 4, 4, 4, 4, 4]  # no more than the context


@pytest.mark.parametrize(("temperature", "share"), [(1.0, 0.1), (0.5, 0.01 / 0.82)])
def test_how_often_another_one(temperature: float, share: float) -> None:
    """Dividing scores by 1/2 squares the odds: 0.01 to 0.81."""
    drawn = draw(5000, temperature=temperature)
    jumps = sum((b - a) % 5 == 2 for a, b in pairwise(drawn[1:])) / 5000
    assert jumps == pytest.approx(share, abs=4 * (share / 5000) ** 0.5)


def test_the_seed_alone_decides() -> None:
    torch.manual_seed(1)
    first = draw(50)
    assert draw(50) == first != draw(50, seed=1)
