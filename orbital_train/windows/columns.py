"""Columns in Parquet files that say what they are: exact, and read whole or refused.

A file's metadata carries its kind and version, facts that are not columns, and a SHA-256 of all of it. Parquet's own
checksums cover pages of data, and neither names, types nor metadata.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from orbital_train.errors import InputError

VERSION = 2
_MARK = b"orbital_train"
_SEAL = b"orbital_train.sha256"
_ROWS = 1 << 20  # of a row group

Columns = Mapping[str, NDArray[np.float64] | NDArray[np.int64]]
Types = Mapping[str, type[np.float64] | type[np.int64]]


class _Seal:
    """A digest of columns that come in parts, whatever the parts."""

    def __init__(self, names: Iterable[str]) -> None:
        self._columns = {name: hashlib.sha256(name.encode()) for name in names}

    def add(self, name: str, values: NDArray[Any]) -> None:
        self._columns[name].update(np.ascontiguousarray(values).data)

    def hexdigest(self, mark: bytes) -> bytes:
        """Of the columns, and of what else the file says."""
        whole = hashlib.sha256(mark)
        for column in self._columns.values():
            whole.update(column.digest())
        return whole.hexdigest().encode()


def write_columns(path: Path, kind: str, columns: Columns, types: Types, **facts: object) -> None:
    """Write columns of one length; see :func:`write_parts`."""
    write_parts(path, kind, [columns], types, **facts)


def write_parts(path: Path, kind: str, parts: Iterable[Columns], types: Types, **facts: object) -> int:
    """Write columns part by part as they come; exact. The file appears when it is whole.

    Args:
        path: the file.
        kind: what it holds.
        parts: some rows each, of all columns.
        types: names and types of the columns.
        facts: what else it should say; JSON.

    Returns:
        The number of rows.
    """
    unfinished = path.with_name(path.name + ".part")
    try:
        rows = _write_parts(unfinished, parts, types, {"kind": kind, "version": VERSION, "facts": facts})
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return rows


def _write_parts(path: Path, parts: Iterable[Columns], types: Types, mark: Mapping[str, object]) -> int:
    schema = pa.schema([(name, pa.from_numpy_dtype(kind)) for name, kind in types.items()])
    text = json.dumps(mark).encode()
    seal = _Seal(types)
    rows = 0
    with pq.ParquetWriter(path, schema, write_page_checksum=True, store_schema=False) as writer:
        for part in parts:
            table = pa.table({name: part[name] for name in types}, schema=schema)
            for name in types:
                seal.add(name, part[name])
            writer.write_table(table, row_group_size=_ROWS)
            rows += table.num_rows
        writer.add_key_value_metadata({_MARK: text, _SEAL: seal.hexdigest(text)})
    return rows


def rows_from_the_last(path: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Some columns of a file that this process has just written, in parts: the last rows first, each part backwards.

    The file must be whole: nothing is checked.
    """
    with pq.ParquetFile(path) as file:
        for group in reversed(range(file.num_row_groups)):
            rows = file.read_row_group(group, columns=list(names))
            yield {name: rows[name].to_numpy()[::-1] for name in names}


def read_columns(path: Path, kind: str, types: Types) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read what :func:`write_columns` or :func:`write_parts` wrote.

    Args:
        path: the file.
        kind: what it must hold.
        types: its columns and their types.

    Returns:
        The columns, and the facts.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: the file is truncated or damaged, is not of this kind and version, or has other columns (key
            ``kind``).
    """
    table, metadata = _whole_table(path, kind)
    mark = json.loads(metadata[_MARK])
    if mark["kind"] != kind:
        raise InputError(kind, str(path), f"is a file of kind {mark['kind']!r}; accepted is a {kind}")
    if mark["version"] != VERSION:
        raise InputError(kind, str(path), f"has version {mark['version']}; accepted is {VERSION}: plan it again")
    for name, wanted in types.items():
        _check_column(table, kind, path, name, pa.from_numpy_dtype(wanted))
    return {name: table[name].to_numpy() for name in types}, mark["facts"]


def _whole_table(path: Path, kind: str) -> tuple[pa.Table, Mapping[bytes, bytes]]:
    """All columns and the metadata, once the digest says that they are what was written."""
    damaged = InputError(kind, str(path), "is not a whole Parquet file: truncated, damaged or of another kind")
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table, metadata = file.read(), file.metadata.metadata or {}
    except FileNotFoundError:
        raise
    except (OSError, MemoryError, OverflowError, ValueError, pa.ArrowException):
        # A damaged footer fails wherever it is first believed, not only where Parquet looks for damage.
        raise damaged from None
    if _MARK not in metadata or _SEAL not in metadata:
        raise InputError(kind, str(path), f"is a Parquet file that this program did not write; accepted is a {kind}")
    if _seal_of(table, metadata[_MARK]) != metadata[_SEAL]:
        raise damaged
    return table, metadata


def _seal_of(table: pa.Table, mark: bytes) -> bytes:
    seal = _Seal(table.column_names)
    for name in table.column_names:
        for chunk in table[name].chunks:
            seal.add(name, chunk.to_numpy(zero_copy_only=False))
    return seal.hexdigest(mark)


def _check_column(table: pa.Table, kind: str, path: Path, name: str, wanted: pa.DataType) -> None:
    if name not in table.column_names:
        raise InputError(kind, str(path), f"has no column {name}")
    found = table.schema.field(name).type
    if found != wanted:
        raise InputError(kind, str(path), f"column {name} is {found}; accepted is {wanted}")
