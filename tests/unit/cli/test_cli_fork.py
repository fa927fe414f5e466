"""``train --fork``: a new run from a checkpoint of another one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orbital_train.cli.checkpoints import checkpoint_rule, last_checkpoint
from orbital_train.cli.fork import FORK_MAY_CHANGE, fork
from orbital_train.cli.planning import fly
from orbital_train.cli.run_directory import RunDirectory, check_directory
from orbital_train.cluster.worker import Job, Worker
from orbital_train.config import build
from orbital_train.errors import InputError
from orbital_train.train.checkpoint import Checkpoint, newest_whole
from orbital_train.train.checkpoint_store import DiskStore
from tests import small
from tests.unit.cli.command import refused
from tests.unit.cli.halfway import finish

SETTINGS = ("inner.lr=0.002", "outer.momentum=0.5", "seeds.data=7", "name=other")


def newest(run: RunDirectory) -> Checkpoint:
    found, _ = newest_whole(DiskStore(run.checkpoints))
    assert found is not None
    return found


def test_a_fork_without_changes_ends_as_the_run_itself(tmp_path: Path, home: Path, halfway: RunDirectory):
    fork(small.recipe(home), str(halfway.path), tmp_path / "new")
    new = RunDirectory(tmp_path / "new")
    assert newest(new).manifest.cut == 80
    assert finish(new, newest(new)) == finish(halfway, newest(halfway))


def test_a_fork_goes_on_with_other_settings_from_the_cut_on(tmp_path: Path, home: Path, halfway: RunDirectory):
    recipe, new = small.recipe(home, *SETTINGS), RunDirectory(tmp_path / "new")
    fork(recipe, f"{halfway.path}@40", new.path)
    check_directory(new.path, recipe, resume=True)
    saved = last_checkpoint(new, checkpoint_rule(recipe, new, new.read_trace()))
    assert saved is not None
    assert saved.manifest.cut == 40
    assert new.metrics.read_bytes() == halfway.metrics.read_bytes()[: saved.manifest.metrics_bytes]
    assert new.trace.read_bytes() == halfway.trace.read_bytes()
    changed = "inner.lr 0.004 -> 0.002, name 'small' -> 'other', outer.momentum 0.9 -> 0.5, seeds.data 0 -> 7"
    note = f"forked from {halfway.path} at operation 40, {changed}"
    assert json.loads(new.plan_summary.read_text())["notes"][-1] == note

    by_hand = Worker(0, 1)  # the old settings up to the cut, and then the new ones
    by_hand.prepare(Job(trace=halfway.trace, spec=build.train_spec(small.recipe(home))))
    by_hand.open_until(40, True)
    by_hand.run()
    by_hand.take(True)
    files = by_hand.packed({})
    by_hand.prepare(Job(trace=halfway.trace, spec=build.train_spec(recipe)))
    by_hand.restore(40, files, files)
    assert finish(new, saved) == by_hand.run().digest != finish(halfway, newest(halfway))


OTHERS: dict[str, Any] = {
    "cluster.address": '"127.0.0.1:1"',
    "cluster.checkpoint_url": '"memory://there"',
    "cluster.deterministic": "false",
    "cluster.device": '"auto"',
    "description": '"other"',
    "inner.dtype": '"bfloat16"',
    "inner.schedule": '"linear"',
    "name": '"other"',
    "outer.nesterov": "false",
}


def test_no_key_that_may_change_changes_the_trace(home: Path):
    """All of them at once."""
    changes = [f"{key}={OTHERS.get(key, '0.25')}" for key in FORK_MAY_CHANGE if not key.startswith(_INTEGERS)]
    changes += [f"{key}=3" for key in FORK_MAY_CHANGE if key.startswith(_INTEGERS)]
    changed, recipe = small.recipe(home, *changes), small.recipe(home)
    assert build.train_spec(changed) != build.train_spec(recipe)
    assert fly(changed).trace == fly(recipe).trace


_INTEGERS = (
    "cluster.workers",
    "cluster.threads_per_worker",
    "cluster.checkpoint_every_merges",
    "cluster.keep_checkpoints",
    "data.validation_batches",
    "inner.rewarm_steps",
    "seeds.data",
)


@pytest.mark.parametrize(
    ("override", "old"),
    [("schedule.budget_steps=900", "600"), ("model.width=32", "16"), ("inner.batch_size=4", "2")],
)
def test_what_would_change_the_trace_or_the_state_may_not_change(
    tmp_path: Path, home: Path, halfway: RunDirectory, override: str, old: str
):
    key, _, value = override.partition("=")
    line = refused("train", home / "small.toml", "--set", override, "--fork", halfway.path, "--out", tmp_path / "n")
    told = f"{key} = {value}: the run was made with {old}; in a fork only cluster.workers, "
    assert line.startswith(f"{home / 'small.toml'}: {told}")
    assert not (tmp_path / "n").exists()


def test_what_cannot_be_forked(tmp_path: Path, home: Path, halfway: RunDirectory):
    recipe, new = small.recipe(home), tmp_path / "new"

    def told(source: str) -> str:
        with pytest.raises(InputError) as caught:
            fork(recipe, source, new)
        return str(caught.value)

    wrong = "is not a run directory; give one that train wrote, or RUN_DIR@CUT"
    assert told(str(tmp_path)) == f"--fork = '{tmp_path}': {wrong}"
    missing = "holds no whole checkpoint at operation 41; there are 80, 40"
    assert told(f"{halfway.path}@41") == f"--fork = '{halfway.path}@41': {missing}"
    for path in halfway.checkpoints.iterdir():
        (path / "manifest.json").unlink()
    assert told(str(halfway.path)) == f"--fork = '{halfway.path}': holds no whole checkpoint; there are none"


def test_a_fork_is_not_a_resume(recipe: Path, tmp_path: Path):
    line = refused("train", recipe, "--fork", "run", "--resume", "--out", tmp_path / "out")
    assert line == f"{recipe}: --fork = 'run': starts a new run, and --resume continues one: leave one of them out"


def test_the_keys_that_may_change_are_documented():
    text = (Path(__file__).parents[3] / "docs" / "survival.md").read_text()
    assert [key for key in FORK_MAY_CHANGE if f"`{key}`" not in text] == []
