"""What programs are offered; runs on workers are in tests/integration/test_python.py."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import orbital_train
from orbital_train import InputError
from orbital_train.api import Plan
from orbital_train.cli.planning import fly
from tests import small


def loaded_modules(code: str) -> set[str]:
    show = "; import sys; print('modules', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code + show], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_the_package_is_light() -> None:
    loaded = loaded_modules("import orbital_train; assert callable(orbital_train.train)")
    assert {name for name in loaded if name.startswith("orbital_train")} == {"orbital_train", "orbital_train.train"}
    assert loaded & {"numpy", "pydantic", "torch", "ray"} == set()


def test_planning_loads_neither_torch_nor_ray_nor_matplotlib(tmp_path: Path) -> None:
    loaded = loaded_modules(f"import orbital_train; orbital_train.plan({str(small.write_recipe(tmp_path))!r}).outer")
    assert "orbital_train.api" in loaded
    assert loaded & {"torch", "ray", "matplotlib", "jinja2"} == set()


def test_names() -> None:
    names = {"Comparison", "InputError", "OuterSpec", "Plan", "Run", "Turn", "compare", "follow", "plan", "train"}
    assert names <= set(dir(orbital_train))
    assert all(callable(getattr(orbital_train, name)) for name in names)
    with pytest.raises(AttributeError, match="module 'orbital_train' has no attribute 'fly'"):
        orbital_train.fly  # noqa: B018


def test_the_same_plan_from_a_path_a_dictionary_and_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small.write_recipe(tmp_path)
    flight = fly(small.recipe(tmp_path, "schedule.inner_steps=12"))
    monkeypatch.chdir(tmp_path)  # where the corpus is
    content = tomllib.loads(small.RECIPE)
    for source in (path, str(path), content, small.recipe(tmp_path)):
        plan = orbital_train.plan(source, overrides={"schedule.inner_steps": 12})
        assert isinstance(plan, Plan)
        assert plan.trace == flight.trace
        assert plan.recipe == small.recipe(tmp_path, "schedule.inner_steps=12")
        assert (plan.measures.merged_steps, plan.notes) == (600, flight.notes)
    assert content == tomllib.loads(small.RECIPE)
    assert plan.outer == orbital_train.OuterSpec()


def test_a_recipe_that_ships_goes_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But a file of that name goes before."""
    monkeypatch.chdir(tmp_path)
    short = {"schedule.budget_steps": 100, "data.sha256": small.CORPUS_SHA256, "data.corpus": "./corpus.txt"}
    assert orbital_train.plan("quickstart", overrides=short).recipe.name == "quickstart"
    small.write_recipe(tmp_path).rename("quickstart")
    assert orbital_train.plan("quickstart").recipe.name == "small"


def refused(call: Any, *arguments: Any, **keywords: Any) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments, **keywords)
    assert caught.value.__suppress_context__
    return str(caught.value)


def test_what_is_wrong_is_told_in_pythons_words(tmp_path: Path) -> None:
    path, missing = small.write_recipe(tmp_path), str(tmp_path / "missing.toml")
    told = "no such file; `orbital-train recipes` lists those that ship"
    assert refused(orbital_train.train, missing) == f"recipe = '{missing}': {told}"
    told = "name is a value and not a table"
    assert refused(orbital_train.plan, path, overrides={"name.x": 1}) == f"overrides = 'name.x': {told}"
    told = "is not empty; choose another directory, or continue its run with resume=True"
    for function in (orbital_train.train, orbital_train.compare):
        assert refused(function, path, tmp_path) == f"out = '{tmp_path}': {told}"
    told = "resume=True needs the directory of the run, as runs/small"
    assert refused(orbital_train.train, path, resume=True) == f"out = None: {told}"
    told = "is not a run directory; give one that train wrote, or RUN_DIR@CUT"
    assert refused(orbital_train.train, path, tmp_path / "run", fork=tmp_path) == f"fork = '{tmp_path}': {told}"
    told = "starts a new run, and resume=True continues one: leave one of them out"
    assert refused(orbital_train.train, path, tmp_path / "run", fork="a@7", resume=True) == f"fork = 'a@7': {told}"
    told = "a recipe alone runs no code: allow this module with imports=['my.code']"
    own = {"model": {"kind": "my.code:net"}}
    assert refused(orbital_train.train, path, tmp_path / "run", overrides=own) == f"model.kind = 'my.code:net': {told}"
    assert not (tmp_path / "run").exists()


def test_a_fleet_alone_cannot_be_trained_nor_simulated(tmp_path: Path) -> None:
    path = small.write_recipe(tmp_path, small.SKY_RECIPE)
    what = "a recipe without it and the other tables of training is for `orbital-train plan` alone"
    for function in (orbital_train.plan, orbital_train.train):
        assert refused(function, path) == f"schedule = None: is required and missing; {what}"
