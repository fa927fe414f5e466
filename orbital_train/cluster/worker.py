"""One worker: a Ray actor with one device that executes its nodes' part of a trace."""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import dataclass
from pathlib import Path

import psutil
import ray

from orbital_train.cluster.dist_transport import join_group
from orbital_train.schedule.trace import Op, Step, SyncStep, Trace
from orbital_train.train import checkpoint
from orbital_train.train.device import choose_device, configure
from orbital_train.train.executor import Executor, Row
from orbital_train.train.export import write_model
from orbital_train.train.gate import Gate
from orbital_train.train.placement import place
from orbital_train.train.problem import build_problem
from orbital_train.train.spec import TrainSpec
from orbital_train.train.transport import LocalTransport, Transport


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a group of workers is to do. Paths must be readable from every worker."""

    trace: Path
    spec: TrainSpec
    checkpoint: checkpoint.Checkpoint | None = None  # to continue from


@dataclass(frozen=True, kw_only=True)
class Poll:
    """News from a worker since the last poll."""

    position: int  # all operations with a lower id are done
    steps_done: int  # inner steps of this worker's nodes, in this process
    rows: list[Row]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a worker reports when it leaves the trace."""

    finished: bool
    digest: str | None  # of the final global model
    bytes_sent: int
    device: str


class Worker:
    """Methods of the ``control`` concurrency group may be called while :meth:`run` is executing."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self._transport: Transport = LocalTransport()
        self._executor: Executor | None = None
        self._gate = Gate()
        self._rows: list[Row] = []
        self._steps_done = 0
        self._lock = threading.Lock()

    def host(self) -> tuple[str, int]:
        """Host name and id of this worker's process."""
        return socket.gethostname(), os.getpid()

    def free_port(self) -> int:
        """A TCP port that is free here."""
        with socket.socket() as listener:
            listener.bind(("", 0))
            return int(listener.getsockname()[1])

    def join(self, meeting: str, device: str, one_machine: bool) -> None:
        """Connect to the other workers. On one machine they talk over the loopback interface only."""
        if one_machine:
            os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = _loopback()
        if self.size > 1:
            backend = choose_device(device).backend  # type: ignore[arg-type]
            self._transport = join_group(self.rank, self.size, backend, meeting)

    def prepare(self, job: Job) -> int:
        """Read the trace, build models and data, restore a checkpoint; returns the position to start from."""
        configure(job.spec)
        trace = Trace.read(job.trace)
        owners = place(trace.fleet_nodes, self.size)
        device = choose_device(job.spec.device)
        self._rows, self._steps_done = [], 0
        self._transport.bytes_sent = 0
        self._device, self._operations = device.name, len(trace.ops)
        self._executor = Executor(
            trace=trace,
            spec=job.spec,
            problem=build_problem(job.spec, trace.fleet_nodes, device.kind),
            transport=self._transport,
            owners=owners,
            emit=self._emit,
            progress=self._count,
        )
        self._mine = {node for node, rank in owners.items() if rank == self.rank}
        if job.checkpoint is not None:
            saved = job.checkpoint
            self._executor.load(saved.manifest.cut, saved.read_nodes(self._mine), saved.read_shared())
        self._gate = Gate(start=self._executor.position)
        return self._executor.position

    def run(self) -> Outcome:
        """Execute until the trace is done or the gate says to leave."""
        assert self._executor is not None
        # Told to leave behind the last operation, there is nothing left to do either.
        finished = self._executor.run(self._gate) or self._executor.position == self._operations
        return Outcome(
            finished=finished,
            digest=self._executor.digest() if finished else None,
            bytes_sent=self._transport.bytes_sent,
            device=self._device,
        )

    def write_model(self, folder: Path) -> None:
        """Write the final global model into a folder, as :func:`~orbital_train.train.export.write_model` does."""
        assert self._executor is not None
        write_model(self._executor.final_module(), folder)

    # -- control: may be called while run() is executing ---

    @ray.method(concurrency_group="control")
    def poll(self) -> Poll:
        """News since the last poll."""
        position = self._gate.position  # before the rows, so that all rows below it are among them
        with self._lock:
            rows, self._rows = self._rows, []
        return Poll(position=position, steps_done=self._steps_done, rows=rows)

    @ray.method(concurrency_group="control")
    def hold(self) -> int:
        """Let no further operation start; returns the id of the first that has not started, at most one past all."""
        return min(self._gate.hold(), self._operations)

    @ray.method(concurrency_group="control")
    def open_until(self, limit: int | None, leave: bool) -> None:
        """Let operations below ``limit`` start, and then wait or leave."""
        self._gate.open_until(limit, leave=leave)

    @ray.method(concurrency_group="control")
    def wait_done(self, op_id: int) -> None:
        """Wait until all operations below ``op_id`` are done."""
        self._gate.wait_done(op_id)

    @ray.method(concurrency_group="control")
    def save(self, temporary: Path) -> dict[str, str]:
        """Write this worker's part of a checkpoint, standing at the gate; returns SHA-256 by file."""
        assert self._executor is not None
        files = checkpoint.write_nodes(temporary, self._executor.save_nodes())
        return files | (checkpoint.write_shared(temporary, self._executor.save_shared()) if self.rank == 0 else {})

    def _emit(self, row: Row) -> None:
        with self._lock:
            self._rows.append(row)

    def _count(self, op: Op) -> None:
        if isinstance(op, Step) and op.node in self._mine:
            self._steps_done += op.n
        elif isinstance(op, SyncStep):
            self._steps_done += op.n * len(self._mine)


def _loopback() -> str:
    """Name of the interface that has 127.0.0.1."""
    addresses = psutil.net_if_addrs()
    return next(name for name, found in addresses.items() if any(a.address == "127.0.0.1" for a in found))
