"""Fragments that are merged and adopted on their own. Of the two parameters each is a fragment: slope, level."""

import pytest
import torch
from torch import Tensor

from orbital_train.errors import InputError
from orbital_train.schedule.ops.nodes import AdoptMode
from orbital_train.train.problem import Problem
from orbital_train.train.run import run_local
from orbital_train.train.spec import OuterSpec
from tests.unit.train.problems import line_problem, tiny_problem, tiny_spec
from tests.unit.train.thread_workers import Group
from tests.unit.train.trace_builder import TraceBuilder
from tests.unit.train.traces import rounds_trace

SPEC = tiny_spec(outer=OuterSpec(lr=1.0, momentum=0.0))
START = torch.tensor([0.5, -0.25])
SLOPE, LEVEL = 0, 1


def replica(build: TraceBuilder, node: int) -> Tensor:
    """A node's replica after all operations so far."""
    group = Group.of(build.trace(), SPEC, line_problem, 1)
    group.run(SPEC)
    return group.saved()[0][node].tensors["parameters"]


def model(build: TraceBuilder) -> Tensor:
    """The final global model."""
    parameters = run_local(build.trace(), SPEC, line_problem()).parameters
    return torch.cat([p.flatten() for p in parameters.values()])


@pytest.mark.parametrize("mode", ["replace", "keep"])
@pytest.mark.parametrize("fragments", [2, 9])
def test_fragments_in_step_are_the_whole_model(mode: AdoptMode, fragments: int) -> None:
    """All fragments merged at the same times with the same weights: no bit differs from one fragment."""
    spec = tiny_spec()

    def gpt() -> Problem:
        return tiny_problem(spec, (0, 1, 2))

    whole = run_local(rounds_trace((0, 1, 2), 3, 2, mode), spec, gpt())
    split = run_local(rounds_trace((0, 1, 2), 3, 2, mode, fragments), spec, gpt())
    assert split.digest == whole.digest
    assert split.losses == whole.losses
    assert [row["fragment"] for row in split.rows if row["event"] == "merge"] == 3 * list(range(fragments))


def test_the_model_is_made_of_the_newest_version_of_each_fragment() -> None:
    build = TraceBuilder(nodes=(0,), fragments=2)
    build.step(0, 3)
    after_3 = replica(build, 0)
    build.merge(0, {build.snapshot(0, 0, fragment=LEVEL): 1.0}, fragment=LEVEL)
    build.evaluate(0, 1)
    torch.testing.assert_close(model(build), torch.stack([START[SLOPE], after_3[LEVEL]]))
    build.step(0, 2)
    after_5 = replica(build, 0)
    build.merge(0, {build.snapshot(0, 0, fragment=SLOPE): 1.0}, fragment=SLOPE)
    build.evaluate(1, 1)
    build.evaluate(0, 1)
    torch.testing.assert_close(model(build), torch.stack([after_5[SLOPE], after_3[LEVEL]]))

    rows = [row for row in run_local(build.trace(), SPEC, line_problem()).rows if row["event"] == "evaluate"]
    assert [row["versions"] for row in rows] == [[0, 1], [1, 1], [0, 1]]
    x, y = line_problem().validation[0]
    expected = [(slope * x + after_3[LEVEL] - y).square().mean() for slope in (0.5, after_5[SLOPE], 0.5)]
    assert [row["loss"] for row in rows] == pytest.approx([loss.item() for loss in expected], rel=1e-6)


@pytest.mark.parametrize(("mode", "kept"), [("keep", 1.0), ("replace", 0.0), ("blend", 0.75)])
def test_rounds_that_overlap_move_only_their_own_fragment(mode: AdoptMode, kept: float) -> None:
    """While node 0's level is under way it adopts a slope: the level's mark stays, and that of its own slope moves."""
    build = TraceBuilder(nodes=(0, 1), fragments=2)
    build.step(1, 3)
    other = replica(build, 1)
    build.merge(0, {build.snapshot(1, 0, fragment=SLOPE): 1.0}, fragment=SLOPE)
    build.step(0, 2)
    level = build.snapshot(0, 0, fragment=LEVEL)
    build.step(0, 1)
    slope = build.snapshot(0, 0, fragment=SLOPE)
    mark_slope = replica(build, 0)
    build.step(0, 1)
    before = replica(build, 0)
    build.adopt(0, 1, mode, alpha=0.25, fragment=SLOPE)
    adopted = replica(build, 0)
    expected = {
        "keep": other[SLOPE] + before[SLOPE] - START[SLOPE],
        "replace": other[SLOPE],
        "blend": 0.25 * other[SLOPE] + 0.75 * before[SLOPE],
    }
    torch.testing.assert_close(adopted, torch.stack([expected[mode], before[LEVEL]]))

    build.merge(0, {level: 1.0}, fragment=LEVEL)
    build.adopt(0, 1, "keep", level, fragment=LEVEL)
    torch.testing.assert_close(replica(build, 0), adopted)  # the level's version is its own mark

    build.merge(1, {slope: 1.0}, fragment=SLOPE)
    build.adopt(0, 2, "keep", slope, fragment=SLOPE)
    version_2 = other[SLOPE] + mark_slope[SLOPE] - START[SLOPE]
    progress = kept * (before[SLOPE] - mark_slope[SLOPE])
    torch.testing.assert_close(replica(build, 0), torch.stack([version_2 + progress, adopted[LEVEL]]))


def test_a_fragment_remembers_which_version_it_started_from() -> None:
    """Adoptions of the slope do not change since when the level's progress counts."""
    build = TraceBuilder(nodes=(0, 1), fragments=2)
    build.step(1, 3)
    other = replica(build, 1)
    for fragment in (SLOPE, LEVEL):
        build.merge(0, {build.snapshot(1, 0, fragment=fragment): 1.0}, fragment=fragment)
    build.step(0, 2)
    build.adopt(0, 1, fragment=SLOPE)
    now = replica(build, 0)
    build.adopt(0, 1, "keep", fragment=LEVEL)
    level = other[LEVEL] + now[LEVEL] - START[LEVEL]
    torch.testing.assert_close(replica(build, 0), torch.stack([other[SLOPE], level]))


def test_more_fragments_than_tensors() -> None:
    with pytest.raises(InputError, match=r"^schedule\.fragments = 3: a fragment is made of whole tensors"):
        run_local(TraceBuilder(nodes=(0,), fragments=3).trace(), SPEC, line_problem())
