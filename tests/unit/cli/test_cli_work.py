from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from orbital_train.cli import work
from orbital_train.cli.planning import fly
from orbital_train.cli.work import Needs, check_problem, check_work, estimate_line, free_bytes, needs, places
from orbital_train.config.build import train_spec
from orbital_train.errors import InputError, InputWarning
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


def bytes_needed(worker: int, cut: int, nodes: int = 2) -> Needs:
    """Of a model of which a replica takes 1.2 GB."""
    return Needs(worker_bytes=worker, cut_bytes=cut, parameters=100_000_000, nodes=nodes)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were GPUs, with 3 GB free."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (3_000_000_000, 8_000_000_000))
    monkeypatch.setattr(work, "choose_device", lambda wanted: CUDA)


def test_workers_share_a_machine(tmp_path: Path):
    recipe = small.recipe(tmp_path, "cluster.workers=2")
    total = psutil.virtual_memory().total
    with pytest.raises(InputError, match=r"needs about \d+\.\d GB for 2 workers and copies of their state and"):
        work._check_memory(recipe, bytes_needed(total, 0))
    with pytest.raises(InputError, match="copies of their state"):
        work._check_memory(recipe, bytes_needed(0, total))
    assert places(recipe, bytes_needed(total, 0)) is None


def test_workers_have_a_gpu_each(tmp_path: Path, gpu: None):
    recipe = small.recipe(tmp_path, "cluster.workers=2")
    assert work._check_memory(recipe, bytes_needed(3_000_000_000, 0)) == 0
    assert places(recipe, bytes_needed(3_000_000_000, 0, nodes=5)) is None
    with pytest.raises(InputError, match=r"needs about \d+\.\d GB for copies of the state and"):
        work._check_memory(recipe, bytes_needed(0, psutil.virtual_memory().total))
    with pytest.raises(InputError, match=r"about 3\.1 GB for each worker's GPU and 3\.0 GB is free") as caught:
        work._check_memory(recipe, bytes_needed(3_100_000_000, 0))
    assert caught.value.key == "model"


def test_replicas_that_do_not_fit_onto_a_gpu_are_parked(tmp_path: Path, gpu: None, monkeypatch: pytest.MonkeyPatch):
    """But for two: the one that trains, and the one that comes next."""
    recipe = small.recipe(tmp_path, "cluster.workers=2")
    for needed, fit in ((3_000_000_001, 4), (4_200_000_000, 4), (4_200_000_001, 3), (6_600_000_000, 2)):
        assert places(recipe, bytes_needed(needed, 0, nodes=5)) == fit
        assert work._check_memory(recipe, bytes_needed(needed, 0, nodes=5)) == 5 - fit
    with pytest.raises(InputError, match=r"about 3\.4 GB for each worker's GPU and 3\.0 GB is free"):
        work._check_memory(recipe, bytes_needed(7_000_000_000, 0, nodes=5))
    told = ", of which 3600 MB in host memory: 2 of 5 replicas fit at a time"
    assert work._by_turns(bytes_needed(6_600_000_000, 0, nodes=5), 3) == told
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=7_000_000_000))
    with pytest.raises(InputError, match=r"about 7\.2 GB for copies of the state and replicas in host memory and 7\.0"):
        work._check_memory(recipe, bytes_needed(6_600_000_000, 0, nodes=5))


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


def test_momentum_on_top_of_the_feedback_of_a_sparse_codec_is_warned_of(tmp_path: Path):
    recipe = small.recipe(tmp_path, "workload.codec=topk3")
    trace = fly(recipe).trace
    with pytest.warns(InputWarning) as caught:
        check_work(recipe, trace)
    (warning,) = caught
    assert str(warning.message) == (
        "outer.momentum = 0.9: training may diverge with topk3, whose error feedback acts as momentum; take 0 to 0.5"
    )
    check_work(small.recipe(tmp_path, "workload.codec=topk3", "outer.momentum=0.5"), trace)
    check_work(small.recipe(tmp_path, "workload.codec=int4"), trace)


def test_the_estimate_counts_copies_of_the_state_and_the_disk(tmp_path: Path):
    recipe = small.recipe(tmp_path, "cluster.workers=2")
    trace = fly(recipe).trace
    cut, line = needs(recipe, trace).cut_bytes, estimate_line(recipe, trace)
    assert line.endswith(f", {4 * cut / 1e6:.0f} MB for copies of the state, {3 * cut / 1e6:.0f} MB of disk")
    longer = estimate_line(small.recipe(tmp_path, "cluster.keep_every_h=6"), trace)
    assert longer.endswith(f" MB of disk and {cut / 1e6:.0f} MB more every 6 h")
