"""Training and comparisons that will not do are told in one line, before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.command import unchanged


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            ["data.corpus=none.txt"],
            "data.corpus = '{folder}/none.txt': cannot be read (No such file or directory); give ",
        ),
        (["data.sha256=" + "0" * 64], "data.sha256 = '" + "0" * 64 + "': the text of {folder}/corpus.txt has SHA-256"),
        (["cluster.workers=7"], "cluster.workers = 7: must be from 1 to the number of training nodes, 6"),
        (["inner.batch_size=100000"], "inner.batch_size = 100000: a batch of sequences of 16 + 1 tokens is longer"),
        (["data.validation_fraction=0.0001"], "data.validation_fraction = 0.0001: holds out "),
        (
            ["model.width=16384", "model.layers=100"],
            "model = {'kind': 'gpt', 'layers': 100, 'heads': 2, 'width': 16384, 'context': 16}: needs about ",
        ),
        (
            ["cluster.on_worker_loss=dropout", "workload.codec=topk1"],
            "cluster.on_worker_loss = 'dropout': loses with a worker what topk1 left out of sums, which others need;",
        ),
        (
            ["cluster.on_worker_loss=dropout", "schedule.policy=gossip"],
            "cluster.on_worker_loss = 'dropout': is not for gossip, whose nodes or groups have models of their own;",
        ),
        (
            ["cluster.on_worker_loss=dropout", "cluster.devices_per_node=2"],
            "cluster.on_worker_loss = 'dropout': is for nodes of one device (cluster.devices_per_node);",
        ),
        (
            ["cluster.on_worker_loss=dropout", "faults.upsets.per_bit_hour=1e-12"],
            "cluster.on_worker_loss = 'dropout': is not for runs with flipped bits (faults.upsets, screening);",
        ),
        (
            ["cluster.devices_per_node=2", "cluster.workers=2", "faults.upsets.per_bit_hour=1e-12"],
            "cluster.devices_per_node = 2: must be 1 where bits are flipped or nodes look for flipped bits",
        ),
    ],
    ids=[
        *("corpus", "sha256", "workers", "batch", "validation", "memory"),
        *("dropout_sparse", "dropout_gossip", "dropout_devices", "dropout_upsets", "devices_upsets"),
    ],
)
@pytest.mark.parametrize("command", ["train", "compare"])
def test_training_that_will_not_do(tmp_path: Path, recipe: Path, command: str, overrides: list[str], told: str):
    settings = [part for override in overrides for part in ("--set", override)]
    line = unchanged(tmp_path, command, recipe, *settings, "--out", tmp_path / "out")
    assert line.startswith(f"{recipe}: {told.replace('{folder}', str(tmp_path))}")
    assert not (tmp_path / "out").exists()


def test_an_unknown_baseline(tmp_path: Path, recipe: Path):
    line = unchanged(tmp_path, "compare", recipe, "--against", "magic", "--out", tmp_path / "out")
    assert line.startswith(f"{recipe}: --against = 'magic': must be one of fully_connected, ideal_diloco, ")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "no such file"),
        ("{", "is not JSON: "),
        ('[{"arm": 1}]', "must be a list of tables"),
        ("3", "must be a list"),
    ],
)
def test_a_tuning_grid_that_will_not_do(tmp_path: Path, recipe: Path, content: str | None, told: str):
    if content is not None:
        (tmp_path / "grid.json").write_text(content, encoding="utf-8")
    line = unchanged(tmp_path, "compare", recipe, "--set", "compare.tuning=grid.json", "--out", tmp_path / "out")
    assert line.startswith(f"{recipe}: compare.tuning = '{tmp_path / 'grid.json'}': {told}")
