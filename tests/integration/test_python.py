"""Runs from Python, as in a notebook."""

import io
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import safetensors.torch
import torch

import orbital_train
from tests import small
from tests.integration.runs import BUDGET, Reference

pytestmark = pytest.mark.slow
CHANGED = {"schedule.budget_steps": int(BUDGET.partition("=")[2]), "cluster.workers": 2}


def test_train(ray_cluster: None, undisturbed: Reference, tmp_path: Path):
    path, out = small.write_recipe(tmp_path), tmp_path / "run"
    torch.use_deterministic_algorithms(False)
    before = (torch.get_num_threads(), signal.getsignal(signal.SIGINT))
    with redirect_stdout(io.StringIO()) as told:
        run = orbital_train.train(path, out, overrides=CHANGED, quiet=True)
        again = orbital_train.train(str(path), str(out), overrides=CHANGED, resume=True, quiet=True)
    assert told.getvalue() == ""
    assert again == run
    assert (torch.get_num_threads(), signal.getsignal(signal.SIGINT)) == before
    assert not torch.are_deterministic_algorithms_enabled()
    assert run.path == out
    assert run.summary.digest == undisturbed.digest
    assert (len(run.losses), run.losses[-1]) == (6, run.summary.final_loss)
    assert "<title>small</title>" in run.report.read_text()
    module, stored = run.module(), safetensors.torch.load_file(out / "model.safetensors")
    assert not module.training
    assert all(torch.equal(value, stored[name]) for name, value in module.state_dict().items())


def test_fork(ray_cluster: None, undisturbed: Reference, tmp_path: Path):
    """From the newest checkpoint of another run, with the same settings and with others."""
    path, often = small.write_recipe(tmp_path), CHANGED | {"cluster.checkpoint_every_merges": 3}
    run = orbital_train.train(path, tmp_path / "run", overrides=often, quiet=True)
    same = orbital_train.train(path, tmp_path / "same", overrides=CHANGED, fork=run.path, quiet=True)
    assert same.summary.digest == undisturbed.digest
    assert "forked from " in same.summary.notes[-2]
    slower = CHANGED | {"inner.lr": 1e-4}
    other = orbital_train.train(path, tmp_path / "other", overrides=slower, fork=str(run.path), quiet=True)
    assert other.summary.digest != undisturbed.digest


def test_train_in_another_thread_with_ray_of_its_own(undisturbed: Reference, tmp_path: Path):
    """In a process of its own: that of the tests has Ray already."""
    code = f"""
import signal, threading
import orbital_train, ray

def work():
    run = orbital_train.train("small.toml", "run", overrides={CHANGED})
    print(run.summary.digest)

handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
thread = threading.Thread(target=work)
thread.start()
thread.join()
assert not ray.is_initialized()
assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
"""
    small.write_recipe(tmp_path)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == undisturbed.digest


def test_compare(ray_cluster: None, tmp_path: Path):
    changed = CHANGED | {"schedule.budget_steps": 600, "compare.baselines": ["ideal_diloco"], "cluster.workers": 1}
    found = orbital_train.compare(small.write_recipe(tmp_path), tmp_path / "both", overrides=changed, quiet=True)
    assert list(found.arms) == ["link_aware", "ideal_diloco"]
    assert found.report == tmp_path / "both" / "report.html"
    for name, (run,) in found.arms.items():
        assert run.path == tmp_path / "both" / "arms" / f"{name}-s{run.summary.seed}"
        assert sum(p.numel() for p in run.module().parameters()) == run.summary.parameters_trained
