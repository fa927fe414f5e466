"""The workers of a run: actors in a placement group that know each other. They outlive a run and can do another."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from orbital_train.cluster.failures import told
from orbital_train.cluster.worker import Worker
from orbital_train.config.recipe import Cluster
from orbital_train.errors import InputError
from orbital_train.train.device import choose_device

PLACEMENT_PATIENCE_S = 60.0
JOIN_PATIENCE_S = 120.0

Workers = list[Any]  # Ray actor handles of Worker


@contextmanager
def worker_group(cluster: Cluster) -> Iterator[Workers]:
    """Workers, connected to each other; they and their placement group are gone afterwards.

    Raises:
        InputError: the cluster has not the resources for the workers asked for (``cluster.workers``).
        WorkerLost: a worker did not start.
    """
    bundle = _bundle(cluster)
    _check_resources(cluster, bundle)
    group = placement_group([bundle] * cluster.workers, strategy="PACK")
    try:
        try:
            ray.get(group.ready(), timeout=PLACEMENT_PATIENCE_S)
        except GetTimeoutError:
            wait = f"Ray found no place for {bundle} each within {PLACEMENT_PATIENCE_S:.0f} s: others use the cluster"
            raise InputError("cluster.workers", cluster.workers, wait) from None
        workers = [_start(rank, cluster, bundle, group) for rank in range(cluster.workers)]
        with tempfile.TemporaryDirectory(prefix="orbital_train-") as folder:
            with told(lambda: "the workers could not be started"):
                _introduce(workers, cluster, Path(folder))
            yield workers
        for worker in workers:
            ray.kill(worker)
    finally:
        remove_placement_group(group)


def _bundle(cluster: Cluster) -> dict[str, float]:
    bundle = {"CPU": float(cluster.threads_per_worker)}
    wants_gpu = cluster.device == "cuda" or (cluster.device == "auto" and _cluster_gpus() > 0)
    return bundle | ({"GPU": 1.0} if wants_gpu else {})


def _cluster_gpus() -> float:
    return _resources().get("GPU", 0.0)


def _resources() -> dict[str, float]:
    found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return found


def _check_resources(cluster: Cluster, bundle: dict[str, float]) -> None:
    if cluster.device == "cuda" and _cluster_gpus() == 0:
        choose_device("cuda")  # names the problem on this machine, if it is there
    total = _resources()
    for name, each in bundle.items():
        if each * cluster.workers > total.get(name, 0.0):
            most = int(total.get(name, 0.0) // each)
            problem = f"need {each:g} {name} each, and the Ray cluster has {total.get(name, 0.0):g}"
            other = ", or cluster.device = cpu" if name == "GPU" else ""
            raise InputError("cluster.workers", cluster.workers, f"{problem}; accepted is up to {most}{other}")


def _start(rank: int, cluster: Cluster, bundle: dict[str, float], group: Any) -> Any:
    remote: Any = ray.remote(concurrency_groups={"control": 4})(Worker)  # type: ignore[call-overload]
    return remote.options(
        num_cpus=bundle["CPU"],
        num_gpus=bundle.get("GPU", 0.0),
        max_restarts=0,
        scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank),
    ).remote(rank, cluster.workers)


def _introduce(workers: Workers, cluster: Cluster, folder: Path) -> None:
    hosts = ray.get([worker.host.remote() for worker in workers], timeout=JOIN_PATIENCE_S)
    one_machine = {name for name, _ in hosts} == {socket.gethostname()}  # this one, where the folder is
    if one_machine:
        meeting = f"file://{folder / 'meeting'}"
    else:
        port = ray.get(workers[0].free_port.remote())
        meeting = f"tcp://{hosts[0][0]}:{port}"
    joins = [worker.join.remote(meeting, cluster.device, one_machine) for worker in workers]
    ray.get(joins, timeout=JOIN_PATIENCE_S)
