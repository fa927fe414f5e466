import json
import shutil
from pathlib import Path

import pytest

from orbital_train.errors import InputError
from orbital_train.report.runs import read_comparison, read_run


@pytest.fixture
def run_dir(comparison_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(comparison_dir / "arms" / "link_aware-s0", tmp_path / "run"))


def test_a_comparison_has_the_arms_on_real_windows_first(comparison_dir: Path):
    comparison = read_comparison([comparison_dir])
    assert [arm.name for arm in comparison.arms] == ["link_aware", "fixed_period_blocking", "fully_connected"]
    assert [[r.summary.seed for r in arm.runs] for arm in comparison.arms] == [[0, 1]] * 3
    assert comparison.assumptions == ("step time 60 s", "orbit of 95 min")
    assert [p.chosen for p in comparison.tuning].count(True) == 3


def test_runs_given_one_by_one_are_grouped_by_arm(comparison_dir: Path):
    names = ("link_aware-s1", "fully_connected-s0", "link_aware-s0")
    comparison = read_comparison([comparison_dir / "arms" / name for name in names])
    assert [(arm.name, len(arm.runs)) for arm in comparison.arms] == [("link_aware", 2), ("fully_connected", 1)]
    assert comparison.name == "toy ring"


def test_arms_of_two_recipes_carry_the_recipe_name(comparison_dir: Path, run_dir: Path):
    summary = json.loads((run_dir / "summary.json").read_text())
    (run_dir / "summary.json").write_text(json.dumps(summary | {"name": "other"}))
    comparison = read_comparison([run_dir, comparison_dir / "arms" / "link_aware-s0"])
    assert [arm.name for arm in comparison.arms] == ["other: link_aware", "toy ring: link_aware"]


def problem(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_comparison([path])
    assert caught.value.key == "RUN_DIR"
    return str(caught.value)


def test_a_directory_that_is_no_run(tmp_path: Path):
    assert "is not a run directory; give one that train or compare wrote" in problem(tmp_path)
    assert str(tmp_path / "absent") in problem(tmp_path / "absent")


def test_an_unfinished_run(run_dir: Path):
    (run_dir / "summary.json").unlink()
    assert "the run has not finished; resume it first" in problem(run_dir)


def test_a_missing_file_is_named(run_dir: Path):
    (run_dir / "plan" / "contacts.parquet").unlink()
    assert "plan/contacts.parquet': is missing" in problem(run_dir)


@pytest.mark.parametrize("name", ["trace.jsonl", "metrics.jsonl", "summary.json", "plan/illumination.parquet"])
def test_a_broken_file_is_named(run_dir: Path, name: str):
    (run_dir / name).write_bytes(b'{"half":')
    assert f"{name}': cannot be read" in problem(run_dir)


def test_a_missing_key_is_named(run_dir: Path):
    summary = json.loads((run_dir / "summary.json").read_text())
    del summary["final_loss"], summary["digest"]
    (run_dir / "summary.json").write_text(json.dumps(summary))
    assert "lacks final_loss, digest" in problem(run_dir)


def test_optional_keys_may_be_missing_and_unknown_ones_are_ignored(run_dir: Path):
    summary = json.loads((run_dir / "summary.json").read_text())
    for key in ("tuned", "assumptions", "notes"):
        del summary[key]
    (run_dir / "summary.json").write_text(json.dumps(summary | {"message_bytes_per_merge": 12}))
    read = read_run(run_dir).summary
    assert (read.tuned, read.assumptions, read.notes) == ({}, (), ())


def test_a_run_without_an_evaluation(run_dir: Path):
    (run_dir / "metrics.jsonl").write_text('{"event":"step","op":0}\n')
    assert "it holds no evaluation" in problem(run_dir)


def test_the_same_run_twice(comparison_dir: Path):
    path = comparison_dir / "arms" / "link_aware-s0"
    with pytest.raises(InputError, match="the same arm and seed as"):
        read_comparison([path, path])


def test_a_comparison_is_given_alone(comparison_dir: Path):
    with pytest.raises(InputError, match="give it alone"):
        read_comparison([comparison_dir / "arms" / "link_aware-s0", comparison_dir])


def test_a_comparison_that_lacks_a_key(tmp_path: Path):
    (tmp_path / "comparison.json").write_text('{"name": "x", "arms": []}')
    assert "lacks assumptions, description, tuning" in problem(tmp_path)
