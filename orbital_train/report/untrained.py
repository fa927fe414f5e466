"""Which data was left untrained: that in the shards of satellites that were out when the run ended."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

from orbital_train.report import fmt
from orbital_train.report.results import Table
from orbital_train.report.runs import Comparison, Run
from orbital_train.schedule.losses import merged_steps_of
from orbital_train.schedule.ops.nodes import Lose, Restore

HEADER = ("arm", "seed", "satellite", "out since", "for ever", "its data", "tokens merged", "of what others have")


@dataclass(frozen=True, kw_only=True)
class Gone:
    """A node that was out when the run ended."""

    node: int
    since_s: float
    for_ever: bool  # as far as the fault plan says
    merged_steps: int
    others_steps: float  # mean of the nodes that were there at the end


def gone(run: Run) -> tuple[Gone, ...]:
    """All of a run, by when they failed."""
    since_us: dict[int, int] = {}
    for op in run.trace.ops:
        if isinstance(op, Lose):
            since_us.setdefault(op.node, op.end_us)
        elif isinstance(op, Restore):
            since_us.pop(op.node, None)
    never = {outage.node for outage in run.faults.down if outage.end_us is None}
    merged = merged_steps_of(run.trace)
    there = [steps for node, steps in merged.items() if node not in since_us]
    return tuple(
        Gone(
            node=node,
            since_s=at_us / 1e6,
            for_ever=node in never,
            merged_steps=merged[node],
            others_steps=sum(there) / max(1, len(there)),
        )
        for node, at_us in sorted(since_us.items(), key=lambda item: item[::-1])
    )


def untrained_table(comparison: Comparison) -> Table | None:
    """One row for each run and satellite that was out at its end; None where there was none."""
    rows = [
        (
            arm.name,
            str(run.summary.seed),
            run.trace.accounts[lost.node].name,
            fmt.duration(lost.since_s),
            "yes" if lost.for_ever else "no",
            shard_of(run, lost.node),
            fmt.count(lost.merged_steps * run.summary.tokens_per_step_trained),
            fmt.percent(lost.merged_steps / lost.others_steps) if lost.others_steps else fmt.NONE,
        )
        for arm in comparison.arms
        for run in arm.runs
        for lost in gone(run)
    ]
    return Table(header=HEADER, rows=tuple(rows)) if rows else None


def shard_of(run: Run, node: int) -> str:
    """Which part of the training data a node has, as ``train/data/split.py`` divides it."""
    nodes = run.trace.fleet_nodes
    place, count = nodes.index(node), len(nodes)
    match tomllib.loads(run.recipe).get("data", {}).get("shards"):
        case "contiguous":
            return f"from {fmt.percent(place / count)} to {fmt.percent((place + 1) / count)} of the training data"
        case "interleaved":
            return f"every {_ordinal(count)} block of the training data, from the {_ordinal(place + 1)} on"
    return f"shard {place + 1} of {count}"


def _ordinal(n: int) -> str:
    ending = "th" if n // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"
