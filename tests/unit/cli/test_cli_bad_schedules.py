"""Horizons and budgets that fit badly are warned of."""

from __future__ import annotations

import json
from pathlib import Path

from tests.unit.cli.command import run


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
