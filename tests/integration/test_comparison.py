"""A whole comparison, and one that is resumed."""

import json
from pathlib import Path

import pytest

from orbital_train.schedule.measures import measure
from orbital_train.schedule.trace_file import read_trace
from tests import small
from tests.unit.cli.command import refused, run

pytestmark = pytest.mark.slow

SETTINGS = ("--set", "schedule.budget_steps=120", "--set", "compare.seeds=2", "--set", "cluster.workers=2")
BASELINES = ("--against", "fully_connected", "--against", "single_node")


@pytest.fixture(scope="module")
def compared(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("compared")
    recipe = small.write_recipe(folder)
    result = run("compare", recipe, *BASELINES, *SETTINGS, "--out", folder / "out")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert "fully_connected  small: 120 inner steps of " in result.stdout
    return recipe, folder / "out"


def summaries(out: Path) -> dict[tuple[str, int], dict]:
    arms = json.loads((out / "comparison.json").read_text())["arms"]
    return {(a["arm"], a["seed"]): json.loads((out / a["run"] / "summary.json").read_text()) for a in arms}


def losses(path: Path) -> list[float]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row["loss"] for row in rows if row["event"] == "evaluate"]


def test_every_arm_has_a_run_of_every_seed(compared: tuple[Path, Path]):
    _, out = compared
    comparison = json.loads((out / "comparison.json").read_text())
    names = ["link_aware", "fully_connected", "single_node"]
    assert [(a["arm"], a["seed"]) for a in comparison["arms"]] == [(n, s) for s in (0, 1) for n in names]
    assert (comparison["name"], comparison["tuning"], comparison["assumptions"]) == ("small", [], ["made up"])
    found = summaries(out)
    assert {key: s["ideal"] for key, s in found.items()} == {key: key[0] == "fully_connected" for key in found}
    assert {key[0]: s["workers"] for key, s in found.items()} == {
        "link_aware": 2,
        "fully_connected": 2,
        "single_node": 1,
    }
    assert {s["merged_steps"] for s in found.values()} == {120}


def test_summaries_are_what_the_traces_and_metrics_amount_to(compared: tuple[Path, Path]):
    _, out = compared
    for (name, seed), summary in summaries(out).items():
        path = out / "arms" / f"{name}-s{seed}"
        measures = measure(read_trace(path / "trace.jsonl"))
        for key in ("link_bytes", "duty", "goodput", "merges", "trained_steps", "lost_steps", "simulated_s"):
            assert summary[key] == getattr(measures, key), (name, key)
        assert summary["final_loss"] == losses(path / "metrics.jsonl")[-1]


def test_arms_start_from_the_same_model_for_the_same_seed(compared: tuple[Path, Path]):
    _, out = compared
    first = {key: losses(out / "arms" / f"{key[0]}-s{key[1]}" / "metrics.jsonl")[0] for key in summaries(out)}
    assert len({first[name, 0] for name in ("link_aware", "fully_connected", "single_node")}) == 1
    assert first["link_aware", 0] != first["link_aware", 1]
    assert len({s["digest"] for s in summaries(out).values()}) == 6


def test_the_report_is_there(compared: tuple[Path, Path]):
    _, out = compared
    html = (out / "report.html").read_text(encoding="utf-8")
    assert all(name in html for name in ("link_aware", "fully_connected", "single_node", "made up"))
    (out / "report.html").unlink()
    assert run("report", out).exit_code == 0
    assert (out / "report.html").read_text(encoding="utf-8") == html


def test_a_resumed_comparison_runs_what_is_not_finished(compared: tuple[Path, Path]):
    recipe, out = compared
    before = summaries(out)
    lost, half = out / "arms" / "link_aware-s1", out / "arms" / "fully_connected-s0"
    (lost / "trace.jsonl").unlink()
    for path in (lost / "summary.json", half / "summary.json"):
        path.unlink()
    stamps = {p: p.stat().st_mtime_ns for p in out.glob("arms/*/summary.json")}
    assert len(stamps) == 4
    assert refused("report", out).startswith("RUN_DIR = ")
    result = run("compare", recipe, *BASELINES, *SETTINGS, "--out", out, "--resume", "--set", "cluster.workers=3")
    assert result.exit_code == 0, result.output
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps
    after = summaries(out)
    for key, summary in before.items():
        assert after[key]["digest"] == summary["digest"]
        assert after[key]["final_loss"] == summary["final_loss"]


def test_a_resumed_comparison_is_of_the_same_recipe(compared: tuple[Path, Path]):
    recipe, out = compared
    line = refused("compare", recipe, *BASELINES, *SETTINGS, "--out", out, "--resume", "--set", "inner.lr=0.5")
    assert line.startswith(f"{recipe}: inner.lr = 0.5: the run was made with 0.004; on resume only ")
