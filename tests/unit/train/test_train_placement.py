"""Placement of nodes on workers, and the imports that planning needs."""

import subprocess
import sys

import pytest

from orbital_train.errors import InputError
from orbital_train.train.placement import place


def test_what_planning_needs_imports_no_torch() -> None:
    modules = ["spec", "placement", "corpora", "estimate", "liveness"]
    code = f"import sys, orbital_train.train, {', '.join(f'orbital_train.train.{m}' for m in modules)}"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], check=True)


def test_placement_is_contiguous_and_even() -> None:
    assert place((0, 2, 3, 7, 9), 2) == {0: 0, 2: 0, 3: 0, 7: 1, 9: 1}
    assert place((4,), 1) == {4: 0}
    counts = [list(place(tuple(range(10)), 4).values()).count(rank) for rank in range(4)]
    assert counts == [3, 2, 3, 2]


@pytest.mark.parametrize("workers", [0, 3])
def test_workers_without_nodes_are_refused(workers: int) -> None:
    with pytest.raises(InputError, match="from 1 to the number of training nodes, 2") as caught:
        place((0, 5), workers)
    assert (caught.value.key, caught.value.value) == ("cluster.workers", workers)


def test_workers_of_one_node_are_placed_as_one() -> None:
    nodes = (0, 2, 3, 7, 9)
    assert place(nodes, 4, devices=2) == place(nodes, 2)
    assert place(nodes, 3, devices=3) == place(nodes, 1)


@pytest.mark.parametrize(
    ("workers", "told"),
    [
        (5, "must be a multiple of cluster.devices_per_node, 2"),
        (1, "must be a multiple of cluster.devices_per_node, 2"),
        (6, "must be from 2 to the number of training nodes, 2, times 2 devices"),
        (0, "must be from 2 to the number of training nodes, 2, times 2 devices"),
    ],
)
def test_workers_that_nodes_of_two_devices_cannot_share_are_refused(workers: int, told: str) -> None:
    with pytest.raises(InputError) as caught:
        place((0, 5) if workers != 5 else (0, 5, 6), workers, devices=2)
    assert str(caught.value) == f"cluster.workers = {workers}: {told}"
