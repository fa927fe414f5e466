"""Directories that cannot be written, resumed or reported are told in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from orbital_train.windows.plan import ContactPlan
from tests.unit.cli.command import refused, run, unchanged


@pytest.fixture
def planned(tmp_path: Path, recipe: Path) -> Path:
    assert run("plan", recipe, "--out", tmp_path / "run").exit_code == 0
    return tmp_path / "run"


@pytest.mark.parametrize("command", ["plan", "train", "compare"])
def test_another_run_is_not_written_over(tmp_path: Path, recipe: Path, planned: Path, command: str):
    line = unchanged(tmp_path, command, recipe, "--out", planned)
    told = "is not empty; choose another directory, or continue its run with --resume"
    assert line == f"{recipe}: --out = '{planned}': {told}"
    line = unchanged(tmp_path, command, recipe, "--out", recipe)
    assert line == f"{recipe}: --out = '{recipe}': {told}"


@pytest.mark.parametrize("command", ["train", "compare"])
def test_nothing_to_resume(tmp_path: Path, recipe: Path, command: str):
    line = unchanged(tmp_path, command, recipe, "--out", tmp_path / "out", "--resume")
    assert line.startswith(f"{recipe}: --out = '{tmp_path / 'out'}': holds no ")
    assert refused(command, recipe, "--resume").startswith(f"{recipe}: --out = None: --resume needs the directory")


def test_a_directory_that_cannot_be_made(tmp_path: Path, recipe: Path):
    line = unchanged(tmp_path, "plan", recipe, "--out", recipe / "out")
    assert line == f"{recipe}: --out = '{recipe / 'out'}': cannot be written: Not a directory"


def test_a_changed_recipe_is_not_resumed(tmp_path: Path, recipe: Path, planned: Path):
    line = unchanged(tmp_path, "train", recipe, "--out", planned, "--resume", "--set", "inner.lr=0.5")
    told = "inner.lr = 0.5: the run was made with 0.004; on resume only cluster.workers, "
    assert line.startswith(f"{recipe}: {told}")
    later = "time.start=2026-03-21T00:00:00Z"
    line = unchanged(tmp_path, "train", recipe, "--out", planned, "--resume", "--set", later)
    assert "the run was made with 2026-03-20T00:00:00+00:00;" in line
    line = unchanged(tmp_path, "train", recipe, "--out", planned, "--resume", "--set", "cluster.devices_per_node=2")
    assert line.startswith(f"{recipe}: cluster.devices_per_node = 2: the run was made with 1; on resume only ")


def test_a_directory_in_use(tmp_path: Path, recipe: Path, planned: Path):
    hold = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    command = [sys.executable, "-c", hold, planned / ".lock"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        line = unchanged(tmp_path, "train", recipe, "--out", planned, "--resume")
        assert line == f"{recipe}: --out = '{planned}': is in use by another process"
        holder.communicate("\n")


def test_reports_of_what_is_no_run(tmp_path: Path, planned: Path):
    assert refused("report", tmp_path).startswith(f"RUN_DIR = '{tmp_path}': is not a run directory; give one that ")
    assert refused("report", planned).startswith(
        f"RUN_DIR = '{planned}': has no summary.json: the run has not finished"
    )


def test_plans_of_links_that_are_read_back(planned: Path):
    plan = ContactPlan.read(planned / "plan" / "contacts.parquet")
    assert plan.node_names == ("p0s0", "p1s0", "p2s0", "p3s0", "p4s0", "p5s0")
    assert np.all(plan.end_s > plan.start_s)
