from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from orbital_train.errors import InputError, InputWarning
from orbital_train.windows.exchange.files import EXPORTS, plan_text, read_contacts
from orbital_train.windows.exchange.listed import Listed, listed_plan
from orbital_train.windows.plan import ContactPlan, LinkKind
from tests.unit.schedule.scenarios import contacts

START = datetime(2026, 3, 20, tzinfo=UTC)
NODES = ("s0", "s1", "s2", "ground")
PLAN = contacts(4, [(0, 1, 10.0, 50.0), (1, 2, 0.0, 30.0), (2, 3, 40.0, 100.0)], 100.0, 1e9, 1.0)


def listed(*rows: tuple[int, int, float, float], horizon_s: float = 100.0) -> ContactPlan:
    found = [Listed(f"line {k}", *row, 1e9, 1.0) for k, row in enumerate(rows, 1)]
    return listed_plan(Path("p.ion"), found, NODES, 3, horizon_s)


def read(path: Path, horizon_s: float = 100.0, names: tuple[str, ...] = NODES) -> ContactPlan:
    return read_contacts(path, names, 3, START, horizon_s)


def told(path: Path, horizon_s: float = 100.0) -> str:
    with pytest.raises(InputError) as caught:
        read(path, horizon_s)
    return str(caught.value)


def test_what_the_texts_do_not_carry_gets_the_stated_values() -> None:
    plan = listed((3, 4, 40, 90), (1, 3, 0, 20), (3, 1, 0, 20), (1, 2, 5, 60), (1, 3, 70, 80))
    assert plan.node_names == NODES
    assert plan.contact_id.tolist() == [0, 1, 2, 3, 4]
    assert plan.source.tolist() == [0, 2, 0, 2, 0]
    assert plan.dest.tolist() == [2, 0, 1, 3, 2]
    assert plan.start_s.tolist() == plan.acquire_start_s.tolist() == [0.0, 0.0, 5.0, 40.0, 70.0]
    assert plan.link_id.tolist() == [0, 0, 1, 2, 0]
    assert plan.source_terminal.tolist() == [1, 0, 0, 1, 1]
    assert plan.dest_terminal.tolist() == [0, 1, 0, 0, 0]
    assert plan.kind.tolist() == [LinkKind.ISL] * 3 + [LinkKind.GROUND, LinkKind.ISL]


def test_a_contact_between_two_sites_lies_on_the_ground() -> None:
    rows = [Listed(f"line {k}", *row, 0, 9, 1e9, 1.0) for k, row in enumerate([(1, 2), (2, 3), (3, 4), (4, 3)])]
    plan = listed_plan(Path("p.ion"), rows, NODES, 2, 100.0)
    assert plan.kind.tolist() == [LinkKind.ISL, LinkKind.GROUND, LinkKind.TERRESTRIAL, LinkKind.TERRESTRIAL]


def test_contacts_are_cut_to_the_horizon() -> None:
    plan = listed((1, 2, -10, 5), (2, 1, 90, 120), (1, 3, 100, 120), (3, 1, -9, 0), (3, 3, 0, 9))
    assert plan.source.tolist() == [0, 1]
    assert plan.start_s.tolist() == [0.0, 90.0]
    assert plan.end_s.tolist() == [5.0, 100.0]


def test_contacts_that_overlap_are_of_several_links() -> None:
    plan = listed((1, 2, 0, 50), (1, 2, 20, 70), (2, 1, 0, 50), (1, 2, 50, 90), (1, 3, 10, 30), (1, 2, 60, 65))
    assert plan.start_s.tolist() == [0.0, 0.0, 10.0, 20.0, 50.0, 60.0]
    assert plan.link_id.tolist() == [0, 0, 1, 2, 0, 3]
    assert plan.source_terminal.tolist() == [0, 0, 3, 1, 0, 2]
    assert plan.dest_terminal.tolist() == [0, 0, 0, 1, 0, 2]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ((1, 5, 0, 9), "there is no node 5; accepted are 1 (s0) to 4 (ground), satellites before sites"),
        ((0, 1, 0, 9), "there is no node 0; accepted are 1 (s0) to 4 (ground), satellites before sites"),
    ],
)
def test_contacts_that_cannot_be(row: tuple[int, int, float, float], problem: str) -> None:
    with pytest.raises(InputError) as caught:
        listed((1, 2, 10, 50), row)
    assert str(caught.value) == f"links.plan = 'p.ion, line 2': {problem}"


