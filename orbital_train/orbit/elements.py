"""Reading element sets: two-line element files (TLE) and orbit mean-elements messages (OMM) as JSON."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from sgp4 import omm
from sgp4.api import SGP4_ERRORS, Satrec
from sgp4.io import verify_checksum

from orbital_train.errors import InputError

Element = tuple[str, Satrec]  # name of the satellite, its elements
_KEY = "fleet.path"
_TLE_LENGTH = 69
# Columns of numbers without which there is no orbit. sgp4's compiled reader takes 0 for what it cannot read there.
_TLE_NUMBERS = {
    "1": ((18, 20), (20, 32), (33, 43)),
    "2": ((8, 16), (17, 25), (26, 33), (34, 42), (43, 51), (52, 63)),
}


def read_tle(path: Path) -> list[Element]:
    """Read a file of 2-line or 3-line element sets; blank lines are skipped, checksums verified.

    A satellite without a name line is named by its catalogue number.

    Raises:
        InputError: the file is missing, empty or broken (key ``fleet.path``), with the line number.
    """
    text = _read_text(path)
    lines = [(n, line.rstrip()) for n, line in enumerate(text.splitlines(), start=1) if line.strip()]
    elements: list[Element] = []
    name = ""
    i = 0
    while i < len(lines):
        number, line = lines[i]
        if not line.startswith("1 "):
            if name or line.startswith("2 "):
                raise _broken(path, f"line {number}", "expected line 1 of an element set, which starts with '1 '")
            name = line.removeprefix("0 ").strip()
            i += 1
            continue
        if i + 1 == len(lines) or not lines[i + 1][1].startswith("2 "):
            raise _broken(path, f"line {number + 1}", "expected line 2 of an element set, which starts with '2 '")
        satrec = _satrec_of_tle(path, lines[i], lines[i + 1])
        elements.append((name or satrec.satnum_str, satrec))
        name = ""
        i += 2
    if name:
        raise _broken(path, f"line {lines[-1][0]}", f"the name {name!r} is not followed by an element set")
    if not elements:
        raise _broken(path, "line 1", "the file holds no element set")
    return elements


def read_omm(path: Path) -> list[Element]:
    """Read OMM records from a JSON list (CelesTrak's field names), gzipped if the name ends in ``.gz``.

    Raises:
        InputError: the file is missing, empty or broken (key ``fleet.path``), with the line or record number.
    """
    try:
        records = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise _broken(path, f"line {error.lineno}", f"not JSON: {error.msg}") from error
    if not isinstance(records, list) or not records:
        raise _broken(path, "line 1", "expected a JSON list with at least one OMM record")
    return [_element_of_omm(path, number, record) for number, record in enumerate(records, start=1)]


def _satrec_of_tle(path: Path, first: tuple[int, str], second: tuple[int, str]) -> Satrec:
    for number, line in (first, second):
        if len(line) != _TLE_LENGTH or not line.isascii():
            raise _broken(path, f"line {number}", f"expected {_TLE_LENGTH} ASCII characters, found {len(line)}")
        try:
            verify_checksum(line)
            for start, stop in _TLE_NUMBERS[line[0]]:
                float(line[start:stop])
        except ValueError as error:
            raise _broken(path, f"line {number}", str(error).splitlines()[0]) from error
    if first[1][2:7] != second[1][2:7]:
        raise _broken(path, f"line {second[0]}", "the catalogue number is not that of line 1")
    satrec = Satrec.twoline2rv(first[1], second[1])
    _refuse_unflyable(path, f"line {first[0]}", satrec)
    return satrec


def _element_of_omm(path: Path, number: int, record: Any) -> Element:
    place = f"record {number}"
    if not isinstance(record, dict):
        raise _broken(path, place, "expected a JSON object with the fields of an OMM")
    satrec = Satrec()
    try:
        # Nothing here reads the catalogue number, and sgp4 refuses those above 339999, which exist.
        omm.initialize(satrec, {**record, "NORAD_CAT_ID": 0})
        name = str(record["OBJECT_NAME"])
    except KeyError as error:
        raise _broken(path, place, f"the field {error.args[0]} is missing") from error
    except (TypeError, ValueError) as error:
        raise _broken(path, place, str(error)) from error
    _refuse_unflyable(path, place, satrec)
    return name, satrec


def _refuse_unflyable(path: Path, place: str, satrec: Satrec) -> None:
    """Refuse elements that SGP4 cannot start from: it reports an error, or has no semi-major axis."""
    if satrec.error:
        raise _broken(path, place, f"SGP4 cannot use these elements: {SGP4_ERRORS[satrec.error]}")
    if not 0 < satrec.a < np.inf:
        raise _broken(path, place, f"SGP4 cannot use these elements: mean motion {satrec.no_kozai} rad/min")


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except OSError as error:
        raise InputError(_KEY, str(path), f"cannot be read: {error.strerror or error}") from error
    except (EOFError, UnicodeDecodeError, zlib.error) as error:
        raise InputError(_KEY, str(path), f"cannot be read: {error}") from error


def _broken(path: Path, place: str, problem: str) -> InputError:
    return InputError(_KEY, str(path), f"{place}: {problem}")
