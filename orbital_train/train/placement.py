"""Which worker hosts which node."""

from __future__ import annotations

from collections.abc import Mapping

from orbital_train.errors import InputError

Owners = Mapping[int, int]  # node index -> rank of the worker that hosts it, or of the workers that do so together


def place(nodes: tuple[int, ...], workers: int, devices: int = 1) -> dict[int, int]:
    """Deal nodes to workers in contiguous runs whose lengths differ by at most one.

    Contiguous, so that most of a merge's tree is summed inside one worker (see ``tree.py``). Where a node spans several
    devices, so many workers are one here.

    Raises:
        InputError: there are more workers than nodes have devices, none, or some are left over (``cluster.workers``).
    """
    if not 1 <= workers <= len(nodes) * devices:
        most = f"the number of training nodes, {len(nodes)}" + (f", times {devices} devices" if devices > 1 else "")
        raise InputError("cluster.workers", workers, f"must be from {devices} to {most}")
    if workers % devices:
        raise InputError("cluster.workers", workers, f"must be a multiple of cluster.devices_per_node, {devices}")
    return {node: i * (workers // devices) // len(nodes) for i, node in enumerate(sorted(nodes))}
