"""A table of ground sites."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from orbital_train.config.problems import problem_of
from orbital_train.config.tables.sites import Site
from orbital_train.errors import InputError

_KEY = "ground_site_file"


def read_sites(path: Path) -> tuple[Site, ...]:
    """Sites from a CSV file whose header names keys of ``[[ground_sites]]``; an empty field takes the default.

    Raises:
        InputError: the file cannot be read, or a row will not do (key ``ground_site_file``), with its line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            _refuse_twice(path, rows.fieldnames or ())
            sites = tuple(_site(path, rows.line_num, row) for row in rows)
    except OSError as error:
        raise InputError(_KEY, str(path), f"cannot be read: {error.strerror}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(_KEY, str(path), f"is not a CSV file: {error}") from None
    if not sites:
        raise InputError(_KEY, str(path), "has no rows; expected a header with name, latitude_deg and longitude_deg")
    return sites


def _refuse_twice(path: Path, columns: Sequence[str]) -> None:
    if twice := [name for name, times in Counter(columns).items() if times > 1]:
        problem = f"line 1: the column {twice[0]!r} stands there more than once; accepted is one of each"
        raise InputError(_KEY, str(path), problem)


def _site(path: Path, line: int, row: dict[str | None, str | list[str] | None]) -> Site:
    if None in row:
        raise InputError(_KEY, str(path), f"line {line}: has more fields than the header")
    try:
        return Site.model_validate_strings({k: v for k, v in row.items() if v}, strict=False)
    except ValidationError as error:
        first = min(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
    column = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        problem = f"unknown column {column!r}; accepted: {', '.join(Site.model_fields)}"
    elif first["type"] == "missing":
        problem = f"{column} is missing"
    else:
        problem = f"{column} = {first['input']!r}: {problem_of(first)}"
    raise InputError(_KEY, str(path), f"line {line}: {problem}")
