"""Groups on real workers: the same bits on any number of them, and after an interruption, with a lossy codec."""

from pathlib import Path

import pytest

from orbital_train.schedule.ops.merging import Combine, GroupSnapshot, Merge, Rebase
from orbital_train.train.feedback import feedback
from tests import small
from tests.integration.conftest import Groups
from tests.integration.runs import Reference, assert_goes_on, assert_runs, reference

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("frequent_polls")]


@pytest.fixture(scope="module")
def hierarchical(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The small recipe's satellites in three planes: two groups, which a site on the ground joins; and what comes of
    it without Ray."""
    site = '[[ground_sites]]\nname = "hill"\nlatitude_deg = 45.0\nlongitude_deg = 120.0\n'
    text = f"{small.RECIPE}{site}[outer]\nmomentum = 0.5\n"
    for old, new in (
        ('policy = "link_aware"', 'policy = "hierarchical"\nbetween_steps = 20'),
        ("planes = 6\nphasing = 5", "planes = 3\nphasing = 1"),
        ('codec = "bf16"', 'codec = "int8"'),
    ):
        assert old in text
        text = text.replace(old, new)
    return reference(tmp_path_factory.mktemp("hierarchical"), text)


@pytest.mark.parametrize("count", [1, 2])
def test_any_number_of_workers_gives_the_same_bits(
    groups: Groups, hierarchical: Reference, run_path: Path, count: int
) -> None:
    trace = hierarchical.flight.trace
    assert {op.scope for op in trace.of_kind(Merge)} == {"global", "group/0", "group/1"}
    assert all(any(trace.of_kind(kind)) for kind in (GroupSnapshot, Rebase, Combine))
    assert {type(trace.ops[op_id]).kind for op_id in feedback(trace)} == {"snapshot", "group_snapshot"}
    assert_runs(groups(count), hierarchical, run_path)


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(
    groups: Groups, hierarchical: Reference, run_path: Path
) -> None:
    assert_goes_on(groups(2), groups(1), hierarchical, run_path)
