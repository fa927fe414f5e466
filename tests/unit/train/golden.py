"""Golden histories of a two-parameter model under every operation: whole, in parts, failing, in gossip and groups.

Written anew by

python -m tests.unit.train.golden

and only where a change of numbers is meant; the difference then belongs in the commit.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from orbital_train.schedule.trace import Trace
from orbital_train.train.executor import Executor
from orbital_train.train.gate import Gate
from orbital_train.train.placement import place
from orbital_train.train.transport import LocalTransport
from tests.unit.train.traces import (
    everything_trace,
    failures_trace,
    gossip_trace,
    groups_trace,
    line_problem,
    streaming_trace,
    tiny_spec,
)

FOLDER = Path(__file__).parents[2] / "golden"
TRACES = {
    FOLDER / "two_parameters.json": everything_trace,
    FOLDER / "two_fragments.json": streaming_trace,
    FOLDER / "failures.json": failures_trace,
    FOLDER / "gossip.json": gossip_trace,
    FOLDER / "groups.json": groups_trace,
}


def history(trace: Trace) -> list[dict[str, list[float]]]:
    """Parameters of every replica and every live version, of the global model or nodes' own, after each operation."""
    spec = tiny_spec()
    executor = Executor(
        trace=trace,
        spec=spec,
        problem=line_problem(),
        transport=LocalTransport(),
        owners=place(trace.fleet_nodes, 1),
        emit=lambda row: None,
    )
    rows = []
    for op in trace.ops:
        executor.run(Gate(start=op.id, limit=op.id + 1, leave=True))
        saved_nodes = executor.save_nodes()
        nodes = {f"node {n}": saved.tensors["parameters"] for n, saved in saved_nodes.items()}
        for saved in saved_nodes.values():
            nodes |= {n: t for n, t in saved.tensors.items() if n.startswith(("own/", "momentum/"))}
        shared = {n: t for n, t in executor.save_shared().tensors.items() if n.startswith("global")}
        rows.append({name: t.tolist() for name, t in sorted({**nodes, **shared}.items())})
    return rows


def main() -> None:
    """Write the golden files."""
    torch.set_num_threads(1)
    for path, trace in TRACES.items():
        lines = (json.dumps(row) for row in history(trace()))
        path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
