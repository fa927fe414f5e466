"""What the integration tests share: one recipe, its undisturbed result, and runs in this process."""

from __future__ import annotations

import io
import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orbital_train.cli.planning import Flight, fly
from orbital_train.cli.run_directory import RunDirectory, open_run
from orbital_train.cli.training import StopFlag, Stopped, train_on
from orbital_train.cluster.group import Group
from orbital_train.config import build
from orbital_train.config.load import load_recipe, with_values
from orbital_train.config.recipe import Recipe
from orbital_train.train.run import run_local
from tests import small

BUDGET = "schedule.budget_steps=2400"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The recipe, its plan, and the result that every run of it must have."""

    path: Path
    recipe: Recipe
    flight: Flight
    digest: str
    metrics: bytes


def reference(folder: Path, text: str = small.RECIPE, budget: str = BUDGET) -> Reference:
    recipe = load_recipe(small.write_recipe(folder, text), (budget,))
    flight = fly(recipe)
    result = run_local(flight.trace, build.train_spec(recipe))
    metrics = b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in result.rows)
    return Reference(path=folder / "small.toml", recipe=recipe, flight=flight, digest=result.digest, metrics=metrics)


@dataclass
class StopAtPoll(StopFlag):
    """As if a signal came before the driver's n-th look at the workers."""

    polls_left: int = 1

    def asked(self) -> bool:
        self.polls_left -= 1
        if self.polls_left <= 0:
            self.signal_number = signal.SIGINT
        return super().asked()


@dataclass(kw_only=True)
class StopAfterCheckpoint(StopFlag):
    """As if a signal came once a run holds so many whole checkpoints."""

    run: RunDirectory
    count: int = 1

    def asked(self) -> bool:
        if len(list(self.run.checkpoints.glob("op-*"))) >= self.count:
            self.signal_number = signal.SIGINT
        return super().asked()


def plan_run(undisturbed: Reference, path: Path) -> RunDirectory:
    with open_run(path, undisturbed.recipe, resume=False) as run:
        run.write_plan(undisturbed.recipe, undisturbed.flight)
    return run


def train(workers: Group, undisturbed: Reference, run: RunDirectory, flag: StopFlag | None = None, **cluster: Any):
    recipe = with_values(undisturbed.recipe, {f"cluster.{key}": value for key, value in cluster.items()})
    recipe = with_values(recipe, {"cluster.workers": len(workers)})
    console = Console(file=io.StringIO())
    with open_run(run.path, recipe, resume=True):
        train_on(workers, recipe, run, arm="link_aware", flag=flag or StopFlag(), console=console)


def assert_undisturbed(undisturbed: Reference, run: RunDirectory) -> dict[str, Any]:
    """The run has the very result of the reference; returns its summary."""
    summary = json.loads(run.summary.read_text())
    assert summary["digest"] == undisturbed.digest
    assert run.metrics.read_bytes() == undisturbed.metrics
    return summary


def assert_runs(workers: Group, undisturbed: Reference, path: Path) -> RunDirectory:
    """A run on these workers has the very result of the reference; several of them send each other something."""
    run = plan_run(undisturbed, path)
    train(workers, undisturbed, run)
    assert (assert_undisturbed(undisturbed, run)["real_bytes"] > 0) == (len(workers) > 1)
    return run


def assert_goes_on(before: Group, after: Group, undisturbed: Reference, path: Path) -> None:
    """A run that was stopped goes on, on other workers, as if it had not been."""
    run = plan_run(undisturbed, path)
    with pytest.raises(Stopped, match="holds a checkpoint, --resume continues"):
        train(before, undisturbed, run, StopAtPoll(polls_left=3))
    train(after, undisturbed, run)
    assert assert_undisturbed(undisturbed, run)["notes"][-1].startswith("resumed at operation ")


def checkpoints(run: RunDirectory) -> list[Path]:
    return sorted(run.checkpoints.iterdir())
