"""Memory that one node more takes on a worker, against its parameters, two moments of AdamW, and one outer copy.

The peak of a process of its own, since memory that was given back is not seen in a later one; the slope between two
numbers of nodes leaves out what all share. A round is trained, merged and adopted, so that all that a node ever holds
has been held.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator

import torch

from orbital_train.config import build
from orbital_train.train.executor import Executor
from orbital_train.train.gate import Gate
from orbital_train.train.placement import place
from orbital_train.train.problem import build_problem
from orbital_train.train.transport import LocalTransport
from scripts.train_bench.table import Row
from scripts.train_bench.work import ROOT, barely_validated, ideal_recipe, ideal_trace

FEW, MANY = 2, 6
VECTORS = 4  # parameters, two moments, and one outer copy
MODEL = {"model.layers": 4, "model.width": 512, "model.heads": 8, "model.context": 16, "inner.batch_size": 1}
WAYS = {"the model is replaced": "replace", "progress is kept": "keep"}


def rows() -> Iterator[Row]:
    """For nodes that wait for a merge, and for such that train on and keep their progress."""
    for text, adoption in WAYS.items():
        few, many = (_child(nodes, adoption) for nodes in (FEW, MANY))
        per_node = (many["peak_bytes"] - few["peak_bytes"]) / (MANY - FEW)
        ratio = per_node / (VECTORS * 4 * few["parameters"])
        note = f"{few['parameters'] / 1e6:.1f} M parameters, {per_node / 1e6:.0f} MB a node"
        yield Row(what=f"memory per extra node, {text}", measured=[ratio], target=1.1, note=note)


def _child(nodes: int, adoption: str) -> dict[str, int]:
    command = [sys.executable, "-m", "scripts.train_bench.memory", str(nodes), adoption]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print the peak of this process, with so many nodes."""
    nodes, adoption = int(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    policy = {"schedule.policy": "link_aware", "schedule.adoption": adoption}
    recipe = ideal_recipe(nodes, 4, 2, **MODEL, **policy)
    spec, trace = build.train_spec(recipe), ideal_trace(recipe)
    problem = barely_validated(build_problem(spec, trace.fleet_nodes, "cpu"))
    executor = Executor(
        trace=trace,
        spec=spec,
        problem=problem,
        transport=LocalTransport(),
        owners=place(trace.fleet_nodes, 1),
        emit=lambda row: None,
    )
    executor.run(Gate())
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"peak_bytes": peak_bytes, "parameters": executor.layout.trained}))


if __name__ == "__main__":
    main()
