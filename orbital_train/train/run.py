"""A whole run in this process: the shortest way from a trace to losses."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from orbital_train.schedule.trace import Trace
from orbital_train.train.bench import Bench
from orbital_train.train.device import choose_device, configure, configured
from orbital_train.train.executor import Executor
from orbital_train.train.flat import Layout, flatten
from orbital_train.train.gate import Gate
from orbital_train.train.inner import Replica, clip
from orbital_train.train.placement import place
from orbital_train.train.problem import Problem, build_problem
from orbital_train.train.rows import Row
from orbital_train.train.spec import TrainSpec
from orbital_train.train.transport import LocalTransport

TIMED_STEPS = 5


@dataclass(frozen=True, kw_only=True)
class Result:
    """The final global model, its digest, and the metrics rows in the order of the trace."""

    digest: str
    parameters: dict[str, Tensor]
    rows: tuple[Row, ...]

    @property
    def losses(self) -> tuple[float, ...]:
        """Validation losses; of language models in nats per token."""
        return tuple(row["loss"] for row in self.rows if row["event"] == "evaluate")


def run_local(trace: Trace, spec: TrainSpec, problem: Problem | None = None) -> Result:
    """Execute a trace on one worker; the problem is the spec's own model and data unless another one is given.

    Raises:
        InputError: the model, the data or the device is not there.
    """
    configure(spec)
    if problem is None:
        problem = build_problem(spec, trace.fleet_nodes, choose_device(spec.device).kind)
    rows: list[Row] = []
    executor = Executor(
        trace=trace,
        spec=spec,
        problem=problem,
        transport=LocalTransport(),
        owners=place(trace.fleet_nodes, workers=1),
        emit=rows.append,
    )
    executor.run(Gate())
    return Result(digest=executor.digest(), parameters=executor.parameters(), rows=tuple(rows))


def measure_step_s(spec: TrainSpec, problem: Problem) -> float:
    """Wall time of one inner step on this machine's CPU: the median of a few, after one that is not counted."""
    layout = Layout.of(problem.module)
    bench = Bench(problem.module, layout, getattr(torch, spec.dtype))
    replica = Replica.of(flatten(problem.module, layout), bench.gradient_P, layout, spec.inner)
    bench.bind(replica.parameters_P)
    times_s = []
    with configured(spec):
        for _ in range(TIMED_STEPS + 1):
            begin_s = time.perf_counter()
            bench.gradient(problem.validation[0])
            clip(bench.gradient_P, spec.inner.clip_norm)
            replica.step(spec.inner.lr)
            times_s.append(time.perf_counter() - begin_s)
    return statistics.median(times_s[1:])
