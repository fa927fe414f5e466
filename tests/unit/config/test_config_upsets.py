"""Upsets in the recipe, in the units of the fault plan."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from orbital_train.config import build
from orbital_train.config.faults import fault_plan, fault_spec, flips_per_s, refuse_unknown_nodes, screened
from orbital_train.config.load import dump_recipe, parse_recipe
from orbital_train.errors import InputError
from orbital_train.schedule.faults import BitFlip
from orbital_train.train.spec import ScreeningSpec
from tests import small
from tests.unit.schedule.scenarios import contacts, ring

LISTED = 'faults.upsets.flip=[{node="n1", at_h=1.5, target="message"}, {node="n9", at_h=1, target="version", bit=3}]'


def test_nothing_is_flipped_by_default_and_nobody_looks(tmp_path: Path) -> None:
    recipe = small.recipe(tmp_path)
    assert flips_per_s(recipe) == {}
    assert not screened(recipe)
    assert build.train_spec(recipe).screening is None


def test_rates_are_those_of_all_bits_of_the_model_that_flies(tmp_path: Path) -> None:
    """3e9 parameters; a message is bf16."""
    recipe = small.recipe(tmp_path, "faults.upsets.per_bit_hour=3.6e-9")
    assert flips_per_s(recipe) == pytest.approx(
        {"parameters": 0.096, "optimizer": 0.192, "gradient": 0.096, "version": 0.096, "message": 0.048,
         "checkpoint": 0.288}
    )  # fmt: skip
    assert fault_spec(recipe).flips_stress


def test_rates_may_be_those_of_other_bits_and_of_some_targets(tmp_path: Path) -> None:
    recipe = small.recipe(
        tmp_path,
        "faults.upsets.per_bit_hour=3.6e-3",
        "faults.upsets.parameters=1000",
        'faults.upsets.targets=["gradient", "message"]',
    )
    assert flips_per_s(recipe) == pytest.approx({"gradient": 0.032, "message": 0.016})


def test_listed_flips(tmp_path: Path) -> None:
    recipe = small.recipe(tmp_path, LISTED)
    plan = fault_plan(recipe, contacts(3, ring(3, 9000.0), 9000.0, 1e9, 0.0), 3)
    assert plan.bit_flips == (BitFlip(node=1, at_us=5_400_000_000, target="message", place=0.5, bit=30),)
    with pytest.raises(InputError) as error:
        refuse_unknown_nodes(recipe.faults, ("n0", "n1", "n2"))
    assert str(error.value) == (
        "faults.upsets.flip.1.node = 'n9': is no satellite or ground site; accepted is one of 3, as n0, n1, n2"
    )


def test_nodes_look_where_bits_are_flipped_unless_told(tmp_path: Path) -> None:
    some = small.recipe(tmp_path, LISTED, "screening.norm_factor=3")
    assert build.train_spec(some).screening == ScreeningSpec(norm_factor=3.0)
    assert build.train_spec(small.recipe(tmp_path, LISTED, "screening.enabled=false")).screening is None
    assert build.train_spec(small.recipe(tmp_path, "screening.enabled=true")).screening == ScreeningSpec()


def test_more_flips_than_a_run_can_take_are_refused(tmp_path: Path) -> None:
    recipe = small.recipe(tmp_path, "faults.upsets.per_bit_hour=1e-3")
    with pytest.raises(InputError) as error:
        fault_plan(recipe, contacts(3, ring(3, 36_000.0), 36_000.0, 1e9, 0.0), 3)
    assert str(error.value) == (
        "faults.upsets.per_bit_hour = 0.001: flips about 2e+10 bits of 3e+09 parameters in a run; "
        "accepted are up to 1,000,000"
    )


def test_a_recipe_with_all_of_it_survives_being_written(tmp_path: Path) -> None:
    recipe = small.recipe(
        tmp_path, LISTED, "faults.upsets.anomaly_factor=20", "faults.upsets.doubling_km=150", "screening.enabled=true"
    )
    assert parse_recipe(tomllib.loads(dump_recipe(recipe))) == recipe
