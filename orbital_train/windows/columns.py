"""Columns in Parquet files that say what they are: exact, and checked when they are read.

A file carries its kind and version, and facts that are not columns, as JSON in the schema's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from orbital_train.errors import InputError

VERSION = 1
_MARK = b"orbital_train"
_FACTS = b"facts"

Columns = Mapping[str, NDArray[np.float64] | NDArray[np.int64]]


def file_metadata(kind: str, **facts: object) -> dict[bytes, bytes]:
    """Metadata of a file: what it holds, the version of its layout, and facts that are not columns."""
    return {_MARK: json.dumps({"kind": kind, "version": VERSION}).encode(), _FACTS: json.dumps(facts).encode()}


def write_columns(path: Path, kind: str, columns: Columns, **facts: object) -> None:
    """Write columns of one length, with a checksum for each page; exact."""
    table = pa.table(dict(columns)).replace_schema_metadata(file_metadata(kind, **facts))
    pq.write_table(table, path, write_page_checksum=True)


def read_columns(
    path: Path, kind: str, types: Mapping[str, type[np.float64] | type[np.int64]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read what :func:`write_columns` wrote.

    Args:
        path: the file.
        kind: what it must hold.
        types: its columns and their types.

    Returns:
        The columns, and the facts.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: the file is truncated or damaged, is not of this kind and version, or lacks a column (key ``kind``).
    """
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException):
        raise InputError(
            kind, str(path), "is not a whole Parquet file: truncated, damaged or of another kind"
        ) from None
    metadata = table.schema.metadata or {}
    mark = json.loads(metadata.get(_MARK, b"{}"))
    if mark.get("kind") != kind:
        held = f"of kind {mark['kind']!r}" if "kind" in mark else "that this program did not write"
        raise InputError(kind, str(path), f"is a Parquet file {held}; accepted is a {kind}")
    if mark["version"] != VERSION:
        raise InputError(kind, str(path), f"has version {mark['version']}; accepted is {VERSION}: plan it again")
    return {name: _column(table, kind, path, name, wanted) for name, wanted in types.items()}, json.loads(
        metadata[_FACTS]
    )


def _column(table: pa.Table, kind: str, path: Path, name: str, wanted: type[np.float64] | type[np.int64]) -> Any:
    expected = pa.from_numpy_dtype(wanted)
    if name not in table.column_names:
        raise InputError(kind, str(path), f"has no column {name}")
    column = table[name]
    if column.type != expected or column.null_count:
        found = f"{column.type} with {column.null_count} values missing" if column.null_count else str(column.type)
        raise InputError(kind, str(path), f"column {name} is {found}; accepted is {expected}")
    return column.to_numpy()
