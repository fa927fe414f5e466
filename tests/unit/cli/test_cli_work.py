from pathlib import Path

import psutil
import pytest
import torch

from orbital_train.cli import work
from orbital_train.cli.planning import fly
from orbital_train.cli.work import Needs, check_problem, estimate_line, free_bytes, needs
from orbital_train.config.build import train_spec
from orbital_train.errors import InputError
from orbital_train.train.data.text import load_corpus
from orbital_train.train.device import CPU, CUDA
from orbital_train.train.problem import build_problem
from orbital_train.train.trial import _try_out
from tests import small


def test_the_estimate_counts_the_parameters_that_are_built(tmp_path: Path):
    recipe = small.recipe(tmp_path, "cluster.workers=2")
    module = build_problem(train_spec(recipe), (0,), "cpu").module
    parameters = sum(p.numel() for p in module.parameters())
    line = estimate_line(recipe, fly(recipe).trace, ())
    assert line.startswith(f"small: 600 inner steps of {parameters:,} parameters on 2 workers; about ")


def test_free_memory_is_that_of_the_device(monkeypatch: pytest.MonkeyPatch):
    assert 0 < free_bytes(CPU) < psutil.virtual_memory().total
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (3_000_000, 8_000_000))
    assert free_bytes(CUDA) == 3_000_000


def test_workers_share_a_machine_and_have_a_gpu_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    recipe = small.recipe(tmp_path, "cluster.workers=2")
    total = psutil.virtual_memory().total
    with pytest.raises(InputError, match=r"needs about \d+\.\d GB for 2 workers and copies of their state and"):
        work._check_memory(recipe, Needs(worker_bytes=total, cut_bytes=0))
    with pytest.raises(InputError, match="copies of their state"):
        work._check_memory(recipe, Needs(worker_bytes=0, cut_bytes=total))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (3_000_000_000, 8_000_000_000))
    monkeypatch.setattr(work, "choose_device", lambda wanted: CUDA)
    work._check_memory(recipe, Needs(worker_bytes=3_000_000_000, cut_bytes=0))
    with pytest.raises(InputError, match=r"needs about \d+\.\d GB for copies of the state and"):
        work._check_memory(recipe, Needs(worker_bytes=0, cut_bytes=total))
    with pytest.raises(InputError, match=r"about 3\.1 GB for each worker's GPU and 3\.0 GB is free") as caught:
        work._check_memory(recipe, Needs(worker_bytes=3_100_000_000, cut_bytes=0))
    assert caught.value.key == "model"


def test_the_corpus_is_read_once_and_a_step_timed_once_for_all_arms(tmp_path: Path):
    recipe = small.recipe(tmp_path)
    other = small.recipe(tmp_path, "inner.lr=0.01", "outer.lr=1.0", "seeds.init=9", "seeds.data=9")
    trace = fly(recipe).trace
    load_corpus.cache_clear()
    _try_out.cache_clear()
    assert check_problem(recipe, ()).tokens_per_step == 32
    lines = [estimate_line(r, trace, ()) for r in (recipe, other)]
    assert lines[0] == lines[1]
    assert (load_corpus.cache_info().misses, _try_out.cache_info().misses, _try_out.cache_info().hits) == (1, 1, 4)
    estimate_line(small.recipe(tmp_path, "inner.batch_size=3"), trace, ())
    assert (load_corpus.cache_info().misses, _try_out.cache_info().misses) == (1, 2)


def test_the_estimate_counts_copies_of_the_state_and_the_disk(tmp_path: Path):
    recipe = small.recipe(tmp_path, "cluster.workers=2")
    trace = fly(recipe).trace
    cut, line = needs(recipe, trace).cut_bytes, estimate_line(recipe, trace)
    assert line.endswith(f", {4 * cut / 1e6:.0f} MB for copies of the state, {3 * cut / 1e6:.0f} MB of disk")
    longer = estimate_line(small.recipe(tmp_path, "cluster.keep_every_h=6"), trace)
    assert longer.endswith(f" MB of disk and {cut / 1e6:.0f} MB more every 6 h")
