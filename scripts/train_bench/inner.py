"""Inner steps through the framework against a plain PyTorch loop, in turns, in one process.

One worker, steady state: the trace is executed operation by operation as a worker does it. The plain loop has the same
model, batches, clipping, schedule and fused AdamW, and merges nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from orbital_train.config import build
from orbital_train.schedule.trace import Trace
from orbital_train.train.device import configure
from orbital_train.train.executor import Executor
from orbital_train.train.gate import Gate
from orbital_train.train.placement import place
from orbital_train.train.problem import Problem, build_data, build_model, build_problem
from orbital_train.train.spec import TrainSpec
from orbital_train.train.transport import LocalTransport
from scripts.train_bench.table import Row
from scripts.train_bench.work import barely_validated, ideal_recipe, ideal_trace, plain_optimizer, plain_step

INNER_STEPS = 50


def rows(repeats: int, steps: int) -> Iterator[Row]:
    """For 1, 4 and 16 nodes; ``steps`` of the fleet in one turn."""
    for nodes in (1, 4, 16):
        each = max(INNER_STEPS, steps // nodes)
        recipe = ideal_recipe(nodes, each, INNER_STEPS)
        spec, trace = build.train_spec(recipe), ideal_trace(recipe)
        configure(spec)
        problem = barely_validated(build_problem(spec, trace.fleet_nodes, "cpu"))
        ratios, rates = [], []
        for repeat in range(repeats + 1):
            ours_s = _framework_s(trace, spec, problem)
            plain_s = _plain_s(spec, problem, nodes, each)
            if repeat:  # the first pair warms up
                ratios.append(plain_s / ours_s)
                rates.append(each * nodes / ours_s)
        note = f"{sum(rates) / len(rates):.1f} steps/s, H = {INNER_STEPS}"
        yield Row(what=f"inner steps, {nodes} nodes: speed", measured=ratios, target=0.97, most=False, note=note)


def _framework_s(trace: Trace, spec: TrainSpec, problem: Problem) -> float:
    executor = Executor(
        trace=trace,
        spec=spec,
        problem=problem,
        transport=LocalTransport(),
        owners=place(trace.fleet_nodes, 1),
        emit=lambda row: None,
    )
    begin_s = time.perf_counter()
    executor.run(Gate())
    return time.perf_counter() - begin_s


def _plain_s(spec: TrainSpec, problem: Problem, nodes: int, steps: int) -> float:
    data = build_data(spec, (0,))
    models = [build_model(spec, data) for _ in range(nodes)]
    optimizers = [plain_optimizer(model, spec.inner) for model in models]
    begin_s = time.perf_counter()
    for step in range(steps):
        for node, (model, optimizer) in enumerate(zip(models, optimizers, strict=True)):
            plain_step(model, optimizer, problem, spec, (node, step, step / steps))
    return time.perf_counter() - begin_s
