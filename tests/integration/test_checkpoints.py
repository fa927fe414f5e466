"""Checkpoints of real runs: what is in them, what damages do, and disks that cannot be written."""

from __future__ import annotations

import itertools
import json
import resource
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from orbital_train.cli.run_directory import RunDirectory
from orbital_train.cli.training import Stopped
from orbital_train.cluster import watch
from orbital_train.cluster.failures import CannotWrite
from orbital_train.cluster.group import worker_group
from orbital_train.cluster.worker import Job, Worker
from orbital_train.config import build
from orbital_train.config.tables.cluster import Cluster
from orbital_train.errors import InputWarning
from orbital_train.schedule.ops.merging import Merge
from orbital_train.schedule.ops.nodes import Step
from orbital_train.schedule.trace import Trace
from orbital_train.train.checkpoint import Checkpoint, examine
from orbital_train.train.checkpoint_store import DiskStore
from tests import small
from tests.integration.conftest import Groups
from tests.integration.runs import (
    Reference,
    StopAfterCheckpoint,
    StopAtPoll,
    assert_undisturbed,
    checkpoints,
    plan_run,
    reference,
    train,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("frequent_polls")]


def saved(run: RunDirectory) -> list[Checkpoint]:
    """All checkpoints, which must be whole, the oldest first."""
    found = list(examine(DiskStore(run.checkpoints)))
    assert all(isinstance(each, Checkpoint) for each in found)
    return [each for each in found[::-1] if isinstance(each, Checkpoint)]


# -- a node that does not move ---

GONE_H, BACK_H = 0.6, 4.0
FAULTS = f"""
[[faults.outage]]
node = "p2s0"
start_h = {GONE_H}
[[faults.outage]]
node = "p4s0"
start_h = {GONE_H}
end_h = {BACK_H}
"""


@pytest.fixture(scope="module")
def losing(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """Node 2 is lost for ever, node 4 is out for a long time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)  # the steps that were lost are missing from the budget
        return reference(tmp_path_factory.mktemp("losing"), small.RECIPE + FAULTS)


def trains(trace: Trace, node: int, after: int, before: int) -> bool:
    """Whether a node takes a step between two cuts."""
    return any(isinstance(op, Step) and op.node == node for op in trace.ops[after:before])


def test_a_node_that_does_not_move_is_not_written_again(groups: Groups, losing: Reference, run_path: Path):
    run, trace = plan_run(losing, run_path), losing.flight.trace
    train(groups(2), losing, run, checkpoint_every_merges=1, keep_checkpoints=1000)
    assert_undisturbed(losing, run)
    written = saved(run)
    linked = {2: 0, 4: 0}
    for older, newer in itertools.pairwise(written):
        for node in linked:
            name = f"node-{node:04d}.safetensors"
            before, after = run.checkpoints / older.name / name, run.checkpoints / newer.name / name
            linked[node] += before.samefile(after)
            assert not (before.samefile(after) and trains(trace, node, older.manifest.cut, newer.manifest.cut))
    assert linked[2] >= 2, [each.manifest.cut for each in written]
    assert linked[4] >= 1
    assert_equal_to_a_full_save(losing, run, written[-1])


def assert_equal_to_a_full_save(losing: Reference, run: RunDirectory, checkpoint: Checkpoint) -> None:
    """Byte for byte: a worker alone comes to the same cut, and packs everything."""
    alone = Worker(0, 1)
    alone.prepare(Job(trace=run.trace, spec=build.train_spec(losing.recipe)))
    alone.open_until(checkpoint.manifest.cut, True)
    alone.run()
    alone.take(True)
    files = alone.packed({})
    assert files.keys() == checkpoint.manifest.files.keys()
    for name, content in files.items():
        assert np.array_equal(content, checkpoint.store.read(checkpoint.name, name)), name


# -- when they are taken ---


def test_checkpoints_follow_the_merges_of_the_trace(groups: Groups, undisturbed: Reference, run_path: Path):
    run = plan_run(undisturbed, run_path)
    train(groups(1), undisturbed, run, checkpoint_every_merges=3, checkpoint_every_s=1e6, keep_checkpoints=1000)
    assert_undisturbed(undisturbed, run)
    is_merge = np.array([isinstance(op, Merge) for op in undisturbed.flight.trace.ops])
    cuts = [0, *(each.manifest.cut for each in saved(run))]
    assert len(cuts) > 1
    assert all(is_merge[after:before].sum() >= 3 for after, before in itertools.pairwise(cuts))


# -- damages ---


def _truncate(newest: Path) -> None:
    file = newest / "shared.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _change(newest: Path) -> None:
    file = newest / "node-0003.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.unlink()  # it may be a link to the older one's
    file.write_bytes(content)


def _half(newest: Path) -> None:
    for file in sorted(newest.glob("node-*"))[3:]:
        file.unlink()


DAMAGES: dict[str, Callable[[Path], None]] = {
    "shared.safetensors was changed": _truncate,
    "node-0003.safetensors was changed": _change,
    "has no manifest.json": lambda newest: (newest / "manifest.json").unlink(),
    "node-0003.safetensors is missing": _half,
    "": shutil.rmtree,
}


@pytest.fixture(scope="module")
def stopped(groups: Groups, undisturbed: Reference, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run with two checkpoints."""
    run = plan_run(undisturbed, tmp_path_factory.mktemp("stopped") / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch, "POLL_S", 0.02)
        with pytest.raises(Stopped):
            train(groups(2), undisturbed, run, StopAfterCheckpoint(run=run, count=2), checkpoint_every_s=0.01)
    assert len(checkpoints(run)) == 2
    return run


@pytest.mark.parametrize("problem", DAMAGES)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    groups: Groups, undisturbed: Reference, stopped: RunDirectory, run_path: Path, problem: str
):
    shutil.copytree(stopped.path, run_path)
    run = RunDirectory(run_path)
    older, newest = checkpoints(run)
    DAMAGES[problem](newest)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", InputWarning)
        train(groups(1), undisturbed, run)
    lines = [str(warning.message) for warning in told if warning.category is InputWarning]
    assert lines == ([f"{newest} is not a whole checkpoint ({problem}) and is passed over"] if problem else [])
    cut = int(older.name.removeprefix("op-"))
    note = f"resumed at operation {cut}: wall time and real bytes are those since then"
    assert assert_undisturbed(undisturbed, run)["notes"] == [note]


