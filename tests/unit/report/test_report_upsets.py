"""Flipped bits in the report: counted from the metrics and the trace."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

from orbital_train.report.build import write_report
from orbital_train.report.flips import Tally, flips_note, tally
from orbital_train.report.runs import Arm, Comparison, Run, read_run
from orbital_train.report.upsets import upset_lines, upset_table
from tests.unit.train.trace_builder import TraceBuilder

NOTHING = Tally(injected=Counter(), found=Counter(), restarts=0, false_alarms=0)


def flip(op: int, node: int, target: str, **more: object) -> dict[str, object]:
    return {"event": "upset", "op": op, "node": node, "target": target, **more}


def test_a_flip_is_found_if_its_node_begins_anew_before_it_contributes() -> None:
    build = TraceBuilder(nodes=(0, 1))
    for node in (0, 1):
        build.step(node, 1)  # 0, 1
    for node in (0, 1):
        build.snapshot(node, 0)  # 2, 3
    build.step(0, 1)  # 4
    build.snapshot(0, 0)  # 5, refused
    build.step(1, 1)  # 6
    rows = [
        flip(0, 0, "parameters"),  # contributed by operation 2
        flip(1, 1, "gradient"),
        flip(1, 1, "optimizer"),
        {"event": "corrupt", "op": 1, "node": 1, "problem": "x"},  # both are found
        flip(4, 0, "optimizer"),
        {"event": "refuse", "op": 5, "node": 0, "problem": "x"},
        {"event": "corrupt", "op": 5, "node": 0, "problem": "x"},
        flip(6, 1, "parameters"),  # never contributed, and never found
        {"event": "corrupt", "op": 6, "node": 0, "problem": "x"},  # of nothing
    ]
    told = tally(rows, build.trace())
    assert told.injected == {"parameters": 2, "gradient": 1, "optimizer": 2}
    assert told.found == {"gradient": 1, "optimizer": 2}
    assert (told.restarts, told.false_alarms) == (3, 1)


def test_a_flip_with_a_checksum_is_found_if_that_told() -> None:
    rows = [flip(0, 0, "message", found="crc32"), flip(0, 0, "message", found=None), {"event": "step", "op": 0}]
    told = tally(rows, TraceBuilder(nodes=(0,)).trace())
    assert (told.injected, told.found) == ({"message": 2}, {"message": 1})


def test_the_note_of_a_summary() -> None:
    assert flips_note(NOTHING) == []
    told = Tally(
        injected=Counter({"parameters": 3, "message": 2}), found=Counter({"message": 2}), restarts=1, false_alarms=1
    )
    assert flips_note(told) == [
        "flipped bits: 2 in message (2 found), 3 in parameters (0 found); 1 time a node found itself corrupt and began "
        "anew, 1 of them without a cause"
    ]


def with_flips(comparison: Comparison, flips: Tally, upsets: str) -> Comparison:
    """The first arm with flips, the second as the same without them."""

    def flipped(run: Run) -> Run:
        return replace(run, flips=flips, recipe=f"[faults.upsets]\n{upsets}")

    first, second, *others = comparison.arms
    arms = (
        Arm(name=first.name, runs=tuple(flipped(run) for run in first.runs)),
        Arm(name="without_replica_flips", runs=second.runs),
        *others,
    )
    return replace(comparison, arms=arms)


def test_nothing_is_told_where_nothing_was_flipped(comparison: Comparison, report_html: str) -> None:
    assert upset_table(comparison) is None
    assert upset_lines(comparison) == ()
    assert "Flipped bits" not in report_html


def test_the_table_and_what_it_did_to_the_loss(comparison: Comparison, tmp_path: Path) -> None:
    flips = Tally(
        injected=Counter({"parameters": 3, "message": 2}), found=Counter({"message": 2}), restarts=4, false_alarms=1
    )
    upsets = "per_bit_hour = 2e-12\nanomaly_factor = 20.0\nparameters = 1e9"
    shown = with_flips(comparison, flips, upsets)
    main = shown.arms[0]
    seeds, trained = len(main.runs), main.runs[0].summary.parameters_trained
    table = upset_table(shown)
    assert table is not None
    assert table.rows == (
        (main.name, "message", str(2 * seeds), str(2 * seeds), "0"),
        (main.name, "parameters", str(3 * seeds), "0", str(3 * seeds)),
    )
    (line,) = upset_lines(shown)
    per_trained = f"{2e-12 * 1e9 / trained:.2g}"
    assert line.startswith(
        f"{main.name}: 2e-12 a bit and hour of 1.00 bn parameters a satellite, which is {per_trained} a bit of the "
        f"trained model, before it is weighed by place; {4 * seeds} times a node found itself corrupt and began anew, "
        f"{seeds} of them without a cause; loss "
    )
    assert line.endswith(" against the same trace without flips in replicas.")
    html = write_report(shown, tmp_path).read_text(encoding="utf-8")
    assert "<h2>Flipped bits</h2>" in html
    assert line in html


def test_flips_are_read_with_a_run(comparison_dir: Path, tmp_path: Path) -> None:
    run = shutil.copytree(next(comparison_dir.rglob("metrics.jsonl")).parent, tmp_path / "run")
    assert read_run(run).flips == NOTHING
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(flip(0, 0, "message", found="crc32")) + "\n")
    assert read_run(run).flips.found == {"message": 1}