@pytest.mark.parametrize("form", EXPORTS)
def test_plans_are_read_by_their_suffix(tmp_path: Path, form: str) -> None:
    path = tmp_path / EXPORTS[form]
    path.write_text(plan_text(form, PLAN, START), encoding="utf-8")
    plan = read(path)
    for name in ("source", "dest", "start_s", "end_s", "rate_bps", "owlt_s"):
        assert getattr(plan, name).tolist() == getattr(PLAN, name).tolist()


def test_a_parquet_plan_is_exact(tmp_path: Path) -> None:
    exact = replace(PLAN, node_names=NODES, start_s=PLAN.start_s + 1 / 3)
    exact.write(tmp_path / "plan.parquet")
    plan = read(tmp_path / "plan.parquet")
    for field in fields(ContactPlan)[2:]:
        assert getattr(plan, field.name).tolist() == getattr(exact, field.name).tolist()


def test_a_parquet_plan_is_cut_to_the_horizon(tmp_path: Path) -> None:
    replace(PLAN, node_names=NODES).write(tmp_path / "plan.parquet")
    plan = read(tmp_path / "plan.parquet", horizon_s=35.0)
    assert plan.horizon_s == 35.0
    assert plan.contact_id.tolist() == [0, 1, 2, 3]
    assert plan.end_s.tolist() == [30.0, 30.0, 35.0, 35.0]


def test_a_parquet_plan_of_other_nodes(tmp_path: Path) -> None:
    path = tmp_path / "plan.parquet"
    replace(PLAN, node_names=("a", "b", "c", "d")).write(path)
    assert told(path) == f"links.plan = '{path}': its nodes are 4: a, b, c, d; the recipe's are 4: s0, s1, s2, ground"
    names = tuple(f"n{k}" for k in range(5))
    replace(PLAN, node_names=names).write(path)
    assert told(path).endswith(": its nodes are 5: n0, n1, n2, n3, ...; the recipe's are 4: s0, s1, s2, ground")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "plan.ion"
    assert told(path) == f"links.plan = '{path}': no such file"
    path.write_bytes(b"# \xff")
    assert told(path) == f"links.plan = '{path}': is not UTF-8 text"
    other = tmp_path / "plan.csv"
    accepted = "its format goes by its name; accepted are .parquet, .json (HDTN), .ion or .ionrc (ION)"
    assert told(other) == f"links.plan = '{other}': {accepted}"
    (tmp_path / "folder.ion").mkdir()
    assert told(tmp_path / "folder.ion").endswith("cannot be read: Is a directory")


def test_a_plan_of_another_time(tmp_path: Path) -> None:
    path = tmp_path / "plan.ion"
    path.write_text("a range +0 +9000 1 2 1\na contact +8000 +9000 1 2 100\n", encoding="utf-8")
    problem = "has no contact between two nodes within the 0.5 h after 2026-03-20T00:00:00+00:00"
    assert told(path, 1800.0) == f"links.plan = '{path}': {problem}"


def test_a_plan_that_is_too_short_is_told(tmp_path: Path) -> None:
    path = tmp_path / "plan.ion"
    path.write_text(plan_text("ion", PLAN, START), encoding="utf-8")
    assert len(read(path, horizon_s=111.0)) == 6
    with pytest.warns(InputWarning) as caught:
        assert read(path, horizon_s=7200.0).horizon_s == 7200.0
    problem = "its last contact ends at 0.03 h, and the scenario at 2 h"
    assert [str(w.message) for w in caught] == [f"links.plan = '{path}': {problem}"]


def test_no_terminal_serves_two_links() -> None:
    rng = np.random.default_rng(2)
    rows = [(int(a), int(b), 10.0 * k, 10.0 * k + 5) for k, (a, b) in enumerate(rng.integers(1, 5, (60, 2)))]
    plan = listed(*rows, horizon_s=600.0)
    node = np.concatenate([plan.source, plan.dest])
    terminal = np.concatenate([plan.source_terminal, plan.dest_terminal])
    link = np.tile(plan.link_id, 2)
    ends = {(int(n), int(t), int(k)) for n, t, k in zip(node, terminal, link, strict=True)}
    assert len(ends) == len({(n, t) for n, t, _ in ends}) == 12  # 6 pairs of 4 nodes, 2 ends each
