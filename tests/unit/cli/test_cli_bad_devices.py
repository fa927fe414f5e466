"""Nodes of several devices that will not do are told in one line, before any worker starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.command import unchanged


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["devices_per_node=2"], "cluster.workers = 1: must be a multiple of cluster.devices_per_node, 2"),
        (
            ["devices_per_node=2", "workers=14"],
            "cluster.workers = 14: must be from 2 to the number of training nodes, 6, times 2 devices",
        ),
        (
            ["devices_per_node=4", "workers=4"],
            "inner.batch_size = 2: must divide evenly among the 4 devices of a node (cluster.devices_per_node)",
        ),
        (
            ["devices_per_node=2", "workers=2", "inner.batch_size=6", "inner.micro_batches=2"],
            "inner.batch_size = 6: must divide evenly among the 2 devices of a node (cluster.devices_per_node) of "
            "2 micro-batches each",
        ),
        (
            ["devices_per_node=2", "workers=2", "within_node=fsdp2", "inner.optimizer=Muon"],
            "inner.optimizer = 'Muon': needs whole tensors, and with fsdp2 a device has rows of them; accepted: "
            "others, or cluster.within_node = data_parallel",
        ),
        (
            ["devices_per_node=128", "workers=128", "within_node=fsdp2", "inner.batch_size=128"],
            "cluster.devices_per_node = 128: leaves nothing of the model for the last device: its parameters have "
            "64 rows at most",
        ),
        (["within_node=fsdp"], "cluster.within_node = 'fsdp': must be 'data_parallel' or 'fsdp2'"),
    ],
    ids=["workers", "many_workers", "batch", "micro_batches", "optimizer", "rows", "name"],
)
def test_devices_that_will_not_do(tmp_path: Path, recipe: Path, overrides: list[str], told: str):
    keys = [key if "." in key.partition("=")[0] else f"cluster.{key}" for key in overrides]
    settings = [part for key in keys for part in ("--set", key)]
    line = unchanged(tmp_path, "train", recipe, *settings, "--out", tmp_path / "out")
    assert line == f"{recipe}: {told}"
