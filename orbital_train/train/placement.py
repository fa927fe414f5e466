"""Which worker hosts which node."""

from __future__ import annotations

from collections.abc import Mapping

from orbital_train.errors import InputError

Owners = Mapping[int, int]  # node index -> rank of the worker that hosts it


def place(nodes: tuple[int, ...], workers: int) -> dict[int, int]:
    """Deal nodes to workers in contiguous runs whose lengths differ by at most one.

    Contiguous, so that most of a merge's tree is summed inside one worker (see ``tree.py``).

    Raises:
        InputError: there are more workers than nodes, or none (``cluster.workers``).
    """
    if not 1 <= workers <= len(nodes):
        raise InputError("cluster.workers", workers, f"must be from 1 to the number of training nodes, {len(nodes)}")
    return {node: i * workers // len(nodes) for i, node in enumerate(sorted(nodes))}
