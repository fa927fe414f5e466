"""Gossip on real workers: the same bits on any number of them, and after an interruption."""

import json
from pathlib import Path

import pytest

from orbital_train.cli.training import Stopped
from orbital_train.cluster import watch
from orbital_train.schedule.ops.merging import Mix
from tests import small
from tests.integration.conftest import Groups
from tests.integration.runs import Reference, StopAtPoll, assert_undisturbed, plan_run, reference, train

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _frequent_polls(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(watch, "POLL_S", 0.02)


@pytest.fixture(scope="module")
def gossip(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The small recipe in gossip, and what comes of it in one process without Ray."""
    text = small.RECIPE.replace('policy = "link_aware"', 'policy = "gossip"')
    return reference(tmp_path_factory.mktemp("gossip"), text + "[outer]\nmomentum = 0.5\n")


@pytest.mark.parametrize("count", [1, 4])
def test_any_number_of_workers_gives_the_same_bits(groups: Groups, gossip: Reference, run_path: Path, count: int):
    assert any(gossip.flight.trace.of_kind(Mix))
    run = plan_run(gossip, run_path)
    train(groups(count), gossip, run)
    summary = assert_undisturbed(gossip, run)
    assert (summary["real_bytes"] > 0) == (count > 1)
    rows = [row for row in map(json.loads, run.metrics.read_text().splitlines()) if row["event"] == "evaluate"]
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert rows[0]["spread"] < 1e-6  # all begin as one; six of a sixth are rounded
    assert rows[-1]["spread"] > 0.0


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(groups: Groups, gossip: Reference, run_path: Path):
    run = plan_run(gossip, run_path)
    with pytest.raises(Stopped, match="holds a checkpoint, --resume continues"):
        train(groups(4), gossip, run, StopAtPoll(polls_left=3))
    train(groups(2), gossip, run)
    summary = assert_undisturbed(gossip, run)
    assert summary["notes"][-1].startswith("resumed at operation ")
