"""Satellites that are trained by two workers each: two such pairs, through Ray."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orbital_train.cli.run_directory import RunDirectory
from orbital_train.cluster.group import Group, worker_group
from orbital_train.config.load import with_values
from orbital_train.config.tables.cluster import Cluster
from tests.integration.runs import Reference, StopAfterCheckpoint, StopFlag, checkpoints, plan_run, reference, train

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("frequent_polls")]

PAIRS = {"devices_per_node": 2}


@pytest.fixture(scope="module")
def pairs(ray_cluster: None) -> Iterator[Group]:
    with worker_group(Cluster(workers=4, device="cpu", **PAIRS)) as group:
        yield group


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """What comes of one device a node."""
    return reference(tmp_path_factory.mktemp("alone"), budget="schedule.budget_steps=600")


@pytest.fixture(params=["data_parallel", "fsdp2"])
def within(request: pytest.FixtureRequest) -> dict[str, Any]:
    return PAIRS | {"within_node": request.param}


@dataclass(kw_only=True)
class KillOnce(StopFlag):
    """Kills a worker once a run holds a checkpoint."""

    run: RunDirectory
    pid: int
    killed: bool = False

    def asked(self) -> bool:
        if not self.killed and self.run.checkpoints.exists() and checkpoints(self.run):
            self.killed = True
            os.kill(self.pid, signal.SIGKILL)
        return False


def rows(run: RunDirectory) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.metrics.read_text().splitlines()]


def test_two_devices_a_node(pairs: Group, alone: Reference, within: dict[str, Any], tmp_path: Path) -> None:
    """The losses of one device a node, within rounding; the same bits again, and after a stop or a lost worker."""
    recipe = with_values(alone.recipe, {f"cluster.{key}": value for key, value in within.items()})
    undisturbed = Reference(**{**vars(alone), "recipe": recipe})
    whole = plan_run(undisturbed, tmp_path / "whole")
    train(pairs, undisturbed, whole, **within)
    summary = json.loads(whole.summary.read_text())

    others = [json.loads(line) for line in alone.metrics.splitlines()]
    assert [row["event"] for row in rows(whole)] == [row["event"] for row in others]
    for row, other in zip(rows(whole), others, strict=True):
        numbers = [key for key, value in row.items() if isinstance(value, float)]
        assert {**row, **dict.fromkeys(numbers)} == {**other, **dict.fromkeys(numbers)}
        assert [row[key] for key in numbers] == pytest.approx([other[key] for key in numbers], rel=1e-4)
    assert summary["digest"] != alone.digest
    assert (summary["devices_per_node"], summary["within_node"]) == (2, within["within_node"])
    assert any(note.startswith("every satellite was trained by 2 devices") for note in summary["notes"])

    stopped = plan_run(undisturbed, tmp_path / "stopped")
    with pytest.raises(RuntimeError, match="stopped"):
        train(pairs, undisturbed, stopped, StopAfterCheckpoint(run=stopped), **within, checkpoint_every_s=0.5)
    names = {path.name for path in checkpoints(stopped)[-1].iterdir()}
    assert {"shared.safetensors", "shared-device-1.safetensors", "node-0005-device-1.safetensors"} < names
    train(pairs, undisturbed, stopped, **within)

    killed = plan_run(undisturbed, tmp_path / "killed")
    kill = KillOnce(run=killed, pid=pairs.pid(1))
    train(pairs, undisturbed, killed, kill, **within, copy_every_s=0.2, checkpoint_every_s=0.5)
    (recovery,) = json.loads(killed.summary.read_text())["recoveries"]
    assert recovery["replaced"] == [1]
    for run in (stopped, killed):
        assert json.loads(run.summary.read_text())["digest"] == summary["digest"]
        assert run.metrics.read_bytes() == whole.metrics.read_bytes()
        assert run.model.read_bytes() == whole.model.read_bytes()
