"""Optimizers, micro-batches and merging that will not do are told in one line, before any worker starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.command import unchanged


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            ["inner.optimizer=Adamw"],
            "inner.optimizer = 'Adamw': must be one of ASGD, Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Muon, "
            "NAdam, RAdam, RMSprop, Rprop, SGD",
        ),
        (
            ["inner.optimizer=SGD", "inner.arguments.momentun=0.9"],
            "inner.arguments.momentun = 0.9: SGD has no such argument; "
            "it has momentum, dampening, weight_decay, nesterov",
        ),
        (
            ["inner.optimizer=Muon", "inner.arguments={ns_steps=100}"],
            "inner.arguments = {'ns_steps': 100}: Muon does not take this: Number of steps must be ",
        ),
        (["inner.micro_batches=3"], "inner.micro_batches = 3: must divide the batch of 2 evenly"),
        (
            ["outer.merging=median"],
            "outer.merging = 'median': needs every contribution by itself, and link_aware adds them up on their way; "
            "accepted: mean, or another policy",
        ),
        (["outer.merging=mode"], "outer.merging = 'mode': must be 'mean', 'trimmed_mean' or 'median'"),
        (["outer.optimizer=Nesterov"], "outer.optimizer = 'Nesterov': must be 'sgd' or 'adamw'"),
        (["outer.delay_merges=0"], "outer.delay_merges = 0: must be greater than or equal to 1"),
        (["outer.trim_fraction=0.5"], "outer.trim_fraction = 0.5: must be less than 0.5"),
        (["inner.schedule=steps"], "inner.schedule = 'steps': must be 'cosine', 'linear', 'wsd' or 'constant'"),
    ],
    ids=lambda value: value[-1].partition("=")[0] if isinstance(value, list) else "",
)
def test_training_that_will_not_do(tmp_path: Path, recipe: Path, overrides: list[str], told: str):
    settings = [part for override in overrides for part in ("--set", override)]
    line = unchanged(tmp_path, "train", recipe, *settings, "--out", tmp_path / "out")
    assert line.startswith(f"{recipe}: {told}")
    assert not (tmp_path / "out").exists()
