"""DiLoCo through the framework against torchft's, in turns, on the same model, data and H: one node a worker.

torchft is no dependency of the project. It is used where a Python is named that has it beside the project's own
packages; of the same ``torch``, since that is what both are measured on.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from orbital_train.cluster.dist_transport import DistTransport
from orbital_train.config import build
from orbital_train.schedule.trace import Trace
from orbital_train.train.device import configure
from orbital_train.train.executor import Executor
from orbital_train.train.gate import Gate
from orbital_train.train.placement import place
from orbital_train.train.problem import Problem, build_data, build_model, build_problem
from orbital_train.train.spec import TrainSpec
from scripts.train_bench.merge import timed
from scripts.train_bench.ranks import ROOT, arguments, launch
from scripts.train_bench.table import Row, Skipped
from scripts.train_bench.work import barely_validated, ideal_recipe, ideal_trace, plain_optimizer, plain_step

WORKERS = 2
PATIENCE = timedelta(seconds=300)
LARGER = {"model.layers": 4, "model.width": 256, "model.heads": 8, "inner.batch_size": 2}
CASES: dict[str, tuple[int, int, dict[str, Any]]] = {  # H, steps of a turn, the model where it is not the quickstart's
    "0.1 M parameters": (30, 120, {}),
    "3.2 M parameters": (10, 40, LARGER),
}


def rows(repeats: int, python: str) -> Iterator[Row | Skipped]:
    """``python`` has torchft, or has not."""
    for case, (inner_steps, _, _) in CASES.items():
        what = f"against torchft's DiLoCo, {case}, H = {inner_steps}: time"
        tried = subprocess.run(
            [python, "-c", "import torch, torchft; from torchft.local_sgd import DiLoCo; print(torch.__version__)"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if tried.returncode:
            yield Skipped(what=what, why=f"{Path(python).name} cannot use it: {tried.stderr.strip().splitlines()[-1]}")
            continue
        found = launch("scripts.train_bench.diloco", WORKERS, [case, str(repeats)], python)[0]
        ratios = [a / b for a, b in zip(found["ours_s"], found["theirs_s"], strict=True)]
        yield Row(what=what, measured=ratios, target=1.0, note=f"torchft {found['version']}, {WORKERS} workers")


def main() -> None:
    """One rank."""
    rank, size, meeting, (case, repeats) = arguments()
    inner_steps, steps, values = CASES[case]
    recipe = ideal_recipe(size, steps, inner_steps, **values)
    spec, trace = build.train_spec(recipe), ideal_trace(recipe)
    configure(spec)
    problem = barely_validated(build_problem(spec, trace.fleet_nodes, "cpu"))
    transport = DistTransport(rank, size)
    transport.join("gloo", meeting)
    ours_s, theirs_s = [], []
    with _torchft(rank, size, spec, inner_steps) as (model, optimizer):
        for _ in range(int(repeats) + 1):
            executor = _executor(trace, spec, problem, transport)
            ours_s.append(timed(lambda executor=executor: executor.run(Gate()))[0])
            theirs_s.append(timed(lambda: _train(model, optimizer, problem, spec, (rank, steps)))[0])
    found = {"ours_s": ours_s[1:], "theirs_s": theirs_s[1:], "version": version("torchft-nightly")}
    print(json.dumps(found), flush=True)
    transport.leave()


def _executor(trace: Trace, spec: TrainSpec, problem: Problem, transport: DistTransport) -> Executor:
    return Executor(
        trace=trace,
        spec=spec,
        problem=problem,
        transport=transport,
        owners=place(trace.fleet_nodes, transport.size),
        emit=lambda row: None,
    )


def _train(
    model: torch.nn.Module,
    optimizer: torch.optim.AdamW,
    problem: Problem,
    spec: TrainSpec,
    part: tuple[int, int],
) -> None:
    """Steps of this rank's node; torchft merges in the optimizer's hooks."""
    node, steps = part
    for step in range(steps):
        plain_step(model, optimizer, problem, spec, (node, step, step / steps))


@contextmanager
def _torchft(
    rank: int, size: int, spec: TrainSpec, inner_steps: int
) -> Iterator[tuple[torch.nn.Module, torch.optim.AdamW]]:
    """A model under torchft's DiLoCo, with a lighthouse on rank 0."""
    from torchft.coordination import LighthouseServer
    from torchft.local_sgd import DiLoCo
    from torchft.manager import Manager
    from torchft.process_group import ProcessGroupGloo

    address = [None]
    if rank == 0:
        lighthouse = LighthouseServer(bind="127.0.0.1:0", min_replicas=size, join_timeout_ms=100)
        address = [lighthouse.address()]
    dist.broadcast_object_list(address)
    store = dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    model = build_model(spec, build_data(spec, (0,)))
    inner = plain_optimizer(model, spec.inner)
    outer = torch.optim.SGD(model.parameters(), lr=spec.outer.lr, momentum=spec.outer.momentum, nesterov=True)
    manager = Manager(
        pg=ProcessGroupGloo(timeout=PATIENCE),
        load_state_dict=model.load_state_dict,
        state_dict=model.state_dict,
        min_replica_size=size,
        use_async_quorum=False,
        timeout=PATIENCE,
        quorum_timeout=PATIENCE,
        rank=0,
        world_size=1,
        store_addr="localhost",
        store_port=store.port,
        lighthouse_addr=address[0],
        replica_id=f"bench_{rank}",
        hostname="localhost",
        init_sync=False,
    )
    try:
        with DiLoCo(
            manager, [model], inner, outer, sync_every=inner_steps, backup_device=torch.device("cpu"), pin_memory=False
        ):
            yield model, inner
        dist.barrier()
    finally:
        manager.shutdown(wait=False)
        if rank == 0:
            lighthouse.shutdown()


if __name__ == "__main__":
    main()
    sys.exit()
