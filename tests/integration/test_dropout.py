"""Workers that are lost and that the others go on without: nothing is done twice, and the run can be repeated."""

import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from orbital_train.cli.planning import fly
from orbital_train.cli.run_directory import RunDirectory
from orbital_train.cli.training import Stopped
from orbital_train.cluster.group import Group
from orbital_train.config import build
from orbital_train.schedule.faults import FaultPlan
from orbital_train.train.run import run_local
from tests import small
from tests.integration.runs import Reference, plan_run, reference, train
from tests.integration.test_lost_workers import Disturb

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("frequent_polls", "short_patience"),
    pytest.mark.filterwarnings("ignore:schedule.budget_steps:orbital_train.errors.InputWarning"),
]  # what is lost


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return reference(tmp_path_factory.mktemp("dropout"), small.RECIPE + 'on_worker_loss = "dropout"\n')


def assert_repeats(planned: Reference, run: RunDirectory) -> dict:
    """One process with the recorded faults has the same digest, and the same metrics to the byte."""
    again = fly(planned.recipe, faults=FaultPlan.read(run.faults))
    result = run_local(again.trace, build.train_spec(planned.recipe))
    summary = json.loads(run.summary.read_text())
    assert summary["digest"] == result.digest
    rows = [json.dumps(row, separators=(",", ":")) for row in result.rows]
    assert run.metrics.read_text().splitlines() == rows
    return summary


@pytest.mark.parametrize("ranks", [(1,), (0,), (0, 2)])
def test_the_others_go_on(group: Group, planned: Reference, run_path: Path, ranks: tuple[int, ...]):
    group.fill()
    before = [group.pid(rank) for rank in range(3)]

    def kill():
        for rank in ranks:
            os.kill(group.pid(rank), signal.SIGKILL)

    run = plan_run(planned, run_path)
    train(group, planned, run, Disturb([10], kill), checkpoint_every_s=0.5)
    summary = assert_repeats(planned, run)
    (recovery,) = summary["recoveries"]
    assert (recovery["way"], recovery["replaced"]) == ("dropout", list(ranks))
    assert recovery["cut"] == recovery["position"]
    survivors = [pid for rank, pid in enumerate(before) if rank not in ranks]
    assert survivors == [group.pid(rank) for rank, seat in enumerate(group.seats) if seat not in ranks]
    assert len(summary["worker_losses"]) == 2 * len(ranks)


def test_nobody_is_left(group: Group, planned: Reference, run_path: Path):
    group.fill()

    def kill():
        for rank in range(len(group)):
            os.kill(group.pid(rank), signal.SIGKILL)

    run = plan_run(planned, run_path)
    train(group, planned, run, Disturb([15], kill), checkpoint_every_s=0.2)
    summary = assert_repeats(planned, run)
    assert summary["worker_losses"] == []
    assert "no worker is left" in run.log.read_text()


class KillThenStop(Disturb):
    """Ends the run in a checkpoint at the driver's n-th look after another one has been killed."""

    def __init__(self, polls: list[int], act: Callable[[], None], looks: int) -> None:
        super().__init__(polls, act)
        self._looks = looks

    def asked(self) -> bool:
        super().asked()
        if self._now >= self._looks:
            self.signal_number = signal.SIGINT
        return self.signal_number is not None


def test_a_run_is_resumed_while_nodes_are_out(group: Group, planned: Reference, run_path: Path):
    group.fill()
    run = plan_run(planned, run_path)
    with pytest.raises(Stopped):
        train(group, planned, run, KillThenStop([10], lambda: os.kill(group.pid(1), signal.SIGKILL), 12))
    assert [lost.end_us for lost in FaultPlan.read(run.faults).worker_losses] == [None, None]
    train(group, planned, run)
    summary = assert_repeats(planned, run)
    assert [lost["end_s"] is None for lost in summary["worker_losses"]] == [False, False]


def test_one_is_lost_after_another(group: Group, planned: Reference, run_path: Path):
    group.fill()
    draw = random.Random(0)
    run = plan_run(planned, run_path)
    act = lambda: os.kill(group.pid(draw.randrange(len(group))), signal.SIGKILL)  # noqa: E731
    train(group, planned, run, Disturb([5, 9, 30, 60], act), checkpoint_every_s=0.2)
    assert_repeats(planned, run)
