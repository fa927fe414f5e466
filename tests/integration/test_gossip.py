"""Gossip on real workers: the same bits on any number of them, and after an interruption."""

import json
from pathlib import Path

import pytest

from orbital_train.schedule.ops.merging import Mix
from tests import small
from tests.integration.conftest import Groups
from tests.integration.runs import Reference, assert_goes_on, assert_runs, reference

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("frequent_polls")]


@pytest.fixture(scope="module")
def gossip(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The small recipe in gossip, and what comes of it in one process without Ray."""
    text = small.RECIPE.replace('policy = "link_aware"', 'policy = "gossip"')
    return reference(tmp_path_factory.mktemp("gossip"), text + "[outer]\nmomentum = 0.5\n")


@pytest.mark.parametrize("count", [1, 4])
def test_any_number_of_workers_gives_the_same_bits(groups: Groups, gossip: Reference, run_path: Path, count: int):
    assert any(gossip.flight.trace.of_kind(Mix))
    run = assert_runs(groups(count), gossip, run_path)
    rows = [row for row in map(json.loads, run.metrics.read_text().splitlines()) if row["event"] == "evaluate"]
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert rows[0]["spread"] < 1e-6  # all begin as one; six of a sixth are rounded
    assert rows[-1]["spread"] > 0.0


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(groups: Groups, gossip: Reference, run_path: Path):
    assert_goes_on(groups(4), groups(2), gossip, run_path)
