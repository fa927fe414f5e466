"""``orbital-train checkpoints``: listing, verifying and removing."""

from __future__ import annotations

import fcntl
import json
import re
from pathlib import Path

import pytest

from orbital_train.cli import main
from orbital_train.cli.checkpoints import check_store, checkpoint_rule, store_of
from orbital_train.cli.run_directory import RunDirectory
from orbital_train.errors import InputError
from orbital_train.schedule.ops.merging import Merge
from orbital_train.train.checkpoint_store import DiskStore, ObjectStore
from tests import small
from tests.unit.cli.command import refused, run
from tests.unit.cli.halfway import CUTS


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch):
    """A cell is one line, however long ago a checkpoint was written."""
    monkeypatch.setattr(main.console, "width", 160)


def rows(output: str) -> list[list[str]]:
    """Cells of a table's body, as text."""
    lines = [line for line in output.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def names(halfway: RunDirectory) -> list[str]:
    return sorted(path.name for path in halfway.checkpoints.iterdir())


def test_whole_ones_are_listed_newest_first(halfway: RunDirectory):
    shown = run("checkpoints", halfway.path)
    assert shown.exit_code == 0, shown.output
    newest, older = rows(shown.stdout)
    assert (newest[0], older[0]) == ("80", "40")
    assert older[2] == "2026-03-20 10:26:40"
    assert newest[4] == older[4] == "whole"
    size = sum(path.stat().st_size for path in (halfway.checkpoints / "op-000000080").iterdir())
    assert newest[3] == f"{size / 1e3:.0f} kB"
    assert re.fullmatch(r"[\d.]+ (s|min|h)", newest[1])


def test_one_that_is_not_whole_is_named_and_told_by_the_exit_code(halfway: RunDirectory):
    (halfway.checkpoints / "op-000000080" / "node-0002.safetensors").write_bytes(b"")
    shown = run("checkpoints", halfway.path)
    assert shown.exit_code == 1
    assert rows(shown.stdout)[0] == ["000000080", "–", "–", "–", "node-0002.safetensors was changed"]
    assert rows(shown.stdout)[1][4] == "whole"


def test_pruning_keeps_the_newest_whole_ones(halfway: RunDirectory):
    (halfway.checkpoints / "op-000000080" / "manifest.json").unlink()
    (halfway.checkpoints / ".op-000000090-left").mkdir()
    shown = run("checkpoints", halfway.path, "--prune", "1")
    assert shown.exit_code == 0
    assert shown.stdout.startswith("removed 1 checkpoint\n")
    assert names(halfway) == ["op-000000040"]
    assert [row[0] for row in rows(shown.stdout)] == ["40"]


def test_one_of_another_format_is_not_removed(halfway: RunDirectory, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("orbital_train.train.checkpoint.FORMAT", 2)
    shown = run("checkpoints", halfway.path, "--prune", "1")
    assert shown.exit_code == 1
    told = "has format 1, and this version of the program reads format 2"
    assert [row[4] for row in rows(shown.stdout)] == [told, told]
    assert len(names(halfway)) == len(CUTS)


def test_a_run_that_is_going_on_is_not_pruned(halfway: RunDirectory):
    with (halfway.path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run("checkpoints", halfway.path).exit_code == 0
        told = f"--out = '{halfway.path}': is in use by another process"
        assert refused("checkpoints", halfway.path, "--prune", "1") == told
    assert len(names(halfway)) == len(CUTS)


def test_what_cannot_be_listed(tmp_path: Path, halfway: RunDirectory):
    told = "is not a run directory; give one that train wrote"
    assert refused("checkpoints", tmp_path) == f"RUN_DIR = '{tmp_path}': {told}"
    told = "must be at least 1: the number of checkpoints that stay"
    assert refused("checkpoints", halfway.path, "--prune", "0") == f"--prune = 0: {told}"


def test_a_run_that_has_none(tmp_path: Path, recipe: Path):
    assert run("plan", recipe, "--out", tmp_path / "run").exit_code == 0
    shown = run("checkpoints", tmp_path / "run")
    assert (shown.exit_code, shown.stdout) == (0, f"no checkpoints in {tmp_path / 'run' / 'checkpoints'}\n")


# -- where they are, and when they are taken ---


def test_below_a_url_they_go_by_the_name_of_the_run(tmp_path: Path):
    recipe = small.recipe(tmp_path, 'cluster.checkpoint_url="s3://bucket/here/"')
    assert store_of(recipe, RunDirectory(tmp_path / "day")) == ObjectStore("s3://bucket/here/day")
    arm = RunDirectory(tmp_path / "both" / "arms" / "link_aware-s0")
    assert store_of(recipe, arm) == ObjectStore("s3://bucket/here/both/arms/link_aware-s0")
    assert store_of(small.recipe(tmp_path), arm) == DiskStore(arm.checkpoints)


def test_a_place_that_is_taken_or_cannot_be_reached(tmp_path: Path, halfway: RunDirectory):
    url = f"file://{tmp_path}/store"
    recipe, new = small.recipe(tmp_path, f'cluster.checkpoint_url="{url}"'), RunDirectory(tmp_path / "new")
    check_store(recipe, new)
    store_of(recipe, new).commit(store_of(recipe, new).begin(7), b"")
    with pytest.raises(InputError) as caught:
        check_store(recipe, new)
    taken = f"{tmp_path}/store/new holds checkpoints of another run; give --out another name, or remove them"
    assert str(caught.value) == f"cluster.checkpoint_url = '{url}': {taken}"
    with pytest.raises(InputError) as caught:
        check_store(small.recipe(tmp_path, 'cluster.checkpoint_url="no://where"'), new)
    told = "cannot be reached: Protocol not known: no"
    assert str(caught.value) == f"cluster.checkpoint_url = 'no://where': {told}"


def test_the_rule_of_a_recipe(tmp_path: Path, halfway: RunDirectory, home: Path):
    keys = ("cluster.checkpoint_every_merges=5", "cluster.keep_checkpoints=3", "cluster.keep_every_h=1.5")
    trace = halfway.read_trace()
    rule = checkpoint_rule(small.recipe(tmp_path, *keys), halfway, trace)
    assert (rule.every_merges, rule.keep.last, rule.keep.every_s) == (5, 3, 5400.0)
    assert rule.merges_below[0] == 0
    assert rule.merges_below[-1] == len(list(trace.of_kind(Merge)))
    first = next(op.id for op in trace.of_kind(Merge))
    assert rule.merges_below[first : first + 2].tolist() == [0, 1]


def test_metrics_of_the_fixture_are_those_of_the_run(halfway: RunDirectory):
    ops = [json.loads(line)["op"] for line in halfway.metrics.read_text().splitlines()]
    assert ops == sorted(ops)
    assert ops[-1] < CUTS[-1]
