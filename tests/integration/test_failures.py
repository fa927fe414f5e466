"""A run in which satellites fail, on real workers."""

import json
import warnings
from pathlib import Path

import pytest

from orbital_train.cli.training import Stopped
from orbital_train.errors import InputWarning
from orbital_train.report.build import build_report
from orbital_train.schedule.ops.nodes import Restore
from orbital_train.train.liveness import goes_back
from tests import small
from tests.integration.conftest import Groups
from tests.integration.runs import (
    Reference,
    StopAfterCheckpoint,
    assert_undisturbed,
    checkpoints,
    plan_run,
    reference,
    train,
)

pytestmark = pytest.mark.slow

FAULTS = """
[[faults.outage]]
node = "p2s0"
start_h = 0.45
end_h = 0.7
[[faults.outage]]
node = "p4s0"
start_h = 1.5
end_h = 1.8
loses_state = true
"""


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """Two outages; the second node is sent the model by another."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)  # the steps that were lost are missing from the budget
        return reference(tmp_path_factory.mktemp("failing"), small.RECIPE + FAULTS)


@pytest.mark.parametrize("count", [1, 2])
def test_failures_change_no_bit_with_the_number_of_workers(
    groups: Groups, failing: Reference, run_path: Path, count: int
):
    own, other = failing.flight.trace.of_kind(Restore)
    assert goes_back(own)
    assert other.source != other.node
    run = plan_run(failing, run_path)
    train(groups(count), failing, run)
    assert_undisturbed(failing, run)
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    failed = [(row["event"], row["node"]) for row in rows if row["event"] in ("lose", "restore")]
    assert failed == [("lose", 2), ("restore", 2), ("lose", 4), ("restore", 4)]
    assert "% and waited for" in build_report([run.path], run.path / "report.html").read_text(encoding="utf-8")


def test_a_run_with_failures_is_stopped_and_resumed(groups: Groups, failing: Reference, run_path: Path):
    run = plan_run(failing, run_path)
    with pytest.raises(Stopped):
        train(groups(2), failing, run, StopAfterCheckpoint(run=run), checkpoint_every_s=0.05)
    assert checkpoints(run)
    train(groups(1), failing, run)
    assert_undisturbed(failing, run)
