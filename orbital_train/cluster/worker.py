"""One worker: a Ray actor with one device that executes its nodes' part of a trace."""

from __future__ import annotations

import gc
import os
import socket
import threading
from dataclasses import dataclass
from pathlib import Path

import psutil
import ray

from orbital_train.cluster.dist_devices import DistDevices
from orbital_train.cluster.dist_transport import DistTransport, is_lost_peer
from orbital_train.schedule.trace_file import read_trace
from orbital_train.train import checkpoint
from orbital_train.train.checkpoint_store import Store
from orbital_train.train.device import choose_device, configure
from orbital_train.train.devices import ONE_DEVICE
from orbital_train.train.executor import Executor
from orbital_train.train.export import write_model
from orbital_train.train.gate import Gate
from orbital_train.train.packing import Files, node_file, pack, pack_shared, unpack_nodes, unpack_shared
from orbital_train.train.placement import Owners, place
from orbital_train.train.problem import build_problem
from orbital_train.train.rows import Row
from orbital_train.train.spec import TrainSpec
from orbital_train.train.state import Saved
from orbital_train.train.transport import LaneTransport, LocalTransport, PeerLost


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a group of workers is to do. Paths must be readable from every worker."""

    trace: Path
    spec: TrainSpec
    checkpoint: checkpoint.Checkpoint | None = None  # to continue from
    lasting: bool = False  # it goes on without workers that are lost
    places: int | None = None  # replicas of a worker that are on its device at once; None: all


@dataclass(frozen=True, kw_only=True)
class Poll:
    """News from a worker since the last poll that was answered."""

    position: int  # all operations with a lower id are done
    bytes_sent: int  # by this process, for this job
    rows: list[Row]
    told: int  # number of rows up to these


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a worker reports when it leaves the trace."""

    finished: bool
    digest: str | None  # of the final global model
    device: str
    problem: str | None = None  # why it could not go on: another worker is gone


