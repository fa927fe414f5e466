"""The final model in files: a plain torch script reads it and has the same loss."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

from orbital_train.train.export import read_model, write_model
from orbital_train.train.models.cnn import cnn
from orbital_train.train.models.gpt import gpt

PLAIN_TORCH = """
import sys, torch
from safetensors.torch import load_file
from orbital_train.train.models.gpt import GPT

model = GPT(vocabulary_size=30, layers=2, heads=2, width=16, context=12)
model.load_state_dict(load_file(sys.argv[1]))
x = torch.arange(24).view(2, 12)
print(model(x, x + 1).item())
"""


def test_a_plain_torch_script_reads_it(tmp_path: Path) -> None:
    model = gpt(vocabulary_size=30, layers=2, heads=2, width=16, context=12)
    x_BT = torch.arange(24).view(2, 12)
    write_model(model, tmp_path)
    command = [sys.executable, "-c", PLAIN_TORCH, tmp_path / "model.safetensors"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert float(printed) == model(x_BT, x_BT + 1).item()


def test_buffers_are_in_it(tmp_path: Path) -> None:
    model = cnn(example_shape=(1, 8, 8), classes=10, channels=[4])
    model(torch.rand(6, 1, 8, 8), torch.arange(6))
    write_model(model, tmp_path)
    other = cnn(example_shape=(1, 8, 8), classes=10, channels=[4])
    read_model(other, tmp_path)
    assert all(torch.equal(other.state_dict()[name], tensor) for name, tensor in model.state_dict().items())
    assert int(other.layers[1].num_batches_tracked) == 1


def test_shared_parameters_and_views_of_one_vector(tmp_path: Path) -> None:
    vector = torch.arange(8.0)
    model = nn.ModuleDict({"a": nn.Linear(2, 2, bias=False), "b": nn.Linear(2, 2, bias=False)})
    model["a"].weight.data, model["b"].weight.data = vector[:4].view(2, 2), vector[4:].view(2, 2)
    model["c"] = model["a"]
    write_model(model, tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
        assert set(file.keys()) == {"a.weight", "b.weight", "c.weight"}
        assert file.get_tensor("c.weight").tolist() == [[0, 1], [2, 3]]
        assert file.get_tensor("b.weight").tolist() == [[4, 5], [6, 7]]


class Folder(nn.Linear):
    """Keeps itself its own way."""

    def save(self, folder: Path) -> None:
        (folder / "line.json").write_text(json.dumps(self.weight.tolist()))

    def load(self, folder: Path) -> None:
        self.weight.data = torch.tensor(json.loads((folder / "line.json").read_text()))


def test_a_model_may_have_files_of_its_own(tmp_path: Path) -> None:
    model, other = Folder(2, 1), Folder(2, 1)
    write_model(model, tmp_path)
    read_model(other, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["line.json"]
    assert torch.equal(other.weight, model.weight)
