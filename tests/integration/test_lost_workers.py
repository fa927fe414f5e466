"""Workers that are killed, stopped, or lost together: replaced, and not a bit of the result changes."""

import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from orbital_train.cli.run_directory import RunDirectory
from orbital_train.cluster.driver import write_model
from orbital_train.cluster.group import Group
from tests.integration.runs import Reference, StopFlag, assert_undisturbed, plan_run, train

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("frequent_polls", "short_patience")]


class Disturb(StopFlag):
    """Does something at the driver's n-th look at the workers, again and again."""

    def __init__(self, polls: list[int], act: Callable[[], None]) -> None:
        super().__init__()
        self._polls, self._act, self._now = polls, act, 0

    def asked(self) -> bool:
        self._now += 1
        if self._polls and self._now >= self._polls[0]:
            self._polls.pop(0)
            self._act()
        return False


def disturbed(group: Group, undisturbed: Reference, path: Path, polls: list[int], act: Callable[[], None]):
    run = plan_run(undisturbed, path)
    train(group, undisturbed, run, Disturb(polls, act), copy_every_s=0.2, checkpoint_every_s=0.5)
    return assert_undisturbed(undisturbed, run)


@pytest.mark.parametrize("ranks", [(1,), (0,), (0, 2), (0, 1, 2)])
def test_killed_workers_are_replaced(group: Group, undisturbed: Reference, run_path: Path, ranks: tuple[int, ...]):
    before = [group.pid(rank) for rank in range(3)]

    def kill():
        for rank in ranks:
            os.kill(group.pid(rank), signal.SIGKILL)

    (recovery,) = disturbed(group, undisturbed, run_path, [10], kill)["recoveries"]
    assert recovery["replaced"] == list(ranks)
    assert recovery["cut"] <= recovery["position"]
    assert [rank for rank in range(3) if group.pid(rank) != before[rank]] == list(ranks)
    (line,) = RunDirectory(run_path).log.read_text().splitlines()
    assert f"worker {ranks[0]} (process {before[ranks[0]]} on " in json.loads(line)["event"]


def test_the_model_is_written_by_another_worker_where_the_first_is_lost(
    group: Group, undisturbed: Reference, run_path: Path, tmp_path: Path
):
    run = plan_run(undisturbed, run_path)
    train(group, undisturbed, run)
    os.kill(group.pid(0), signal.SIGKILL)
    write_model(group, tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == (run_path / "model.safetensors").read_bytes()


def test_a_stopped_worker_is_given_up_and_never_comes_back(group: Group, undisturbed: Reference, run_path: Path):
    stopped = psutil.Process(group.pid(1))
    summary = disturbed(group, undisturbed, run_path, [10], stopped.suspend)
    assert [recovery["replaced"] for recovery in summary["recoveries"]] == [[1]]
    assert not stopped.is_running() or stopped.status() == psutil.STATUS_ZOMBIE


def test_five_kills_one_after_another(group: Group, undisturbed: Reference, run_path: Path):
    draw = random.Random(0)
    summary = disturbed(
        group, undisturbed, run_path, [5, 15, 20, 30, 40], lambda: os.kill(group.pid(draw.randrange(3)), signal.SIGKILL)
    )
    assert len(summary["recoveries"]) >= 2