def test_a_run_without_a_whole_checkpoint_says_that_it_starts_again(
    groups: Groups, undisturbed: Reference, stopped: RunDirectory, run_path: Path
):
    shutil.copytree(stopped.path, run_path)
    run = RunDirectory(run_path)
    shutil.rmtree(run.checkpoints)
    told = f"{run.checkpoints} holds no whole checkpoint: the run starts again from its beginning"
    with pytest.warns(InputWarning, match=told):
        train(groups(1), undisturbed, run)
    assert assert_undisturbed(undisturbed, run)["notes"] == []


# -- disks that cannot be written ---


def test_training_goes_on_where_checkpoints_cannot_be_written(groups: Groups, undisturbed: Reference, run_path: Path):
    """Something else is where their folder should be: an error also for root, who may write everywhere."""
    run = plan_run(undisturbed, run_path)
    run.checkpoints.write_text("a file")
    train(groups(2), undisturbed, run, checkpoint_every_s=0.1)
    assert_undisturbed(undisturbed, run)
    lines = {json.loads(line)["event"] for line in run.log.read_text().splitlines()}
    way_on = "no checkpoint had been taken yet, --resume starts anew"
    assert lines == {f"a checkpoint could not be written (Not a directory); training goes on, {way_on}"}


def test_the_last_good_checkpoint_stays_where_the_next_cannot_be_written(
    groups: Groups, undisturbed: Reference, run_path: Path
):
    run = plan_run(undisturbed, run_path)
    with pytest.raises(Stopped):
        train(groups(1), undisturbed, run, StopAtPoll(polls_left=5))
    (good,) = saved(run)
    for cut in range(good.manifest.cut + 1, len(undisturbed.flight.trace.ops) + 1):
        (run.checkpoints / f"op-{cut:09d}").write_text("a file is where the folder is to get its name")
    train(groups(1), undisturbed, run, checkpoint_every_s=0.1)
    assert_undisturbed(undisturbed, run)
    assert saved(run) == [good]
    assert f"--resume continues from operation {good.manifest.cut}" in run.log.read_text()


def test_a_run_that_cannot_write_its_metrics_stops_and_goes_on_later(
    groups: Groups, undisturbed: Reference, run_path: Path
):
    """Files of this process, which writes the metrics, may not become longer than half of them."""
    run = plan_run(undisturbed, run_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(undisturbed.metrics) // 2, limits[1]))
    try:
        with worker_group(Cluster(workers=1, device="cpu")) as group, pytest.raises(CannotWrite) as caught:
            train(group, undisturbed, run, checkpoint_every_s=0.1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(caught.value) == f"{run.metrics} cannot be written (File too large); --resume goes on once it can"
    assert not run.summary.exists()
    train(groups(1), undisturbed, run)
    assert assert_undisturbed(undisturbed, run)["notes"][0].startswith("resumed at operation ")
