"""A worker is lost, and the copies in memory with it: the run goes on from the disk, once that can be read."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace

import pytest
import ray
from ray import ObjectRef

from orbital_train.cli.checkpoints import checkpoint_rule
from orbital_train.cli.run_directory import RunDirectory
from orbital_train.cluster.driver import Driver, RunResult
from orbital_train.cluster.failures import WorkerLost
from orbital_train.cluster.group import Group
from orbital_train.cluster.metrics_log import MetricsLog
from orbital_train.cluster.worker import Job
from orbital_train.config import build
from orbital_train.config.load import with_values
from orbital_train.train.checkpoint_store import DiskStore
from tests.integration.conftest import Groups
from tests.integration.runs import Reference, plan_run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("frequent_polls")]


@dataclass(frozen=True)
class Unsteady(DiskStore):
    """Out of reach for as many attempts to list it as are left."""

    left: list[int] = field(default_factory=lambda: [0])

    def names(self) -> list[str]:
        if self.left[0]:
            self.left[0] -= 1
            raise OSError(errno.EIO, "the store is out of reach")
        return super().names()


@ray.remote(num_cpus=0)
class Owner:
    """What it puts into the object store is lost with it."""

    def put(self) -> list[ObjectRef]:
        return [ray.put({})]


def lost_object() -> ObjectRef:
    owner = Owner.remote()
    (ref,) = ray.get(owner.put.remote())
    ray.kill(owner)
    return ref


def lose_all(group: Group, undisturbed: Reference, run: RunDirectory, attempts: int, tell: Callable[[str], None]):
    """Train; once there is a checkpoint a worker is lost, the copies in memory too, and the store for some attempts."""
    recipe = with_values(undisturbed.recipe, {"cluster.checkpoint_every_s": 0.2, "cluster.copy_every_s": 0.1})
    store = Unsteady(run.checkpoints.resolve())
    rule = replace(checkpoint_rule(recipe, run, undisturbed.flight.trace), store=store)
    lost: list[int] = []

    def disturb() -> bool:
        if not lost and any(run.checkpoints.glob("op-*")):
            lost.append(group.pid(0))
            store.left[0] = attempts
            copy = driven._cuts._last
            assert copy is not None
            copy.parts[:] = [lost_object()] * len(copy.parts)
            os.kill(group.pid(0), signal.SIGKILL)
        return False

    with closing(MetricsLog(run.metrics)) as metrics:
        driven = Driver(
            group=group,
            job=Job(trace=run.trace, spec=build.train_spec(recipe)),
            metrics=metrics,
            rule=rule,
            book=None,
            stop_asked=disturb,
            show=lambda progress: None,
            tell=tell,
        )
        return driven.run()


@pytest.mark.parametrize("attempts", [0, 3])
def test_the_run_goes_on_from_the_disk(groups: Groups, undisturbed: Reference, run_path, attempts: int):
    run, told = plan_run(undisturbed, run_path), []
    result: RunResult = lose_all(groups(2), undisturbed, run, attempts, told.append)
    assert (result.finished, result.digest) == (True, undisturbed.digest)
    assert run.metrics.read_bytes() == undisturbed.metrics
    (line,) = (line for line in told if "copies in memory" in line)
    assert line.startswith("the copies in memory are lost too; going on from the checkpoint at operation ")


def test_a_store_that_stays_out_of_reach_ends_the_run_in_one_line(groups: Groups, undisturbed: Reference, run_path):
    run = plan_run(undisturbed, run_path)
    with pytest.raises(WorkerLost) as caught:
        lose_all(groups(2), undisturbed, run, 1000, print)
    told = f"{run.checkpoints.resolve()} cannot be read (the store is out of reach); 10 times in a row without getting"
    assert str(caught.value).startswith(told)
    assert "; --resume continues from operation " in str(caught.value)
