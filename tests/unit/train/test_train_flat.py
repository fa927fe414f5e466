"""How a model is divided into fragments."""

import pytest
import torch
from torch import nn

from orbital_train.errors import InputError
from orbital_train.train.flat import Layout, flatten
from orbital_train.train.models.gpt import gpt
from tests.unit.train.problems import Line, tiny_spec


def tensors(**sizes: int) -> nn.ParameterDict:
    """Vectors of these sizes, with different values."""
    ends = torch.tensor(list(sizes.values())).cumsum(0).tolist()
    return nn.ParameterDict({
        name: torch.arange(end - size, end).float() for (name, size), end in zip(sizes.items(), ends, strict=True)
    })  # fmt: skip


def test_the_largest_tensor_left_goes_to_the_smallest_fragment() -> None:
    """5 | 4 + 1 | 3 + 2, of which the last one is a single stretch; equal ones go by their order."""
    layout = Layout.of(tensors(a=1, b=3, c=2, d=5, e=4), 3)
    a, b_and_c, d, e = slice(0, 1), slice(1, 6), slice(6, 11), slice(11, 15)
    assert layout.fragments == ((d,), (a, e), (b_and_c,))
    assert [layout.fragment_size(k) for k in range(3)] == [5, 5, 5]
    assert Layout.of(tensors(a=2, b=2, c=2), 2).fragments == ((slice(0, 2), slice(4, 6)), (slice(2, 4),))


@pytest.mark.parametrize("fragments", [1, 2, 3, 9])
def test_fragments_of_a_model_share_it_out(fragments: int) -> None:
    """Every parameter is in exactly one, and what is taken out can be put back."""
    model = gpt(vocabulary_size=11, **tiny_spec().model.arguments)
    layout = Layout.of(model, fragments)
    flat_P = flatten(model, layout)
    copy_P, count_P = torch.zeros_like(flat_P), torch.zeros_like(flat_P)
    for k in range(fragments):
        fragment_F = layout.take(flat_P, k)
        assert fragment_F.numel() == layout.fragment_size(k) > 0
        layout.put(copy_P, k, fragment_F)
        layout.put(count_P, k, layout.take(count_P, k) + 1)
    assert torch.equal(copy_P, flat_P)
    assert torch.equal(count_P, torch.ones_like(flat_P))
    sizes = [p.numel() for p in model.parameters()]
    spread = [layout.fragment_size(k) for k in range(fragments)]
    assert max(spread) <= sum(sizes) / fragments + max(sizes)
    assert layout == Layout.of(gpt(vocabulary_size=11, **tiny_spec().model.arguments), fragments)


def test_the_only_fragment_is_the_vector_itself() -> None:
    layout = Layout.of(Line())
    flat_P = flatten(Line(), layout)
    layout.take(flat_P, 0)[1] = 7.0
    assert flat_P.tolist() == [0.5, 7.0]


def test_more_fragments_than_tensors() -> None:
    with pytest.raises(InputError) as error:
        Layout.of(Line(), 3)
    assert str(error.value) == (
        "schedule.fragments = 3: a fragment is made of whole tensors, and the model has 2; take at most that many"
    )
