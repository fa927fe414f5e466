from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orbital_train.errors import InputError
from orbital_train.windows import columns
from orbital_train.windows.columns import Columns, Types, read_columns, rows_from_the_last, write_columns, write_parts

TYPES: Types = {"node": np.int64, "t_s": np.float64}
SOME: Columns = {"node": np.array([3, 1, 2]), "t_s": np.array([0.1 + 0.2, np.inf, -0.0])}
DAMAGED = "is not a whole Parquet file: truncated, damaged or of another kind"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "some.parquet"
    write_columns(path, "tests", SOME, TYPES, names=["a", "ü"], horizon_s=0.1)
    return path


def problem(path: Path, kind: str = "tests", types: Types = TYPES) -> str:
    with pytest.raises(InputError) as caught:
        read_columns(path, kind, types)
    assert (caught.value.key, caught.value.value) == (kind, str(path))
    return caught.value.problem


def test_columns_and_facts_come_back_exactly(file: Path) -> None:
    found, facts = read_columns(file, "tests", TYPES)
    assert facts == {"names": ["a", "ü"], "horizon_s": 0.1}
    for name, wanted in SOME.items():
        assert found[name].tobytes() == wanted.tobytes()
        assert found[name].dtype == wanted.dtype


@pytest.mark.parametrize("cut", [0.0, 0.5, 0.99])
def test_truncated_files_are_refused(file: Path, cut: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(cut * len(content))])
    assert problem(file) == DAMAGED


def test_a_flipped_bit_is_found_wherever_it_matters(file: Path) -> None:
    """Also in names, types and facts, which Parquet's checksums do not cover."""
    content = file.read_bytes()
    refused = 0
    for place in range(0, len(content), 3):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        file.write_bytes(flipped)
        try:
            found, facts = read_columns(file, "tests", TYPES)
        except InputError:
            refused += 1
            continue
        assert facts == {"names": ["a", "ü"], "horizon_s": 0.1}
        assert all(found[name].tobytes() == wanted.tobytes() for name, wanted in SOME.items())
    assert refused > 100


def test_a_changed_value_is_found_even_in_a_sound_parquet_file(file: Path) -> None:
    metadata = pq.read_metadata(file).metadata
    table = pa.table({"node": [3, 1, 4], "t_s": SOME["t_s"]}).replace_schema_metadata(metadata)
    pq.write_table(table, file)
    assert problem(file) == DAMAGED


def test_a_parquet_file_of_somebody_else(file: Path) -> None:
    pq.write_table(pa.table(dict(SOME)), file)
    assert problem(file) == "is a Parquet file that this program did not write; accepted is a tests"


def test_another_kind(file: Path) -> None:
    assert problem(file, kind="trials") == "is a file of kind 'tests'; accepted is a trials"


def test_another_version(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "VERSION", 99)
    assert problem(file) == "has version 2; accepted is 99: plan it again"


def test_a_missing_column_and_a_wrong_type(file: Path) -> None:
    assert problem(file, types={**TYPES, "rate_bps": np.float64}) == "has no column rate_bps"
    assert problem(file, types={"node": np.float64}) == "column node is int64; accepted is double"


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_columns(tmp_path / "none.parquet", "tests", TYPES)


def test_the_parts_make_no_difference(file: Path, tmp_path: Path) -> None:
    parts = [{name: column[part] for name, column in SOME.items()} for part in (slice(0, 1), slice(1, 1), slice(1, 3))]
    assert write_parts(tmp_path / "parts", "tests", parts, TYPES, names=["a", "ü"], horizon_s=0.1) == 3
    again, facts = read_columns(tmp_path / "parts", "tests", TYPES)
    whole, same = read_columns(file, "tests", TYPES)
    assert facts == same
    assert all(again[name].tobytes() == whole[name].tobytes() for name in TYPES)


def test_no_parts_make_an_empty_file(tmp_path: Path) -> None:
    assert write_parts(tmp_path / "none", "tests", [], TYPES) == 0
    found, _ = read_columns(tmp_path / "none", "tests", TYPES)
    assert {name: column.dtype for name, column in found.items()} == TYPES


def test_what_breaks_off_leaves_the_old_file_and_nothing_else(file: Path) -> None:
    def breaking() -> Iterator[Columns]:
        yield SOME
        raise RuntimeError("no more power")

    before = file.read_bytes()
    with pytest.raises(RuntimeError, match="no more power"):
        write_parts(file, "tests", breaking(), TYPES)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["some.parquet"]


def test_parts_are_read_from_the_last_row_to_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "_ROWS", 2)
    parts: list[Columns] = [{"node": np.arange(n, n + 3), "t_s": np.arange(3.0)} for n in (0, 3)]
    write_parts(tmp_path / "parts", "tests", parts, TYPES)
    found = list(rows_from_the_last(tmp_path / "parts", ("node",)))
    assert [rows["node"].tolist() for rows in found] == [[5], [4, 3], [2], [1, 0]]
    assert {name for rows in found for name in rows} == {"node"}
