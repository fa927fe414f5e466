"""What a finished run has trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from orbital_train.cli.run_directory import RunDirectory
from orbital_train.cli.work import Imports
from orbital_train.config import build
from orbital_train.config.load import load_recipe
from orbital_train.errors import InputError
from orbital_train.train.export import read_model
from orbital_train.train.problem import build_data, build_model
from orbital_train.train.protocol import Data
from orbital_train.train.spec import TrainSpec


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The final global model, on the CPU and in evaluation mode, and the data of one node."""

    spec: TrainSpec
    data: Data
    module: nn.Module


def read_trained(path: Path, imports: Imports = ()) -> Trained:
    """Build the data and the model of a run directory's recipe, and read the model's final tensors.

    Raises:
        InputError: the run is not finished, or its recipe's model or data cannot be built.
    """
    run = RunDirectory(path)
    if not run.summary.exists():
        raise InputError("RUN_DIR", str(path), "holds no finished run")
    spec = build.train_spec(load_recipe(run.recipe), imports)
    data = build_data(spec, (0,))
    module = build_model(spec, data)
    read_model(module, path)
    return Trained(spec=spec, data=data, module=module.eval())
