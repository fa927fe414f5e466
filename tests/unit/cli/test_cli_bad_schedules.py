"""A schedule that will not do is refused in one line; horizons and budgets that fit badly are warned of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orbital_train.config.policies import POLICIES
from tests.unit.cli.command import run, unchanged

*FIRST, LAST = map(repr, POLICIES)
SIZE = "can never talk to any other node of the fleet: a message"
LINK = "and its best link, to p5s0, carries 2.6 GB within the horizon; one of 2.6 GB would fit,"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--set", "schedule.policy=gossipy"], f"schedule.policy = 'gossipy': must be {', '.join(FIRST)} or {LAST}"),
        (["--policy", "gossipy"], f"--policy = 'gossipy': must be all or one of {', '.join(POLICIES)}"),
        (["--set", "schedule.inner_steps=0"], "schedule.inner_steps = 0: must be greater than or equal to 1"),
        (
            ["--set", "schedule.policy=quorum", "--set", "schedule.quorum=7"],
            "schedule.quorum = 7: must be at most the 6 satellites of the fleet",
        ),
        (
            ["--policy", "all", "--set", "schedule.quorum=7"],
            "schedule.quorum = 7: must be at most the 6 satellites of the fleet",
        ),
        (
            ["--policy", "quorum", "--set", "schedule.quorum=0"],
            "schedule.quorum = 0: must be greater than or equal to 1",
        ),
        (["--set", "schedule.fragments=0"], "schedule.fragments = 0: must be greater than or equal to 1"),
        (
            ["--set", "schedule.policy=streaming", "--set", "schedule.fragments=20"],
            "schedule.fragments = 20: must be at most inner_steps = 10: a node sends one every inner_steps / fragments "
            "steps",
        ),
        (["--set", "links.rate_gbps=0.001"], f"links = 'p0s0': {SIZE} is 6 GB, {LINK} 6.93 bits a parameter"),
        (
            ["--set", "links.rate_gbps=0.001", "--set", "schedule.fragments=2"],
            f"links = 'p0s0': {SIZE} of one of 2 fragments is 3 GB, {LINK} 13.8 bits a parameter",
        ),
    ],
    ids=["policy", "--policy", "H", "quorum", "all", "no quorum", "no fragment", "turns", "message", "fragment"],
)
def test_a_schedule_that_will_not_do(tmp_path: Path, recipe: Path, arguments: list[str], told: str):
    assert unchanged(tmp_path, "plan", recipe, *arguments) == f"{recipe}: {told}"


@pytest.mark.parametrize("command", ["train", "compare"])
@pytest.mark.parametrize("policy", ["link_aware", "streaming"])
def test_more_fragments_than_tensors(tmp_path: Path, recipe: Path, command: str, policy: str):
    """Before anything is simulated: a message of each fragment in every round would take long."""
    settings = [f"schedule.{given}" for given in (f"policy={policy}", "fragments=10", "inner_steps=20")]
    line = unchanged(tmp_path, command, recipe, *(part for setting in settings for part in ("--set", setting)))
    told = "schedule.fragments = 10: a fragment is made of whole tensors, and the model has 9; take at most that many"
    assert line == f"{recipe}: {told}"


def test_a_short_horizon_is_warned_of_and_noted(tmp_path: Path, recipe: Path):
    out = tmp_path / "out"
    result = run("plan", recipe, "--set", "time.horizon_h=3.0", "--set", "schedule.budget_steps=60", "--out", out)
    assert result.exit_code == 0
    told = "time.horizon_h = 3.0: is under two orbits of 1.68 h: few windows change"
    assert result.stderr == f"warning: {recipe}: {told}\n"
    plan = json.loads((out / "plan" / "summary.json").read_text())
    assert (plan["notes"], plan["ideal"], plan["merged_steps"]) == ([told], False, 60)


def test_a_budget_that_cannot_be_merged_is_warned_of(recipe: Path):
    result = run("plan", recipe, "--set", "time.horizon_h=4.0", "--set", "schedule.budget_steps=100000")
    assert result.exit_code == 0
    assert "schedule.budget_steps = 100000: link_aware merges only " in result.stderr
