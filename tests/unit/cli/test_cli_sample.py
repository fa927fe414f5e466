"""The end of a run, without Ray: its model in files, and text that it makes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3TextConfig

from orbital_train.cli.planning import fly
from orbital_train.cli.run_directory import RunDirectory, open_run
from orbital_train.cluster.worker import Job, Worker
from orbital_train.config.build import train_spec
from orbital_train.config.recipe import Recipe
from orbital_train.train.export import read_model
from orbital_train.train.problem import build_problem
from tests import small
from tests.unit.cli.command import refused, run
from tests.unit.train import own
from tests.unit.train.words import write_tokenizer

ROUNDS = ("schedule.policy=fixed_period", "schedule.budget_steps=120")
TEXT_MODELS = ['{kind="gpt", layers=1, heads=2, width=16, context=16}', '{kind="llama", layers=1, width=16}']


def finished(folder: Path, *overrides: str, imports: tuple[str, ...] = ()) -> tuple[RunDirectory, Recipe, float]:
    """A run as its worker leaves it, and its last loss."""
    recipe = small.recipe(folder, *ROUNDS, *overrides)
    with open_run(folder / "run", recipe, resume=False) as directory:
        directory.write_plan(recipe, fly(recipe))
    worker = Worker(0, 1)
    worker.prepare(Job(trace=directory.trace, spec=train_spec(recipe, imports)))
    worker.run()
    worker.write_model(directory.path)
    directory.summary.write_text(json.dumps({}))
    return directory, recipe, [row["loss"] for row in worker.poll().rows if row["event"] == "evaluate"][-1]


@pytest.mark.parametrize("model", TEXT_MODELS, ids=["gpt", "llama"])
def test_the_model_of_a_run_has_its_last_loss_and_continues_texts(tmp_path: Path, model: str):
    directory, recipe, loss = finished(tmp_path, f"model={model}")
    problem = build_problem(train_spec(recipe), (0,), "cpu")
    read_model(problem.module, directory.path)
    with torch.no_grad():
        losses = [problem.module(*batch).item() for batch in problem.validation]
    assert sum(losses) / len(losses) == pytest.approx(loss, rel=1e-6)
    command = ("sample", directory.path, "--prompt", "light ", "--tokens", "40")
    first, again, other = (run(*command, *more).stdout for more in ((), ("--seed", "0"), ("--seed", "1")))
    assert first == again != other
    assert len(first) == len("light ") + 40 + 1
    assert first.startswith("light ")
    assert set(first) <= set(small.CORPUS)


def test_a_gemma_on_shards_continues_words(tmp_path: Path):
    """The folder of a run is one that ``transformers`` loads: 256 parameters of embeddings, 768 of attention, 1,536 of
    the gated layer, 96 of norms."""
    config = Gemma3TextConfig(
        vocab_size=16, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    config.save_pretrained(tmp_path / "gemma")
    write_tokenizer(tmp_path / "tokenizer.json")
    (np.arange(3000) % 9 + 1).astype(np.uint16).tofile(tmp_path / "words.bin")
    model = 'model={kind="hf", folder="gemma", weights="random"}'
    data = 'data={kind="shards", path="words.bin", tokenizer="tokenizer.json", context=8, validation_batches=2}'
    directory, recipe, loss = finished(tmp_path, model, data)
    assert AutoModelForCausalLM.from_pretrained(directory.path).num_parameters() == 2656
    problem = build_problem(train_spec(recipe), (0,), "cpu")
    read_model(problem.module, directory.path)
    with torch.no_grad():
        losses = [problem.module(*batch).item() for batch in problem.validation]
    assert sum(losses) / len(losses) == pytest.approx(loss, rel=1e-6)
    said = run("sample", directory.path, "--prompt", "light fades", "--tokens", "3", "--temperature", "0")
    assert said.stdout == "light fades links open close\n"


def test_samples_that_cannot_be(tmp_path: Path):
    path = str(tmp_path / "run")
    assert refused("sample", path, "--prompt", "a") == f"RUN_DIR = '{path}': holds no finished run"
    finished(tmp_path)
    assert refused("sample", path, "--prompt", "Öl") == "--prompt = 'Öl': the corpus has no character 'Ö'"
    assert refused("sample", path, "--prompt", "") == "--prompt = '': must be at least one token"
    told = "--temperature = -1.0: must be 0 or more"
    assert refused("sample", path, "--prompt", "a", "--temperature", "-1") == told
    assert refused("sample", path, "--prompt", "a", "--tokens", "0") == "--tokens = 0: must be 1 or more"


def test_images_are_not_continued(tmp_path: Path):
    finished(tmp_path, 'model={kind="mlp"}', 'data={kind="digits"}')
    told = f"RUN_DIR = '{tmp_path / 'run'}': is not about text: mlp on digits has no encode, decode or logits_BTV"
    assert refused("sample", tmp_path / "run", "--prompt", "a") == told


def test_a_run_of_ones_own_code_needs_it_again(tmp_path: Path):
    name = own.__name__
    overrides = (f'model={{kind="{name}:Line"}}', f'data={{kind="{name}:Points"}}')
    directory, _, loss = finished(tmp_path, *overrides, imports=(name,))
    assert loss < 1.0
    told = f"data.kind = '{name}:Points': a recipe alone runs no code: allow this module with --import {name}"
    assert refused("sample", directory.path, "--prompt", "a") == told
    assert "is not about text" in refused("sample", directory.path, "--prompt", "a", "--import", name)