class Worker:
    """Methods of the ``control`` and ``background`` concurrency groups may be called while :meth:`run` is executing.

    Where nodes span several devices, so many workers, whose ranks follow on each other, host the same nodes.
    """

    def __init__(self, rank: int, size: int, devices_per_node: int = 1) -> None:
        self.rank, self.size, self._per_node = rank, size, devices_per_node
        self._device = rank % devices_per_node  # place among those of its nodes
        self._transport = DistTransport(rank, size) if size > 1 else LocalTransport()
        self._devices: DistDevices | None = None
        self._executor: Executor | None = None
        self._gate = Gate()
        self._rows: list[Row] = []
        self._told = 0  # number of rows before these
        self._lock = threading.Lock()
        self._taken: dict[int, Saved] = {}
        self._taken_shared: Saved | None = None
        self._neighbours: Files = {}

    def join(self, meeting: str, device: str, one_machine: bool, rank: int, size: int) -> None:
        """Connect to the others, leaving an earlier group; on one machine over the loopback interface only."""
        if isinstance(self._transport, DistTransport):
            self._part()
            self._transport.leave()
        if (rank, size) != (self.rank, self.size):
            sent, self.rank, self.size = self._transport.bytes_sent, rank, size
            self._transport = DistTransport(rank, size) if size > 1 else LocalTransport()
            self._transport.bytes_sent = sent
        if isinstance(self._transport, DistTransport):
            if one_machine:
                os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = _loopback()
            self._transport.join(choose_device(device).backend, meeting)  # type: ignore[arg-type]
            if self._per_node > 1:
                self._devices = DistDevices(self._per_node)

    def prepare(self, job: Job, owners: Owners | None = None) -> int:
        """Read the trace, build models and data, restore a checkpoint; returns the position to start from."""
        configure(job.spec)
        self._transport.bytes_sent = 0
        self._job, self._given, self._executor = job, owners, None
        executor = self._executor = self._built(job)
        if job.checkpoint is not None:
            saved, device = job.checkpoint, self._device
            executor.load(saved.manifest.cut, saved.read_nodes(self._mine, device), saved.read_shared(device))
        self._stand_at(executor.position)
        return executor.position

    def _built(self, job: Job) -> Executor:
        trace, device = read_trace(job.trace), choose_device(job.spec.device)
        owners = self._given or place(trace.fleet_nodes, self.size, self._per_node)
        self._device_name, self._operations = device.name, len(trace.ops)
        self._mine = {node for node, rank in owners.items() if rank == self.rank // self._per_node}
        sharded = self._devices is not None and job.spec.within_node == "fsdp2"
        return Executor(
            trace=trace,
            spec=job.spec,
            problem=build_problem(job.spec, trace.fleet_nodes, device.kind),
            transport=LaneTransport(self._transport, self._per_node) if self._per_node > 1 else self._transport,
            owners=owners,
            emit=self._emit,
            devices=self._devices or ONE_DEVICE,
            mesh=self._devices.mesh(device.kind) if self._devices and sharded else None,
            lasting=job.lasting,
            places=job.places,
        )

    def restore(self, cut: int, files: Files, shared: Files) -> None:
        """Go back, or forward, to a cut.

        Args:
            cut: where.
            files: this worker's.
            shared: those of the first worker that has the same place among the devices of its nodes.
        """
        if self._executor is None:
            self._executor = self._built(self._job)
        nodes = unpack_nodes(files, self._mine, self._device)
        self._executor.load(cut, nodes, unpack_shared(shared, self._device))
        self._stand_at(cut)

    def run(self) -> Outcome:
        """Execute until the trace is done, the gate says to leave, or another worker is gone.

        Leaving in the middle it leaves the group too: workers that wait for this one must not wait for ever.
        """
        assert self._executor is not None
        lost: str | None = None
        finished = False
        try:
            # Told to leave behind the last operation, there is nothing left to do either.
            finished = self._executor.run(self._gate) or self._executor.position == self._operations
        except RuntimeError as error:
            if not is_lost_peer(error):
                raise
            lost = str(error).splitlines()[0]
        if lost is not None or (self._gate.aborted and not finished):
            # Not in the clause above: the exception holds frames, and they the connections that are to be closed.
            return self._leave(lost or "called off")
        digest = self._executor.digest() if finished else None
        return Outcome(finished=finished, digest=digest, device=self._device_name)

    # -- going on without others that were lost, between two calls of run() ---

    def follow(self, trace: Path, owners: Owners) -> int:
        """Go on with another trace, and with the group that was joined last; returns the position."""
        assert self._executor is not None
        read = read_trace(trace)
        self._operations = len(read.ops)
        self._executor.follow(read, owners, self._transport)
        self._mine = {node for node, rank in owners.items() if rank == self.rank}
        self._gate = Gate(start=self._executor.position)
        return self._executor.position

    def give(self) -> Files:
        """The versions of the global model that this worker holds, for others."""
        assert self._executor is not None
        return pack_shared(self._executor.save_shared())

    def catch_up(self, position: int, shared: Files) -> None:
        """Get to a position that others have reached, with what they have merged meanwhile."""
        assert self._executor is not None
        self._executor.catch_up(position, unpack_shared(shared))
        self._executor.run(Gate(start=self._executor.position, limit=position, leave=True))
        self._gate = Gate(start=position)

    def start_at(self, position: int, shared: Files) -> None:
        """Take part from a position on, with versions of others; this worker's nodes are without state."""
        assert self._executor is not None
        self._executor.load(position, {}, unpack_shared(shared))
        self._gate = Gate(start=position)

    def form_sums(self) -> list[str]:
        """Form sums on their way anew, with all others; returns what is missing here to go on."""
        assert self._executor is not None
        lost: str | None = None
        try:
            self._executor.form_sums()
        except RuntimeError as error:
            if not is_lost_peer(error):
                raise
            lost = str(error).splitlines()[0]
        if lost is not None:  # as in run()
            self._leave(lost)
            raise PeerLost(lost)
        return self._executor.missing()

    def evaluate(self, ops: list[int]) -> None:
        """Do evaluations that a worker that is lost should have done."""
        assert self._executor is not None
        for op_id in ops:
            self._executor.evaluate(op_id)

    def write_model(self, folder: Path) -> None:
        """Write the final global model into a folder, as :func:`~orbital_train.train.export.write_model` does."""
        assert self._executor is not None
        write_model(self._executor.final_module(), folder)

    # -- control: may be called while run() is executing ---

    @ray.method(concurrency_group="control")
    def host(self) -> tuple[str, int]:
        """Host name and id of this worker's process."""
        return socket.gethostname(), os.getpid()

    @ray.method(concurrency_group="control")
    def free_port(self) -> int:
        """A TCP port that is free here."""
        with socket.socket() as listener:
            listener.bind(("", 0))
            return int(listener.getsockname()[1])

    @ray.method(concurrency_group="control")
    def poll(self, settled: int = 0, told: int = 0) -> Poll:
        """News, of which rows up to number ``told`` have come; all workers are past operations below ``settled``."""
        if self._executor is not None:
            self._executor.settle(settled)
        position = self._gate.position  # before the rows, so that all rows below it are among them
        with self._lock:
            del self._rows[: max(0, told - self._told)]
            self._told = max(self._told, told)
            rows = list(self._rows)
        return Poll(position=position, bytes_sent=self._transport.bytes_sent, rows=rows, told=self._told + len(rows))

    @ray.method(concurrency_group="control")
    def hold(self) -> int:
        """Let no further operation start; returns the id of the first that has not started, at most one past all."""
        return min(self._gate.hold(), self._operations)

    @ray.method(concurrency_group="control")
    def open_until(self, limit: int | None, leave: bool) -> None:
        """Let operations below ``limit`` start, and then wait or leave."""
        self._gate.open_until(limit, leave=leave)

    @ray.method(concurrency_group="control")
    def abort(self) -> None:
        """Leave the trace before the next operation, whatever it is."""
        self._gate.abort()

    @ray.method(concurrency_group="control")
    def wait_done(self, op_id: int, timeout_s: float) -> bool:
        """Wait until all operations below ``op_id`` are done; False if that takes longer."""
        return self._gate.wait_done(op_id, timeout_s)

    @ray.method(concurrency_group="control")
    def take(self, whole: bool) -> None:
        """Copy this worker's part of the state, standing at the gate: all of it, or what moved since the last copy."""
        assert self._executor is not None
        self._taken = self._executor.save_nodes(moved_only=not whole)
        self._taken_shared = self._executor.save_shared() if self.rank < self._per_node else None

    # -- background: long, and while run() is executing ---

    @ray.method(concurrency_group="background")
    def packed(self, before: Files) -> Files:
        """Hand over what :meth:`take` copied, as files, beside those of the copy before of nodes that did not move."""
        files = dict(before)
        while self._taken:  # one by one, so that no more than one is in memory twice
            node, saved = self._taken.popitem()
            files[node_file(node, self._device)] = pack(saved)
        if self._taken_shared is not None:
            files |= pack_shared(self._taken_shared, self._device)
            self._taken_shared = None
        return files

    @ray.method(concurrency_group="background")
    def keep(self, files: Files) -> None:
        """Keep a neighbour's part, so that it does not go with the neighbour's machine; what was kept before goes."""
        self._neighbours = files

    @ray.method(concurrency_group="background")
    def write(self, store: Store, folder: str, files: Files, previous: checkpoint.Checkpoint | None) -> dict[str, str]:
        """Put files into a checkpoint's folder, unless they are as in the previous one; returns SHA-256 by file."""
        return checkpoint.write(store, folder, files, previous)

    def _leave(self, problem: str) -> Outcome:
        if isinstance(self._transport, DistTransport):
            self._part()
            self._transport.leave()
        return Outcome(finished=False, digest=None, device=self._device_name, problem=problem)

    def _part(self) -> None:
        """Give up the group of a node's devices, and what holds it: its connections are closed when nothing does."""
        if self._devices is not None:
            self._devices = self._executor = None
            gc.collect()

    def _stand_at(self, position: int) -> None:
        with self._lock:
            self._told, self._rows = self._told + len(self._rows), []
        self._gate = Gate(start=position)

    def _emit(self, row: Row) -> None:
        with self._lock:
            self._rows.append(row)


def _loopback() -> str:
    """Name of the interface that has 127.0.0.1."""
    addresses = psutil.net_if_addrs()
    return next(name for name, found in addresses.items() if any(a.address == "127.0.0.1" for a in found))
