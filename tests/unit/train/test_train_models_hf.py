"""Models and data sets of Hugging Face, without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import AutoModelForCausalLM, Gemma3TextConfig, GPT2Config

from orbital_train.errors import InputError
from orbital_train.train.data.hf import hf as hf_data
from orbital_train.train.export import read_model, write_model
from orbital_train.train.models.hf import CausalLM, hf
from orbital_train.train.problem import build_problem
from orbital_train.train.run import run_local
from orbital_train.train.spec import Named, TrainSpec
from orbital_train.train.trial import try_out
from tests.unit.train.problems import tiny_spec
from tests.unit.train.traces import rounds_trace
from tests.unit.train.words import WORDS, write_tokenizer

ROWS = ["light fades and links close", "node sends and waits", "links open", "node waits and light fades"] * 60


@pytest.fixture
def gemma(tmp_path: Path) -> Path:
    """A tiny Gemma with random weights."""
    config = Gemma3TextConfig(
        vocab_size=24, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, max_position_embeddings=64,
    )  # fmt: skip
    torch.manual_seed(7)
    CausalLM(AutoModelForCausalLM.from_config(config)).save(tmp_path / "gemma")
    return tmp_path / "gemma"


@pytest.fixture
def rows(tmp_path: Path) -> dict[str, Any]:
    """A data set of texts, and what the function is called with."""
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict({"text": ROWS, "other": ROWS}).save_to_disk(tmp_path / "rows")
    tokenizer = write_tokenizer(tmp_path / "tokenizer.json")
    return {"folder": str(tmp_path / "rows"), "column": "text", "tokenizer": tokenizer, "end_token": "<eos>"}


def spec(gemma: Path, rows: dict[str, Any], weights: str = "pretrained") -> TrainSpec:
    model = Named(kind="hf", arguments={"folder": str(gemma), "weights": weights})
    split = {"context": 8, "validation_batches": 2}
    return tiny_spec(model=model, data=Named(kind="hf", arguments={**rows, **split}))


def test_weights_are_those_of_the_folder_or_random_ones(gemma: Path) -> None:
    x_BT = torch.arange(16).view(2, 8)
    theirs = AutoModelForCausalLM.from_pretrained(gemma)
    ours = hf(vocabulary_size=10, folder=str(gemma), weights="pretrained")
    assert torch.equal(ours.logits_BTV(x_BT), theirs(input_ids=x_BT).logits)
    assert ours(x_BT[:, :-1], x_BT[:, 1:]).item() == pytest.approx(theirs(input_ids=x_BT, labels=x_BT).loss.item())
    torch.manual_seed(7)
    same, other = (hf(vocabulary_size=10, folder=str(gemma), weights="random") for _ in range(2))
    assert torch.equal(same.logits_BTV(x_BT), ours.logits_BTV(x_BT))
    assert not torch.equal(other.logits_BTV(x_BT), ours.logits_BTV(x_BT))


def test_a_gemma_is_fine_tuned_and_transformers_loads_it(gemma: Path, rows: dict[str, Any], tmp_path: Path) -> None:
    """All of it is trained, and the folder that is written has the loss that was reported last."""
    trained = spec(gemma, rows)
    assert try_out(trained, timed=False).parameters == sum(
        t.numel() for t in load_file(gemma / "model.safetensors").values()
    )
    problem = build_problem(trained, (0, 1), "cpu")
    before = {name: p.clone() for name, p in problem.module.named_parameters()}
    result = run_local(rounds_trace((0, 1), rounds=4, steps=10), trained, problem)
    assert result.losses[-1] < result.losses[0] - 0.2
    assert all(not torch.equal(before[name], after) for name, after in result.parameters.items())
    for name, parameter in problem.module.named_parameters():
        parameter.data = result.parameters[name]  # views of one vector, as a worker leaves them
    out = tmp_path / "out"
    write_model(problem.module, out)
    assert {path.name for path in out.iterdir()} == {"config.json", "generation_config.json", "model.safetensors"}
    theirs = AutoModelForCausalLM.from_pretrained(out)
    whole = [torch.cat((x_BT, y_BT[:, -1:]), 1) for x_BT, y_BT in problem.validation]
    losses = [theirs(input_ids=tokens_BT, labels=tokens_BT).loss.item() for tokens_BT in whole]
    assert sum(losses) / len(losses) == pytest.approx(result.losses[-1], rel=1e-5)
    again = build_problem(trained, (0, 1), "cpu").module
    read_model(again, out)
    x_BT = problem.validation[0][0]
    assert torch.equal(again.logits_BTV(x_BT), problem.module.logits_BTV(x_BT))


def test_a_model_that_cannot_be_written_says_why(gemma: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "model.safetensors").mkdir(parents=True)
    with pytest.raises(OSError, match="Is a directory"):
        write_model(hf(vocabulary_size=10, folder=str(gemma), weights="pretrained"), tmp_path / "out")


def test_any_worker_of_a_group_writes_the_model(gemma: Path, tmp_path: Path) -> None:
    """``save_pretrained`` writes on rank 0 of a process group only, and that worker may be lost."""
    model = hf(vocabulary_size=10, folder=str(gemma), weights="pretrained")
    dist.init_process_group("fake", store=FakeStore(), rank=1, world_size=2)
    try:
        write_model(model, tmp_path / "out")
    finally:
        dist.destroy_process_group()
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    x_BT = torch.arange(16).view(2, 8)
    assert torch.equal(theirs(input_ids=x_BT).logits, model.logits_BTV(x_BT))


def test_the_same_bits_twice_and_dropout_is_off(tmp_path: Path, rows: dict[str, Any]) -> None:
    GPT2Config(vocab_size=24, n_embd=16, n_layer=1, n_head=2, n_positions=16).save_pretrained(tmp_path / "gpt2")
    trained = spec(tmp_path / "gpt2", rows, weights="random")
    trace = rounds_trace((0, 1), rounds=2, steps=3)
    torch.manual_seed(1)
    first = run_local(trace, trained)
    torch.manual_seed(2)
    assert run_local(trace, trained).digest == first.digest


def test_rows_follow_each_other_with_an_end(rows: dict[str, Any]) -> None:
    data = hf_data(**rows, nodes=(0,), batch_size=2, seed=0, context=8)
    tokens = [WORDS.index(word) for row in ROWS for word in (*row.split(), "<eos>")]
    assert data._at(torch.arange(len(tokens)).numpy()).tolist() == tokens
    assert data.vocabulary_size == len(WORDS)
    assert data.decode(data.encode("node waits")) == "node waits"
    endless = hf_data(**(rows | {"end_token": None}), nodes=(0,), batch_size=2, seed=0, context=8)
    assert endless._tokens == len(tokens) - len(ROWS)


def test_a_part_of_several(tmp_path: Path, rows: dict[str, Any]) -> None:
    parts = {"train": ROWS, "test": ROWS[:2]}
    folder = tmp_path / "parts"
    datasets.DatasetDict({k: datasets.Dataset.from_dict({"text": v}) for k, v in parts.items()}).save_to_disk(folder)
    arguments = rows | {"folder": str(folder), "nodes": (0,), "batch_size": 2, "seed": 0, "context": 8}
    assert hf_data(part="train", **arguments)._tokens > 900
    with pytest.raises(InputError) as caught:
        hf_data(part="dev", **arguments)
    assert str(caught.value) == "data.part = 'dev': must be one of train, test"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"column": "texts"}, "data.column = 'texts': must be one of text, other"),
        ({"end_token": "<end>"}, "data.end_token = '<end>': is no token of the tokenizer"),
        ({"folder": "none"}, "data.folder = 'none': must be a folder as save_to_disk writes it"),
        ({"folder": "/"}, "data.folder = '/': must be a folder as save_to_disk writes it"),
        ({"tokenizer": "none"}, "data.tokenizer = 'none': must be a tokenizer.json: "),
    ],
)
def test_data_that_will_not_do(rows: dict[str, Any], changes: dict[str, str], line: str) -> None:
    with pytest.raises(InputError) as caught:
        hf_data(**(rows | changes), nodes=(0,), batch_size=2, seed=0, context=8)
    assert str(caught.value).startswith(line)


def told(folder: Path, vocabulary_size: int = 10) -> str:
    with pytest.raises(InputError) as caught:
        hf(vocabulary_size=vocabulary_size, folder=str(folder), weights="pretrained")
    assert caught.value.key == "model.folder"
    return caught.value.problem


def test_models_that_will_not_do(gemma: Path, tmp_path: Path) -> None:
    assert told(tmp_path) == "has no config.json: it must be a folder as save_pretrained writes it"
    assert told(gemma, 25) == "knows 24 tokens, and the data have 25"
    tensors = load_file(gemma / "model.safetensors")
    save_file({k: t for k, t in tensors.items() if "q_proj" not in k}, gemma / "model.safetensors", {"format": "pt"})
    assert told(gemma) == "cannot be loaded: its weights lack model.layers.0.self_attn.q_proj.weight"
    (gemma / "model.safetensors").rename(gemma / "pytorch_model.bin")
    assert told(gemma).startswith("cannot be loaded: ")  # nothing but safetensors is read
    config = json.loads((gemma / "config.json").read_text())
    (gemma / "config.json").write_text(json.dumps(config | {"model_type": "mine", "auto_map": {"AutoConfig": "a.B"}}))
    assert told(gemma).startswith("cannot be loaded: ")  # no code that comes with a model is run
