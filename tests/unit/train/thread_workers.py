"""Workers that are threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from orbital_train.schedule.trace import Trace
from orbital_train.train.device import configure
from orbital_train.train.executor import Executor
from orbital_train.train.gate import Gate
from orbital_train.train.placement import place
from orbital_train.train.problem import Problem
from orbital_train.train.rows import Row
from orbital_train.train.spec import TrainSpec
from orbital_train.train.state import Saved
from orbital_train.train.transport import ThreadTransport, thread_group

# What is saved of a replica that has taken a step under AdamW: that of its matrices, and that of the rest.
REPLICA = {"parameters", *(f"inner/{k}/{name}" for k in (0, 1) for name in ("step", "exp_avg", "exp_avg_sq"))}


@dataclass
class Group:
    """Workers that are threads, each with its executor and what it emitted."""

    executors: list[Executor]
    transports: list[ThreadTransport]
    rows: list[list[Row]]

    @classmethod
    def of(
        cls, trace: Trace, spec: TrainSpec, problem: Callable[[], Problem], workers: int, places: int | None = None
    ) -> Group:
        transports = thread_group(workers)
        rows: list[list[Row]] = [[] for _ in transports]
        executors = [
            Executor(
                trace=trace,
                spec=spec,
                problem=problem(),
                transport=transport,
                owners=place(trace.fleet_nodes, workers),
                emit=rows[transport.rank].append,
                places=places,
            )
            for transport in transports
        ]
        return cls(executors=executors, transports=transports, rows=rows)

    def run(self, spec: TrainSpec, limit: int | None = None) -> None:
        """Run all workers up to a cut, or to the end; an exception in any of them is raised here."""
        errors: list[BaseException] = []

        def work(executor: Executor) -> None:
            try:
                configure(spec)
                executor.run(Gate(start=executor.position, limit=limit, leave=True))
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(e,), daemon=True) for e in self.executors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def saved(self) -> tuple[dict[int, Saved], Saved]:
        nodes = {node: saved for e in self.executors for node, saved in e.save_nodes().items()}
        return nodes, self.executors[0].save_shared()

    def all_rows(self) -> list[Row]:
        return sorted((row for rows in self.rows for row in rows), key=lambda row: row["op"])
