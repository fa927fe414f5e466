"""The data of satellites that were out when a run ended."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from orbital_train.report import fmt
from orbital_train.report.build import write_report
from orbital_train.report.runs import Arm, Comparison, Run
from orbital_train.report.untrained import Gone, gone, shard_of, untrained_table
from orbital_train.schedule.faults import FaultPlan, Outage
from orbital_train.schedule.ops.merging import Merge
from orbital_train.schedule.ops.nodes import Lose, Restore


def lose(node: int, at_s: float) -> Lose:
    at_us = round(at_s * 1e6)
    return Lose(-1, at_us, at_us, node, "loss", True, 0)


def failing(run: Run) -> Run:
    """Node 2 fails for ever, node 1 too and comes back, node 0 is out at the end."""
    back = Restore(-1, 900_000_000, 900_000_000, 1, 9, 0, 8, (), 1, None)
    ops = (*run.trace.ops, lose(2, 600.0), lose(1, 700.0), back, lose(0, 1000.0))
    faults = FaultPlan(outages=(Outage(node=2, start_us=600_000_000, end_us=None, loses_state=True, cause="loss"),))
    return replace(run, trace=replace(run.trace, ops=ops), faults=faults)


def test_who_is_out_at_the_end_and_what_it_had_merged(comparison: Comparison) -> None:
    run = failing(comparison.arms[0].runs[0])
    merged: Counter[int] = Counter()
    for merge in run.trace.of_kind(Merge):
        merged.update({c.node: c.steps for c in merge.contributions})
    there = [merged[node] for node in run.trace.fleet_nodes if node not in (0, 2)]
    others = sum(there) / len(there)
    assert gone(run) == (
        Gone(node=2, since_s=600.0, for_ever=True, merged_steps=merged[2], others_steps=others),
        Gone(node=0, since_s=1000.0, for_ever=False, merged_steps=merged[0], others_steps=others),
    )


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ('[data]\nshards = "contiguous"', "from {a} to {b} of the training data"),
        ('[data]\nshards = "interleaved"', "every {n}th block of the training data, from the 3rd on"),
        ('[data]\nkind = "mine:Points"', "shard 3 of {n}"),
    ],
)
def test_which_data_that_is(comparison: Comparison, recipe: str, told: str) -> None:
    run = replace(comparison.arms[0].runs[0], recipe=recipe)
    n = len(run.trace.fleet_nodes)
    assert shard_of(run, 2) == told.format(n=n, a=fmt.percent(2 / n), b=fmt.percent(3 / n))


def test_the_report_has_a_table_of_them_where_there_are_any(
    comparison: Comparison, report_html: str, tmp_path: Path
) -> None:
    assert untrained_table(comparison) is None
    assert "Data left untrained" not in report_html
    first, *others = comparison.arms
    arm = Arm(name=first.name, runs=tuple(failing(run) for run in first.runs))
    shown = replace(comparison, arms=(arm, *others))
    table = untrained_table(shown)
    assert table is not None
    assert [row[:5] for row in table.rows] == [
        (arm.name, str(run.summary.seed), name, since, for_ever)
        for run in arm.runs
        for name, since, for_ever in (("s02", "10.0 min", "yes"), ("s00", "16.7 min", "no"))
    ]
    html = write_report(shown, tmp_path).read_text(encoding="utf-8")
    assert "<h2>Data left untrained</h2>" in html
    assert table.rows[0][5] in html
