"""Sums on the aligned tree: the same bits wherever the leaves are."""

import threading

import pytest
import torch
from torch import Tensor

from orbital_train.train.placement import place
from orbital_train.train.transport import LocalTransport, Transport, thread_group
from orbital_train.train.tree import broadcast, root_of, sum_on_tree


def vectors(nodes: tuple[int, ...], size: int) -> dict[int, Tensor]:
    """Values of many magnitudes, whose sum depends on the order."""
    return {n: torch.randn(size, generator=torch.Generator().manual_seed(n)) * 10.0 ** (n % 5) for n in nodes}


def everywhere(
    nodes: tuple[int, ...], size: int, workers: int, fleet: tuple[int, ...], bucket_bytes: int
) -> list[Tensor]:
    """The sum, on every worker; ``fleet`` is placed, ``nodes`` of it contribute."""
    owners, all_vectors = place(fleet, workers), vectors(nodes, size)
    results: dict[int, Tensor] = {}

    def work(transport: Transport) -> None:
        mine = {n: v for n, v in all_vectors.items() if owners[n] == transport.rank}
        total = sum_on_tree(mine, nodes, owners, transport, bucket_bytes)
        assert (total is not None) == (transport.rank == root_of(nodes, owners))
        results[transport.rank] = broadcast(total, torch.empty(size), root_of(nodes, owners), transport, bucket_bytes)
        transport.flush()

    threads = [threading.Thread(target=work, args=(t,), daemon=True) for t in thread_group(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(v, vectors(nodes, size)[n]) for n, v in all_vectors.items()), "contributions were changed"
    return [results[rank] for rank in range(workers)]


@pytest.mark.parametrize("nodes", [(0,), (5,), (0, 1), (1, 2), (0, 2, 3, 7), (1, 3, 4, 5, 6, 9, 12), tuple(range(13))])
@pytest.mark.parametrize("size", [1, 7, 1001])
def test_same_bits_on_any_number_of_workers(nodes: tuple[int, ...], size: int) -> None:
    """Several buckets of 64 floats, the last one not full, and workers without a contribution."""
    fleet = tuple(range(13))
    alone = everywhere(nodes, size, 1, fleet, bucket_bytes=256)[0]
    for workers in (2, 3, 4, 13):
        assert all(torch.equal(total, alone) for total in everywhere(nodes, size, workers, fleet, bucket_bytes=256))
    assert torch.equal(everywhere(nodes, size, 3, fleet, bucket_bytes=2**20)[1], alone)
    exact = sum(v.double() for v in vectors(nodes, size).values())
    torch.testing.assert_close(alone.double(), exact, rtol=1e-5, atol=1e-2)


def test_order_of_additions() -> None:
    """Leaves 0, 2, 3, 7: ((0 + (2 + 3)) + 7)."""
    v = vectors((0, 2, 3, 7), 101)
    total = sum_on_tree(v, (0, 2, 3, 7), place((0, 2, 3, 7), 1), LocalTransport())
    assert total is not None
    assert torch.equal(total, (v[0] + (v[2] + v[3])) + v[7])
    assert not torch.equal(total, ((v[0] + v[2]) + v[3]) + v[7])


def test_a_vector_is_sent_once_whatever_the_buckets() -> None:
    """Nodes 0 and 1 on two workers: one partial sum up, one result down, 1001 floats each."""
    transports = thread_group(2)
    owners, all_vectors = place((0, 1), 2), vectors((0, 1), 1001)

    def work(transport: Transport) -> None:
        total = sum_on_tree({transport.rank: all_vectors[transport.rank]}, (0, 1), owners, transport, 100)
        broadcast(total, torch.empty(1001), 0, transport, 100)

    threads = [threading.Thread(target=work, args=(t,), daemon=True) for t in transports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [t.bytes_sent for t in transports] == [4004, 4004]


def test_unsorted_nodes_are_refused() -> None:
    with pytest.raises(AssertionError, match="sorted and distinct"):
        sum_on_tree(vectors((0, 1), 3), (1, 0), {0: 0, 1: 0}, LocalTransport())
