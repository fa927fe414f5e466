from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from orbital_train.cli import survey_cache
from orbital_train.cli.planning import survey, survey_alone
from orbital_train.cli.survey import Survey
from orbital_train.cli.survey_cache import survey_key
from orbital_train.config.recipe import Recipe
from orbital_train.errors import InputError, InputWarning
from tests import small
from tests.unit.cli.test_cli_planning import ELEMENT_SET

SITE = 'ground_sites=[{name="Canberra", latitude_deg=-35.4, longitude_deg=148.98}]'


@pytest.fixture(autouse=True)
def plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("ORBITAL_TRAIN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "plans"


def kept(plans: Path) -> int:
    return sum(not path.name.startswith(".") for path in plans.iterdir()) if plans.exists() else 0


def same(one: Survey, two: Survey) -> bool:
    """To the bit, with types."""
    for a, b in ((one.contacts, two.contacts), (one.opportunities, two.opportunities), (one.light, two.light)):
        for field in fields(a) if a is not None else ():
            ours, theirs = getattr(a, field.name), getattr(b, field.name)
            many = zip(ours, theirs, strict=True) if isinstance(ours, tuple) else [(ours, theirs)]
            if not all(type(x) is type(y) and np.array_equal(x, y) for x, y in many):
                return False
    return (one.satellites, one.period_s, one.ideal, one.notes) == (two.satellites, two.period_s, two.ideal, two.notes)


def test_the_second_survey_is_the_first_to_the_bit(tmp_path: Path, plans: Path) -> None:
    recipe = small.recipe(tmp_path, SITE)
    first = survey(recipe)
    assert kept(plans) == 1
    before = {path: path.stat().st_mtime_ns for path in plans.rglob("*.parquet")}
    second = survey(recipe)
    assert same(first, second)
    assert before == {path: path.stat().st_mtime_ns for path in plans.rglob("*.parquet")}
    assert first.opportunities is not None
    assert len(first.opportunities) > len(first.contacts) / 2 > 10


def test_one_satellite_alone_is_kept_too(tmp_path: Path, plans: Path) -> None:
    recipe = small.recipe(tmp_path)
    first = survey_alone(recipe, 2)
    assert first.opportunities is None
    again = survey_alone(recipe, 2)
    assert again.opportunities is None
    assert same(again, first)
    assert kept(plans) == 1
    assert survey_alone(recipe, 3).light.horizon_s != first.light.horizon_s
    assert kept(plans) == 2


def test_a_damaged_entry_is_made_again(tmp_path: Path, plans: Path) -> None:
    recipe = small.recipe(tmp_path)
    first = survey(recipe)
    for path in list(plans.glob("*/*")):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
        assert same(survey(recipe), first)
        path.write_bytes(b"")
        assert same(survey(recipe), first)
    assert kept(plans) == 1


def test_it_can_be_turned_off(tmp_path: Path, plans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORBITAL_TRAIN_PLAN_CACHE", "off")
    survey(small.recipe(tmp_path))
    assert not plans.exists()


def test_what_was_refused_is_refused_again(tmp_path: Path, plans: Path) -> None:
    recipe = small.recipe(tmp_path, "fleet.phasing=0", "fleet.inclination_deg=90.0")
    for _ in range(2):
        with pytest.raises(InputError, match=r"fleet\.phasing = 0: satellites of planes 0 and 1 come within"):
            survey(recipe)
    assert kept(plans) == 0


def test_warnings_come_from_the_cache_too(tmp_path: Path, plans: Path) -> None:
    (tmp_path / "elements").write_text("\n".join(ELEMENT_SET), encoding="utf-8")
    fleet = 'fleet={kind="tle", path="elements"}'
    recipe = small.recipe(tmp_path, fleet, "time.start=2026-03-27T00:00:00Z")
    told, notes = [], []
    for _ in range(2):
        with pytest.warns(InputWarning) as caught:
            notes.append(survey(recipe).notes)
        told.append([str(w.message) for w in caught])
    assert kept(plans) == 1
    assert told[0] == told[1] == list(notes[0]) == list(notes[1])
    assert len(told[0]) == 1
    assert "ISS is flown 7.0 days from its epoch" in told[0][0]


CHANGES = [
    "time.horizon_h=13.0",
    "time.start=2026-03-21T00:00:00Z",
    "fleet.altitude_km=801.0",
    "fleet.minimum_separation_km=2.0",
    SITE,
    "light.shadow_margin_km=10.0",
    "links.terminals=3",
    "links.acquisition_s=31.0",
]


def test_every_input_of_a_survey_makes_another_key(tmp_path: Path) -> None:
    recipes = [small.recipe(tmp_path), *(small.recipe(tmp_path, change) for change in CHANGES)]
    assert len({survey_key(recipe, "all") for recipe in recipes}) == len(recipes)
    assert survey_key(recipes[0], "alone 2") != survey_key(recipes[0], "all")


@pytest.mark.parametrize(
    "change",
    [
        "schedule.policy=fixed_period",
        "power.array_m2=9.0",
        "seeds={init=3, data=4, clouds=5, faults=6}",
        "inner.lr=1.0",
        "name=other",
        "faults.late_fraction=0.5",
    ],
)
def test_who_trains_makes_no_other_key(tmp_path: Path, change: str) -> None:
    assert survey_key(small.recipe(tmp_path, change), "all") == survey_key(small.recipe(tmp_path), "all")


def test_the_mount_of_the_array_makes_another_key(tmp_path: Path) -> None:
    keys = {survey_key(small.recipe(tmp_path, f"power.array_mount={m}"), "all") for m in ("tracking", "zenith")}
    assert len(keys) == 2


def test_the_content_of_files_counts(tmp_path: Path) -> None:
    elements, plan = tmp_path / "elements", tmp_path / "plan.ion"
    elements.write_text("one", encoding="utf-8")
    plan.write_text("one", encoding="utf-8")
    recipe = small.recipe(tmp_path, 'fleet={kind="tle", path="elements"}', "links.plan=plan.ion")
    keys = [survey_key(recipe, "all")]
    for path in (elements, plan):
        path.write_text("two", encoding="utf-8")
        keys.append(survey_key(recipe, "all"))
    assert len(set(keys)) == 3


@pytest.mark.parametrize("part", ["_code_sha256", "sun_source"])
def test_code_and_sun_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    recipe = small.recipe(tmp_path)
    before = survey_key(recipe, "all")
    monkeypatch.setattr(survey_cache, part, lambda: "another")
    assert survey_key(recipe, "all") != before


def test_the_version_of_a_library_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small.recipe(tmp_path)
    keys = {survey_key(recipe, "all")}
    for changed in survey_cache._PACKAGES:
        monkeypatch.setattr(survey_cache, "version", lambda name, changed=changed: "9" if name == changed else "1")
        keys.add(survey_key(recipe, "all"))
    assert len(keys) == 1 + len(survey_cache._PACKAGES)


def test_what_is_at_an_address_is_never_kept(tmp_path: Path) -> None:
    tree = small.recipe(tmp_path, 'fleet={kind="tle", path="elements"}').model_dump()
    for address in ("https://example.org/a", "http://example.org/a"):
        tree["fleet"]["path"] = address
        assert survey_key(Recipe.model_validate(tree), "all") is None


@pytest.mark.slow
def test_two_processes_plan_the_same(tmp_path: Path, plans: Path) -> None:
    command = [sys.executable, "-m", "orbital_train", "plan", str(small.write_recipe(tmp_path))]
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
    pair = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ, cwd=folder)
        for folder in folders
    ]
    told = [process.communicate(timeout=120) for process in pair]
    assert [process.returncode for process in pair] == [0, 0]
    assert told[0] == told[1]
    assert told[0][1] == ""
    assert kept(plans) == 1
    assert not list(plans.glob(".part-*"))


def test_clouds_are_no_part_of_a_survey(tmp_path: Path) -> None:
    cloudy = SITE.replace("}", ", cloud_fraction=0.5, cloudy_h=2.0}")
    assert survey_key(small.recipe(tmp_path, cloudy), "all") == survey_key(small.recipe(tmp_path, SITE), "all")
