from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from orbital_train.errors import InputError
from orbital_train.windows.columns import write_columns
from orbital_train.windows.ideal import ideal_contacts
from orbital_train.windows.plan import COLUMNS, CONTACT_PLAN, ContactPlan, Illumination


def test_contact_plan_survives_parquet_exactly(tmp_path: Path) -> None:
    plan = replace(ideal_contacts(("a", "b c", "ü"), 100.1), owlt_s=np.full(6, 0.1 + 0.2))
    plan.write(tmp_path / "plan.parquet")
    again = ContactPlan.read(tmp_path / "plan.parquet")
    assert (again.node_names, again.horizon_s) == (plan.node_names, plan.horizon_s)
    for field in fields(plan)[2:]:
        before, after = getattr(plan, field.name), getattr(again, field.name)
        assert (before == after).all()
        assert before.dtype == after.dtype


def test_empty_contact_plan_survives_parquet(tmp_path: Path) -> None:
    plan = ideal_contacts(("a",), 5.0)
    plan.write(tmp_path / "plan.parquet")
    assert len(ContactPlan.read(tmp_path / "plan.parquet")) == 0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"end_s": np.array([5.0, 0.0])}, "the window b to a has no length"),
        ({"end_s": np.array([5.0, 10.5])}, "outside the horizon"),
        ({"start_s": np.array([-1.0, 0.0])}, "outside the horizon"),
        ({"rate_bps": np.array([1.0, 0.0])}, "above 0"),
        ({"rate_bps": np.array([1.0, np.nan])}, "above 0"),
    ],
)
def test_impossible_contacts_are_refused(change: dict[str, np.ndarray], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        replace(ideal_contacts(("a", "b"), 10.0), **change)


def test_illumination_survives_parquet_exactly(tmp_path: Path) -> None:
    light = Illumination(
        node_names=("a", "b"),
        horizon_s=100.0,
        edge_s=(np.array([0.0, 1.0 / 3.0, 100.0]), np.array([0.0, 100.0])),
        fraction=(np.array([1.0, 0.1 + 0.2]), np.array([0.0])),
        sun_distance_au=0.98765432109876,
    )
    light.write(tmp_path / "light.parquet")
    again = Illumination.read(tmp_path / "light.parquet")
    assert again.node_names == light.node_names
    assert again.sun_distance_au == light.sun_distance_au
    for before, after in zip(light.edge_s + light.fraction, again.edge_s + again.fraction, strict=True):
        assert before.tolist() == after.tolist()


@pytest.mark.parametrize("pair", [(0, 2), (-1, 0), (1, 1)])
def test_nodes_that_are_not_there_are_refused(tmp_path: Path, pair: tuple[int, int]) -> None:
    plan = ideal_contacts(("a", "b"), 10.0)
    columns = {f.name: getattr(plan, f.name) for f in fields(plan)[2:]}
    columns |= {"source": np.array([0, pair[0]]), "dest": np.array([1, pair[1]])}
    write_columns(tmp_path / "plan", CONTACT_PLAN, columns, COLUMNS, node_names=plan.node_names, horizon_s=10.0)
    with pytest.raises(InputError) as caught:
        ContactPlan.read(tmp_path / "plan")
    told = f"contact plan = 'node {pair[0]} to {pair[1]}': must be two of the 2 nodes, counted from 0"
    assert str(caught.value) == told


@pytest.mark.parametrize("numbers", [[1, 2], [0, 0], [0, -1]])
def test_contacts_that_are_not_counted_are_refused(tmp_path: Path, numbers: list[int]) -> None:
    replace(ideal_contacts(("a", "b"), 10.0), contact_id=np.array(numbers)).write(tmp_path / "plan")
    with pytest.raises(InputError) as caught:
        ContactPlan.read(tmp_path / "plan")
    told = f"contact plan = '{tmp_path / 'plan'}': contact_id must count the contacts from 0, each once"
    assert str(caught.value) == told


def test_illumination_of_too_few_nodes_is_refused(tmp_path: Path) -> None:
    write_columns(
        tmp_path / "light",
        "illumination",
        {"node": np.array([0, 2]), "start_s": np.zeros(2), "fraction": np.ones(2)},
        {"node": np.int64, "start_s": np.float64, "fraction": np.float64},
        node_names=("a", "b", "c"),
        horizon_s=10.0,
        sun_distance_au=1.0,
    )
    with pytest.raises(InputError) as caught:
        Illumination.read(tmp_path / "light")
    told = "its rows must be of one node after the other, and of all nodes"
    assert str(caught.value) == f"illumination = '{tmp_path / 'light'}': {told}"
