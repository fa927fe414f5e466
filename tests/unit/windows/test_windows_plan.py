from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from orbital_train.errors import InputError
from orbital_train.windows.ideal import ideal_contacts
from orbital_train.windows.plan import ContactPlan, Illumination


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
