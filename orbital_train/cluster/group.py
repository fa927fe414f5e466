"""The workers of a run: actors in a placement group that know each other. They outlive a run and can do another."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.exceptions import GetTimeoutError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from orbital_train.cluster.failures import told
from orbital_train.cluster.worker import Worker
from orbital_train.config.tables.cluster import Cluster
from orbital_train.errors import InputError
from orbital_train.train.device import choose_device

PLACEMENT_PATIENCE_S = 60.0
JOIN_PATIENCE_S = 120.0


class Group:
    """The workers of a run by rank, and the process group that connects them.

    A worker that is lost can be replaced. All then meet anew, at a place of which who was lost does not know.
    """

    def __init__(self, cluster: Cluster, bundle: dict[str, float], placement: Any, folder: Path) -> None:
        self.workers: list[Any] = [None] * cluster.workers  # Ray actor handles of Worker
        self.seats = list(range(cluster.workers))  # of each, which stays its own where others are lost and not replaced
        self._cluster, self._bundle, self._placement, self._folder = cluster, bundle, placement, folder
        self._processes: list[tuple[str, int, psutil.Process | None]] = [("", 0, None)] * cluster.workers
        self._meetings = 0
        self.devices_per_node = cluster.devices_per_node
        self.connected = False

    def __len__(self) -> int:
        return len(self.workers)

    def name(self, rank: int) -> str:
        """A worker's process and machine, for people."""
        host, pid, _ = self._processes[rank]
        return f"worker {self.seats[rank]} (process {pid} on {host})"

    def pid(self, rank: int) -> int:
        """Id of a worker's process on its machine."""
        return self._processes[rank][1]

    def start(self, ranks: Sequence[int]) -> None:
        """Start workers at these ranks, in place of any that were there.

        Raises:
            GetTimeoutError: no place or no process for one within a while.
            RayActorError: one died at once.
        """
        self.connected = False
        for rank in ranks:
            self.workers[rank] = self.hire(self.seats[rank])
        hosts = ray.get([self.workers[rank].host.remote() for rank in ranks], timeout=JOIN_PATIENCE_S)
        for rank, (host, pid) in zip(ranks, hosts, strict=True):
            self._processes[rank] = (host, pid, _process(pid) if host == socket.gethostname() else None)

    def hire(self, seat: int) -> Any:
        """Begin to start a worker, who belongs to the group when admitted."""
        return _start(seat, self._cluster, self._bundle, self._placement)

    def admit(self, seat: int, worker: Any) -> None:
        """Take in a worker that was hired and answers.

        Raises:
            RayError: it is dead.
        """
        host, pid = ray.get(worker.host.remote(), timeout=JOIN_PATIENCE_S)
        rank = sum(other < seat for other in self.seats)
        self.connected = False
        self.seats.insert(rank, seat)
        self.workers.insert(rank, worker)
        self._processes.insert(rank, (host, pid, _process(pid) if host == socket.gethostname() else None))

    def fill(self) -> None:
        """Replace all who were let go."""
        for seat in sorted(set(range(self._cluster.workers)) - set(self.seats)):
            self.admit(seat, self.hire(seat))

    def let_go(self, ranks: Sequence[int]) -> None:
        """Go on without these, who were killed; others' ranks close up."""
        self.connected = False
        for rank in sorted(ranks, reverse=True):
            del self.workers[rank], self.seats[rank], self._processes[rank]

    def connect(self) -> None:
        """Let all meet.

        Raises:
            RayError: one of them is dead, did not come, or does not answer.
        """
        hosts = [host for host, _, _ in self._processes]
        one_machine = set(hosts) == {socket.gethostname()}  # this one, where the folder is
        self._meetings += 1
        if one_machine:
            meeting = f"file://{self._folder / f'meeting-{self._meetings}'}"
        else:
            port = ray.get(self.workers[0].free_port.remote())
            meeting = f"tcp://{self._processes[0][0]}:{port}"
        joins = [
            worker.join.remote(meeting, self._cluster.device, one_machine, rank, len(self))
            for rank, worker in enumerate(self.workers)
        ]
        # All of them, also where one fails: who still waits at this meeting would come too late to the next one.
        ray.wait(joins, num_returns=len(joins), timeout=JOIN_PATIENCE_S)
        ray.get(joins, timeout=0)
        self.connected = True

    def kill(self, rank: int) -> None:
        """End a worker's process, also one that is stopped or does not answer."""
        self.connected = False
        ray.kill(self.workers[rank])
        process = self._processes[rank][2]
        if process is not None:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def _process(pid: int) -> psutil.Process | None:
    """A process that is remembered by its start too: another one that gets its number is not taken for it."""
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


@contextmanager
def worker_group(cluster: Cluster) -> Iterator[Group]:
    """Workers, connected to each other; they and their placement group are gone afterwards.

    Raises:
        InputError: the cluster has not the resources for the workers asked for (``cluster.workers``).
        WorkerLost: a worker did not start.
    """
    bundle = _bundle(cluster)
    _check_resources(cluster, bundle)
    placement = placement_group([bundle] * cluster.workers, strategy="PACK")
    try:
        try:
            ray.get(placement.ready(), timeout=PLACEMENT_PATIENCE_S)
        except GetTimeoutError:
            wait = f"Ray found no place for {bundle} each within {PLACEMENT_PATIENCE_S:.0f} s: others use the cluster"
            raise InputError("cluster.workers", cluster.workers, wait) from None
        with tempfile.TemporaryDirectory(prefix="orbital_train-") as folder:
            group = Group(cluster, bundle, placement, Path(folder))
            with told(lambda: "the workers could not be started"):
                group.start(range(cluster.workers))
                group.connect()
            yield group
            for worker in group.workers:
                ray.kill(worker)
    finally:
        remove_placement_group(placement)


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
    remote: Any = ray.remote(concurrency_groups={"control": 4, "background": 1})(Worker)  # type: ignore[call-overload]
    return remote.options(
        num_cpus=bundle["CPU"],
        num_gpus=bundle.get("GPU", 0.0),
        max_restarts=0,
        scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank),
    ).remote(rank, cluster.workers, cluster.devices_per_node)
