import json
from pathlib import Path

import pytest

from orbital_train.cli import run_directory
from orbital_train.cli.planning import fly
from orbital_train.cli.run_directory import (
    MAY_CHANGE,
    RunDirectory,
    check_directory,
    check_still_empty,
    free_directory,
    locked,
    open_run,
    recipe_sha256,
    write_json,
)
from orbital_train.config.load import load_recipe
from orbital_train.config.recipe import Recipe
from orbital_train.errors import InputError
from orbital_train.schedule.measures import measure
from orbital_train.windows.opportunity_file import read_opportunities
from tests import small


def test_the_plan_is_written_and_read_back(tmp_path: Path):
    recipe = small.recipe(tmp_path)
    flight = fly(recipe)
    with open_run(tmp_path / "run", recipe, resume=False) as run:
        run.write_plan(recipe, flight)
    assert load_recipe(run.recipe) == recipe
    assert run.read_trace() == flight.trace
    assert sorted(p.name for p in run.plan.iterdir()) == [
        "contacts.parquet",
        "faults.jsonl",
        "illumination.parquet",
        "opportunities.parquet",
        "summary.json",
    ]
    found = read_opportunities(run.plan / "opportunities.parquet")
    assert found.start_s.tolist() == flight.survey.opportunities.start_s.tolist()
    written = json.loads(run.plan_summary.read_text())
    assert written["link_bytes"] == measure(flight.trace).link_bytes
    assert sorted(p.name for p in run.path.iterdir()) == [".lock", "plan", "recipe.toml", "trace.jsonl"]


def test_what_may_change_on_resume(tmp_path: Path):
    recipe = small.recipe(tmp_path)
    with open_run(tmp_path / "run", recipe, resume=False) as run:
        run.write_plan(recipe, fly(recipe))
    other = ("cluster.workers=2", "cluster.checkpoint_every_s=1.5", "cluster.keep_checkpoints=9", "description=Other",
             'cluster.address="127.0.0.1:1"', "compare.seeds=4")  # fmt: skip
    changed = small.recipe(tmp_path, *other)
    check_directory(run.path, changed, resume=True)
    assert recipe_sha256(changed) == recipe_sha256(recipe)
    for override in ("cluster.threads_per_worker=2", "seeds.data=1", "cluster.deterministic=false", "name=other"):
        changed = small.recipe(tmp_path, override)
        with pytest.raises(InputError) as caught:
            check_directory(run.path, changed, resume=True)
        assert caught.value.key == override.partition("=")[0]
        assert caught.value.problem.endswith(f"on resume only {', '.join(MAY_CHANGE)} may change")
        assert recipe_sha256(changed) != recipe_sha256(recipe)


def test_a_directory_is_in_use_until_it_is_left(tmp_path: Path):
    path = tmp_path / "deep" / "run"
    with locked(path), pytest.raises(InputError, match="is in use by another process"), locked(path):
        pass
    with locked(path):
        assert path.is_dir()


def test_a_directory_that_others_fill_before_it_is_locked_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def check_then_lose(path: Path, recipe: Recipe, *, resume: bool) -> None:
        check_directory(path, recipe, resume=resume)
        path.mkdir()
        (path / "trace.jsonl").write_text("theirs")

    monkeypatch.setattr(run_directory, "check_directory", check_then_lose)
    path = tmp_path / "run"
    with pytest.raises(InputError, match="is not empty"), open_run(path, small.recipe(tmp_path), resume=False):
        pass
    assert (path / "trace.jsonl").read_text() == "theirs"


def test_the_lock_alone_is_empty(tmp_path: Path):
    with locked(tmp_path / "run"):
        check_still_empty(tmp_path / "run")


def test_a_free_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert free_directory("a") == Path("runs/a")
    for name in ("a", "a-2"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    assert free_directory("a") == Path("runs/a-3")


def test_json_is_written_in_one_step(tmp_path: Path):
    write_json(tmp_path / "a.json", {"a": 1})
    write_json(tmp_path / "a.json", {"a": [2.5, None]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [2.5, None]}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_an_empty_directory_will_do(tmp_path: Path):
    (tmp_path / "run").mkdir()
    check_directory(tmp_path / "run", small.recipe(tmp_path), resume=False)
    assert RunDirectory(tmp_path / "run").summary == tmp_path / "run" / "summary.json"
