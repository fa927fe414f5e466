"""The program as people run it: a process of its own, with a Ray cluster of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file

from orbital_train.cli.run_directory import RunDirectory
from tests import small
from tests.integration.conftest import Groups
from tests.integration.runs import BUDGET, Reference, assert_undisturbed, checkpoints, train
from tests.unit.cli import command

pytestmark = pytest.mark.slow

PATIENCE_S = 90


@contextmanager
def program(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """The program, in a session of its own as in a terminal; whatever it started must end with it."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    environment.pop("RAY_ADDRESS", None)
    with subprocess.Popen(
        [sys.executable, "-m", "orbital_train", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()  # no-op once it has ended


def wait_for_training(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Wait for the first line of progress; returns all processes that were started for the run."""
    assert process.stdout is not None
    for line in process.stdout:
        if " steps/s " in line:
            return psutil.Process(process.pid).children(recursive=True)
    pytest.fail(f"ended before it trained: {process.communicate()}")


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert alive == []


@pytest.mark.parametrize(("number", "code", "to_all"), [(signal.SIGINT, 130, True), (signal.SIGTERM, 143, False)])
def test_a_signal_ends_a_run_with_a_checkpoint(
    groups: Groups, undisturbed: Reference, run_path: Path, number: signal.Signals, code: int, to_all: bool
):
    """Ctrl-C reaches every process of the terminal's session; SIGTERM comes to the program alone."""
    run = RunDirectory(run_path)
    arguments = ("train", undisturbed.path, "--set", BUDGET, "--set", "cluster.workers=2", "--out", run_path)
    with program(*arguments) as process:
        started = wait_for_training(process)
        assert any("ray::" in " ".join(p.cmdline()) for p in started)
        (os.killpg if to_all else os.kill)(process.pid, number)
        _, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == code
    assert errors == f"orbital-train: stopped; {run_path} holds a checkpoint, --resume continues\n"
    assert_gone(started)
    assert len(checkpoints(run)) == 1
    assert not run.summary.exists()
    train(groups(4), undisturbed, run)
    assert_undisturbed(undisturbed, run)


def test_a_killed_worker_is_replaced_and_a_killed_driver_resumed(undisturbed: Reference, run_path: Path):
    run = RunDirectory(run_path)
    often = ("--set", BUDGET, "--set", "cluster.checkpoint_every_s=0.2", "--out", run_path)
    with program("train", undisturbed.path, *often, "--set", "cluster.workers=2") as process:
        started = wait_for_training(process)
        workers = [p for p in started if any("ray::Worker" in part for part in p.cmdline())]
        assert len(workers) == 2
        slow = {p.pid for p in started if p.name() in ("ray::DashboardAgent", "ray::RuntimeEnvAgent")}
        workers[0].kill()
        while not run.log.exists():
            assert process.poll() is None, "the run ended before it told of the lost worker"
            time.sleep(0.05)  # another process writes it
        process.kill()
        process.communicate(timeout=PATIENCE_S)
    assert f"(process {workers[0].pid} on " in run.log.read_text()
    # Two helpers of Ray look for the dead cluster for a minute before they end; scripts/chaos waits for them.
    assert_gone([process for process in started if process.pid not in slow])
    with program("train", undisturbed.path, *often, "--set", "cluster.workers=1", "--resume") as process:
        started = wait_for_training(process)
        output, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (0, "")
    assert_gone(started)
    assert_undisturbed(undisturbed, run)
    assert (run_path / "report.html").exists()
    assert str(run_path / "report.html") in output
    stamp = run.summary.stat().st_mtime_ns
    again = command.run("train", undisturbed.path, *often, "--resume")  # there is nothing left to do but the report
    assert (again.exit_code, again.stderr, run.summary.stat().st_mtime_ns) == (0, "", stamp)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("cluster.device=cuda", "cluster.device = 'cuda': no CUDA device is available here; accepted: auto, cpu"),
        ('cluster.address="127.0.0.1:9"', "cluster.address = '127.0.0.1:9': no Ray cluster can be reached there: "),
        ("cluster.address=head", "cluster.address = 'head': must be host:port of a running Ray cluster, or auto"),
    ],
)
def test_what_cannot_be_run_here(undisturbed: Reference, run_path: Path, override: str, told: str):
    if override.endswith("cuda"):
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a CUDA device here")
    with program("train", undisturbed.path, "--set", BUDGET, "--set", override, "--out", run_path) as process:
        _, errors = process.communicate(timeout=PATIENCE_S)
    (line,) = errors.splitlines()
    assert line.startswith(f"orbital-train: {undisturbed.path}: {told}")
    assert process.returncode == 2
    assert not run_path.exists()


MINE = """
import torch
from torch import nn
from tests.unit.train.own import Points


class Curve(nn.Module):
    def __init__(self, *, inputs, width):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, x, y):
        return (self.layers(x) - y).square().mean()
"""


def test_ones_own_model_in_the_working_directory_is_trained_by_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Ray's workers find the module too, and the model's buffers come out with it."""
    (tmp_path / "mine.py").write_text(MINE)
    recipe = small.write_recipe(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.chdir(tmp_path)
    model, data = 'model={kind="mine:Curve", arguments={width=4}}', 'data={kind="mine:Points", arguments={inputs=3}}'
    settings = ("--set", model, "--set", data, "--set", "cluster.workers=2", "--set", "inner.batch_size=8")
    with program("train", recipe, *settings, "--import", "mine", "--out", tmp_path / "run") as process:
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (0, "")
    tensors = load_file(tmp_path / "run" / "model.safetensors")
    assert tensors["layers.0.weight"].shape == (4, 3)
    assert "layers.1.running_mean" in tensors
