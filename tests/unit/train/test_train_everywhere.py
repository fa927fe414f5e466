"""Sums that every worker needs: the bits of the tree, in the bytes of an all-reduce."""

import threading

import pytest
import torch
from torch import Tensor

from orbital_train.train.everywhere import sum_everywhere
from orbital_train.train.placement import place
from orbital_train.train.scratch import Scratch
from orbital_train.train.transport import LocalTransport, ThreadTransport, thread_group
from orbital_train.train.tree import sum_on_tree

FLEET = tuple(range(13))


def vectors(nodes: tuple[int, ...], size: int) -> dict[int, Tensor]:
    """Values of many magnitudes, whose sum depends on the order."""
    return {n: torch.randn(size, generator=torch.Generator().manual_seed(n)) * 10.0 ** (n % 5) for n in nodes}


def on_all(nodes: tuple[int, ...], size: int, workers: int, rounds: int = 1) -> tuple[list[Tensor], list[int]]:
    """The sum on every worker, in the last of some rounds, and the bytes that each has sent."""
    owners, transports = place(FLEET, workers), thread_group(workers)
    results: dict[int, Tensor] = {}

    def work(transport: ThreadTransport) -> None:
        mine = {n: v for n, v in vectors(nodes, size).items() if owners[n] == transport.rank}
        before = {n: v.clone() for n, v in mine.items()}
        scratch = Scratch(torch.device("cpu"))
        for _ in range(rounds):
            total = sum_everywhere(mine, nodes, owners, transport, size, scratch)
        assert all(torch.equal(v, before[n]) for n, v in mine.items())
        results[transport.rank] = total

    threads = [threading.Thread(target=work, args=(t,), daemon=True) for t in transports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[rank] for rank in range(workers)], [t.bytes_sent for t in transports]


@pytest.mark.parametrize("nodes", [(0,), (5,), (0, 1), (1, 2), (0, 2, 3, 7), (1, 3, 4, 5, 6, 9, 12), FLEET])
@pytest.mark.parametrize("size", [1, 7, 1001])
def test_bits_are_those_of_the_tree_on_any_number_of_workers(nodes: tuple[int, ...], size: int):
    tree = sum_on_tree(vectors(nodes, size), nodes, place(FLEET, 1), LocalTransport())
    assert tree is not None
    for workers in (1, 2, 3, 4, 13):
        assert all(torch.equal(total, tree) for total in on_all(nodes, size, workers)[0])


def test_memory_that_is_used_again_changes_nothing():
    once, again = on_all((0, 3, 7, 12), 101, 3)[0], on_all((0, 3, 7, 12), 101, 3, rounds=3)[0]
    assert all(map(torch.equal, once, again))


def test_scratch_is_one_memory_a_role():
    scratch = Scratch(torch.device("cpu"))
    first, shorter = scratch.take("a", 8), scratch.take("a", 5)
    assert shorter.numel() == 5
    assert shorter.data_ptr() == first.data_ptr() != scratch.take("b", 8).data_ptr()
    assert scratch.take("a", 9).numel() == 9


def test_every_worker_sends_what_it_does_in_a_ring():
    """13 nodes on 4 workers are 4 + 3 + 3 + 3; of 8 nodes in pairs all that is sent is 2 (W - 1) / W vectors each."""
    owners, transports = place(tuple(range(8)), 4), thread_group(4)

    def work(transport: ThreadTransport) -> None:
        mine = {n: v for n, v in vectors(tuple(range(8)), 1000).items() if owners[n] == transport.rank}
        sum_everywhere(mine, tuple(range(8)), owners, transport, 1000, Scratch(torch.device("cpu")))

    threads = [threading.Thread(target=work, args=(t,), daemon=True) for t in transports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [t.bytes_sent for t in transports] == [2 * 3 * 250 * 4] * 4


def test_a_sum_that_one_worker_has_is_sent_once():
    assert on_all((0, 1), 1001, 2)[1] == [1001 * 4, 0]
