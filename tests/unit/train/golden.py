"""Golden histories of a two-parameter model: every algorithm; every operation, whole, in two fragments, and with
failures; and every kind of optimizer, of merging and of lossy codec.

Written anew by

python -m tests.unit.train.golden

and only where a change of numbers is meant; the difference then belongs in the commit.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from orbital_train.schedule.trace import Trace
from orbital_train.train.executor import Executor
from orbital_train.train.gate import Gate
from orbital_train.train.placement import place
from orbital_train.train.spec import InnerSpec, OuterSpec
from orbital_train.train.transport import LocalTransport
from tests.unit.train.algorithms import (
    NODES,
    dynamic_updates_trace,
    eager_trace,
    quorum_trace,
    streaming_in_turn_trace,
)
from tests.unit.train.failure_traces import failures_trace
from tests.unit.train.group_traces import gossip_trace, groups_trace
from tests.unit.train.problems import line_problem, tiny_spec
from tests.unit.train.traces import (
    codec_trace,
    contributions_trace,
    everything_trace,
    one_by_one_trace,
    rounds_trace,
    streaming_trace,
)

FOLDER = Path(__file__).parents[2] / "golden"
INNER, OUTER = InnerSpec(lr=1e-2), OuterSpec()


@dataclass(frozen=True)
class Case:
    """A trace, and how it is trained where that is not as usual."""

    trace: Callable[[], Trace]
    inner: InnerSpec = INNER
    outer: OuterSpec = OUTER


CASES = {
    FOLDER / f"{name}.json": case
    for name, case in {
        "diloco": Case(partial(rounds_trace, NODES, rounds=3, steps=2)),
        "streaming": Case(streaming_in_turn_trace, outer=OuterSpec(lr=0.4)),
        "eager": Case(eager_trace),
        "dynamic_updates": Case(dynamic_updates_trace, outer=OuterSpec(delay_merges=None)),
        "quorum": Case(quorum_trace),
        "two_parameters": Case(everything_trace),
        "two_fragments": Case(streaming_trace),
        "failures": Case(failures_trace),
        "gossip": Case(gossip_trace),
        "groups": Case(groups_trace),
        "inner_sgd": Case(
            everything_trace, InnerSpec(lr=5e-2, optimizer="SGD", arguments={"momentum": 0.9}, schedule="linear")
        ),
        "inner_muon": Case(everything_trace, InnerSpec(lr=1e-2, optimizer="Muon", schedule="wsd")),
        "inner_nadam": Case(failures_trace, InnerSpec(lr=1e-2, optimizer="NAdam", schedule="constant")),
        "outer_sgd": Case(everything_trace, outer=OuterSpec(nesterov=False)),
        "outer_adamw": Case(failures_trace, outer=OuterSpec(optimizer="adamw", lr=0.1, eps=1e-3, weight_decay=0.1)),
        "delayed_nesterov": Case(one_by_one_trace, outer=OuterSpec(delay_merges=3)),
        "trimmed_mean": Case(contributions_trace, outer=OuterSpec(merging="trimmed_mean", trim_fraction=0.25)),
        **{f"codec_{codec}": Case(partial(codec_trace, codec)) for codec in ("fp8", "int8", "int4", "topk1")},
        "median": Case(contributions_trace, outer=OuterSpec(merging="median", clip_norm=0.02)),
    }.items()
}


def history(case: Case) -> list[dict[str, list[float]]]:
    """Parameters of every replica and every live version, of the global model or nodes' own, after each operation."""
    trace = case.trace()
    executor = Executor(
        trace=trace,
        spec=tiny_spec(inner=case.inner, outer=case.outer),
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
    for path, case in CASES.items():
        lines = (json.dumps(row) for row in history(case))
        path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
