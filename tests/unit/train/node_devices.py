"""Nodes of several devices, each of which is a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from orbital_train.schedule.trace import Trace
from orbital_train.train.executor import Executor
from orbital_train.train.placement import place
from orbital_train.train.problem import Problem
from orbital_train.train.run import Result
from orbital_train.train.spec import TrainSpec
from orbital_train.train.state import Saved
from orbital_train.train.transport import THREAD_PATIENCE_S, LaneTransport, thread_group
from tests.unit.train.thread_workers import Group

States = list[tuple[dict[int, Saved], Saved]]  # of nodes and of what is shared, by device


class ThreadDevices:
    """One device of a node; all of them have the same barrier and the same box."""

    def __init__(self, rank: int, barrier: threading.Barrier, box: list[Tensor]) -> None:
        self.rank, self.size = rank, barrier.parties
        self._barrier, self._box = barrier, box

    def gather(self, tensor: Tensor) -> list[Tensor]:
        self._box[self.rank] = tensor.detach().clone()
        self._barrier.wait(THREAD_PATIENCE_S)
        found = [each.clone() for each in self._box]
        self._barrier.wait(THREAD_PATIENCE_S)
        return found

    def add(self, tensor: Tensor) -> None:
        tensor.copy_(torch.stack(self.gather(tensor)).sum(0))


def node(size: int) -> list[ThreadDevices]:
    """The devices of one."""
    barrier, box = threading.Barrier(size), [torch.empty(0)] * size
    return [ThreadDevices(rank, barrier, box) for rank in range(size)]


@dataclass
class Fleet:
    """Workers, so many of which host the same nodes."""

    group: Group
    spec: TrainSpec
    devices: int

    @classmethod
    def of(cls, trace: Trace, spec: TrainSpec, problem: Callable[[], Problem], workers: int, devices: int) -> Fleet:
        transports = thread_group(workers)
        all_devices = [device for _ in range(workers // devices) for device in node(devices)]
        rows: list[list] = [[] for _ in transports]
        executors = [
            Executor(
                trace=trace,
                spec=spec,
                problem=problem(),
                transport=LaneTransport(transport, devices),
                owners=place(trace.fleet_nodes, workers, devices),
                emit=rows[transport.rank].append,
                devices=device,
            )
            for transport, device in zip(transports, all_devices, strict=True)
        ]
        return cls(Group(executors=executors, transports=transports, rows=rows), spec, devices)

    def run(self, limit: int | None = None) -> None:
        self.group.run(self.spec, limit)

    def saved(self) -> States:
        """As the files of a checkpoint have it."""
        states: States = []
        for device in range(self.devices):
            executors = self.group.executors[device :: self.devices]
            nodes = {node: saved for executor in executors for node, saved in executor.save_nodes().items()}
            states.append((nodes, executors[0].save_shared()))
        return states

    def load(self, cut: int, states: States) -> None:
        for rank, executor in enumerate(self.group.executors):
            executor.load(cut, *states[rank % self.devices])

    def result(self) -> Result:
        """What all workers end with."""
        found: list[str] = []
        threads = [
            threading.Thread(target=lambda e=e: found.append(e.digest()), daemon=True) for e in self.group.executors
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == len(threads)
        (digest,) = set(found)
        parameters = self.group.executors[-1].parameters()
        return Result(digest=digest, parameters=parameters, rows=tuple(self.group.all_rows()))


def executed(trace: Trace, spec: TrainSpec, problem: Callable[[], Problem], workers: int, devices: int = 2) -> Result:
    """A trace, from its beginning to its end."""
    fleet = Fleet.of(trace, spec, problem, workers, devices)
    fleet.run()
    return fleet.result()
