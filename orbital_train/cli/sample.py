"""Text from the model of a finished run."""

from __future__ import annotations

from pathlib import Path

from orbital_train.cli.run_directory import RunDirectory
from orbital_train.cli.work import Imports
from orbital_train.config import build
from orbital_train.config.load import load_recipe
from orbital_train.errors import InputError
from orbital_train.train.export import read_model
from orbital_train.train.problem import build_data, build_model
from orbital_train.train.protocol import Speaking, Text
from orbital_train.train.sample import sample


def continue_text(path: Path, prompt: str, *, tokens: int, temperature: float, seed: int, imports: Imports = ()) -> str:
    """The prompt and what the final global model of a run makes of it.

    Raises:
        InputError: the run is not finished or not about text, or the prompt has characters that its data lack.
    """
    run = RunDirectory(path)
    if not run.summary.exists():
        raise InputError("RUN_DIR", str(path), "holds no finished run")
    if temperature < 0.0:
        raise InputError("--temperature", temperature, "must be 0 or more")
    if tokens < 1:
        raise InputError("--tokens", tokens, "must be 1 or more")
    spec = build.train_spec(load_recipe(run.recipe), imports)
    data = build_data(spec, (0,))
    model = build_model(spec, data)
    if not isinstance(data, Text) or not isinstance(model, Speaking):
        told = f"is not about text: {spec.model.kind} on {spec.data.kind} has no encode, decode or logits_BTV"
        raise InputError("RUN_DIR", str(path), told)
    read_model(model, path)
    model.eval()
    begin = _encoded(data, prompt)
    return data.decode(sample(model, begin, tokens=tokens, context=data.context, temperature=temperature, seed=seed))


def _encoded(data: Text, prompt: str) -> list[int]:
    try:
        tokens = data.encode(prompt)
    except ValueError as error:
        raise InputError("--prompt", prompt, str(error)) from None
    if not tokens:
        raise InputError("--prompt", prompt, "must be at least one token")
    return tokens
