"""Vectors that are divided among the devices of a node."""

import threading

import pytest
import torch
from torch import Tensor, nn

from orbital_train.errors import InputError
from orbital_train.train.devices import ONE_DEVICE, all_finite, norm
from orbital_train.train.flat import Layout, flatten
from orbital_train.train.shards import Shards, check_divisible
from tests.unit.train.node_devices import ThreadDevices, node


class Odd(nn.Module):
    """Tensors of one row, of none too many, of many, and of none at all; buffers of both kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.tall = nn.Linear(5, 3), nn.Linear(2, 11, bias=False)
        self.scale, self.none = nn.Parameter(torch.randn(())), nn.Parameter(torch.randn(0, 4))
        self.norm = nn.BatchNorm1d(5)


ODD = Odd()
WHOLE = Layout.of(ODD, 3)


def on_all(devices: list[ThreadDevices], ask: object) -> list[Tensor]:
    found: dict[int, Tensor] = {}
    threads = [threading.Thread(target=lambda d=d: found.update({d.rank: ask(d)}), daemon=True) for d in devices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[device.rank] for device in devices]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 12])
def test_what_is_divided_is_put_together_again(size: int) -> None:
    whole_P = flatten(ODD, WHOLE)

    def there_and_back(device: ThreadDevices) -> Tensor:
        shards = Shards(whole=WHOLE, devices=device)
        shard_P = shards.split(whole_P)
        assert len(shard_P) == shards.own.size
        return shards.join(shard_P)

    for joined_P in on_all(node(size), there_and_back):
        assert torch.equal(joined_P, whole_P)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_shard_is_laid_out_as_a_model_with_the_rows_that_fsdp2_gives_a_device(size: int) -> None:
    whole_P = flatten(ODD, WHOLE)
    views = WHOLE.views(whole_P)
    for device in node(size):
        shards = Shards(whole=WHOLE, devices=device)
        shard_P = shards.split(whole_P)
        for name, shard in shards.own.views(shard_P).items():
            whole = views[name] if views[name].dim() else views[name].view(1)
            chunks = whole.chunk(size) if name in WHOLE.parameter_names else [whole] * size
            expected = chunks[device.rank] if device.rank < len(chunks) else whole[:0]
            assert torch.equal(shard.view(expected.shape), expected), name
        own = shards.own
        assert own.averaged - own.trained == WHOLE.averaged - WHOLE.trained == 10
        assert own.size - own.averaged == WHOLE.size - WHOLE.averaged == 1
        found = torch.cat([own.take(torch.arange(own.size), k) for k in range(3)])
        assert found.sort().values.tolist() == list(range(own.size))
        for k in range(3):
            assert own.fragment_trained(k) == sum(own.shapes[t].numel() for t in own.members[k] if t < own.parameters)


def test_devices_have_about_equal_parts() -> None:
    layout = Layout.of(nn.Sequential(nn.Embedding(100, 32), nn.Linear(32, 128), nn.Linear(128, 32)))
    sizes = [Shards(whole=layout, devices=device).own.size for device in node(4)]
    assert sum(sizes) == layout.size
    assert max(sizes) < 1.01 * layout.size / 4


def test_norm_and_finiteness_are_those_of_all_shards() -> None:
    vector = torch.tensor([3.0, 0.0, 4.0, 12.0])
    norms = on_all(node(2), lambda device: norm(vector[2 * device.rank :][:2], device))
    assert [value.item() for value in norms] == [13.0, 13.0]
    assert norm(vector, ONE_DEVICE).item() == 13.0
    vector[3] = float("inf")
    finite = on_all(node(2), lambda device: all_finite(vector[2 * device.rank :][:2], device))
    assert [value.item() for value in finite] == [False, False]
    assert all_finite(vector[:3], ONE_DEVICE).item()


@pytest.mark.parametrize("size", [1, 1024, 1025, 4_000_000])
def test_a_norm_is_exact_to_float32_however_long_the_vector(size: int) -> None:
    """One float32 sum of the squares of four million is short by 1e-4."""
    vector = torch.randn(size, generator=torch.Generator().manual_seed(1))
    assert norm(vector, ONE_DEVICE).item() == pytest.approx(vector.double().square().sum().sqrt().item(), rel=1e-7)


def test_what_fsdp2_cannot_divide_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        check_divisible(WHOLE, 2)
    told = "divides parameters by their rows, and scale is a scalar; accepted: data_parallel"
    assert str(caught.value) == f"cluster.within_node = 'fsdp2': {told}"
    check_divisible(Layout.of(nn.Linear(5, 3)), 3)
    with pytest.raises(InputError) as caught:
        check_divisible(Layout.of(nn.Linear(5, 3)), 4)
    told = "leaves nothing of the model for the last device: its parameters have 3 rows at most"
    assert str(caught.value) == f"cluster.devices_per_node = 4: {told}"
