"""Codecs with error feedback on real workers: the same bits on any number of them, and after an interruption."""

from __future__ import annotations

from pathlib import Path

import pytest

from orbital_train.cli.training import Stopped
from orbital_train.schedule.ops.merging import Combine
from orbital_train.train.feedback import feedback
from orbital_train.train.liveness import kept_states
from tests import small
from tests.integration.conftest import Groups
from tests.integration.runs import Reference, StopAfterCheckpoint, assert_undisturbed, plan_run, reference, train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["int4", "topk3"])
def encoded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    text = small.RECIPE.replace('"bf16"', f'"{request.param}"')
    return reference(tmp_path_factory.mktemp(request.param), text)


def test_the_recipe_of_these_tests_has_residuals_and_sums_on_the_way(encoded: Reference) -> None:
    trace = encoded.flight.trace
    assert len(feedback(trace)) > 20
    assert any(trace.of_kind(Combine))
    assert not kept_states(trace)


def test_one_worker_and_two_give_the_same_bits(groups: Groups, encoded: Reference, tmp_path: Path) -> None:
    sent = {}
    for count in (1, 2):
        run = plan_run(encoded, tmp_path / str(count))
        train(groups(count), encoded, run)
        sent[count] = assert_undisturbed(encoded, run)["real_bytes"]
    assert sent[1] == 0 < sent[2]


def test_a_run_that_was_stopped_goes_on_with_its_residuals(groups: Groups, encoded: Reference, run_path: Path) -> None:
    run = plan_run(encoded, run_path)
    with pytest.raises(Stopped):
        train(groups(2), encoded, run, flag=StopAfterCheckpoint(run=run), checkpoint_every_s=0.05)
    train(groups(1), encoded, run)
    assert_undisturbed(encoded, run)
