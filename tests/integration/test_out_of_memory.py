"""Workers that really run out of memory: told as such, and replaced, or the run stops with advice."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from orbital_train.cli.run_directory import RunDirectory
from tests import hungry
from tests.integration.runs import BUDGET, Reference, assert_undisturbed
from tests.integration.test_command_line import PATIENCE_S, program, wait_for_training

pytestmark = pytest.mark.slow

ADVICE = "take fewer nodes a worker, or a smaller model"
NO_MEMORY = "DefaultCPUAllocator: can't allocate memory"


@pytest.fixture
def words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, undisturbed: Reference, run_path: Path
) -> tuple[str | Path, ...]:
    """Of a run of the hungry model, which is the undisturbed one's bit by bit."""
    monkeypatch.setenv("HUNGRY", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")]))
    keys = ("--set", BUDGET, "--set", "cluster.workers=2", "--set", "cluster.checkpoint_every_s=0.2")
    return ("train", undisturbed.path, *keys, *hungry.keys(16), "--out", run_path)


def test_a_worker_that_outgrows_its_memory_is_replaced(
    words: tuple[str | Path, ...], tmp_path: Path, undisturbed: Reference, run_path: Path
):
    with program(*words) as process:
        started = wait_for_training(process)
        victim = next(p for p in started if any("ray::Worker" in part for part in p.cmdline()))
        (tmp_path / "eat").write_text(str(victim.pid))
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (0, "")
    run = RunDirectory(run_path)
    summary = assert_undisturbed(undisturbed, run)
    assert len(summary["recoveries"]) == 1
    told = run.log.read_text()
    assert NO_MEMORY in told
    assert ADVICE in told
    assert f"(process {victim.pid} on " in told


def test_a_run_that_never_has_enough_memory_stops_with_advice(
    words: tuple[str | Path, ...], tmp_path: Path, undisturbed: Reference, run_path: Path
):
    run = RunDirectory(run_path)
    with program(*words) as process:
        wait_for_training(process)
        while not any(run.checkpoints.glob("op-*")):
            assert process.poll() is None, "the run ended before it wrote a checkpoint"
            time.sleep(0.05)  # another process writes it
        (tmp_path / "eat").write_text("all")
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    (line,) = errors.splitlines()
    assert NO_MEMORY in line
    assert f"{ADVICE}; 3 times in a row without getting further; --resume continues from operation " in line
    (tmp_path / "eat").unlink()
    with program(*words, "--resume") as process:
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (0, "")
    assert_undisturbed(undisturbed, run)
