"""Orbit mean-elements messages (OMM, CCSDS 502.0) as JSON, CSV or XML, with CelesTrak's and Space-Track's fields."""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

from sgp4 import omm
from sgp4.api import Satrec

from orbital_train.orbit.element_sets import BrokenElements, Element, refuse_xp

Record = tuple[str, dict[str, Any]]  # where it stands, its fields

NUMBERS = (
    "MEAN_MOTION",
    "ECCENTRICITY",
    "INCLINATION",
    "RA_OF_ASC_NODE",
    "ARG_OF_PERICENTER",
    "MEAN_ANOMALY",
    "BSTAR",
)
# Numbers that SGP4 does not need; a file in which they are none is broken all the same.
OPTIONAL = ("MEAN_MOTION_DOT", "MEAN_MOTION_DDOT")
OPTIONAL_WHOLE = ("EPHEMERIS_TYPE", "ELEMENT_SET_NO", "REV_AT_EPOCH")
# What sgp4 wants to be told and nothing here reads. It refuses catalogue numbers above 339999, which exist.
UNREAD = {"OBJECT_ID": "", "CLASSIFICATION_TYPE": "U", "NORAD_CAT_ID": 0}
YEARS = (1957, 2056)  # of an epoch, as those that two-line elements can have
# What the fields must say where they are given: other elements mean something else.
ACCEPTED = {
    "CENTER_NAME": ("EARTH",),
    "REF_FRAME": ("TEME",),
    "TIME_SYSTEM": ("UTC",),
    "MEAN_ELEMENT_THEORY": ("SGP4", "SGP/SGP4", "SGP"),
}
UNITS = {
    "MEAN_MOTION": "rev/day",
    "INCLINATION": "deg",
    "RA_OF_ASC_NODE": "deg",
    "ARG_OF_PERICENTER": "deg",
    "MEAN_ANOMALY": "deg",
    "BSTAR": "1/ER",
    "MEAN_MOTION_DOT": "rev/day**2",
    "MEAN_MOTION_DDOT": "rev/day**3",
}


def parse_omm(text: str) -> list[Element]:
    """Satellites from OMM records; the format is told by the first character.

    Raises:
        BrokenElements: something else is found, with the line or record number.
    """
    start = text.lstrip()[:1]
    if start == "<":
        records = _xml_records(text)
    elif start in ("[", "{"):
        records = _json_records(text)
    else:
        records = _csv_records(text)
    return [_element(place, fields) for place, fields in records]


def _json_records(text: str) -> list[Record]:
    try:
        records = json.loads(text)
    except RecursionError:
        raise BrokenElements("line 1", "not JSON of OMM records: nested too deeply") from None
    except json.JSONDecodeError as error:
        raise BrokenElements(f"line {error.lineno}", f"not JSON: {error.msg}") from error
    if not isinstance(records, list) or not records:
        raise BrokenElements("line 1", "expected a JSON list with at least one OMM record")
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise BrokenElements(f"record {number}", "expected a JSON object with the fields of an OMM")
    return [(f"record {number}", record) for number, record in enumerate(records, start=1)]


def _csv_records(text: str) -> list[Record]:
    rows = omm.parse_csv(io.StringIO(text))
    columns = rows.fieldnames or ()
    if "MEAN_MOTION" not in columns:
        found = text.strip().splitlines()[0][:60] if text.strip() else "nothing"
        raise BrokenElements("line 1", f"expected OMM as JSON, CSV or XML, found {found!r}")
    if twice := [name for name, times in Counter(columns).items() if times > 1]:
        raise BrokenElements("line 1", f"the column {twice[0]} stands there more than once; accepted is one of each")
    records = [(f"line {rows.line_num}", row) for row in rows]
    if not records:
        raise BrokenElements("line 2", "the table has no rows")
    for place, row in records:
        if None in row or None in row.values():
            raise BrokenElements(place, f"expected {len(columns)} fields, as in the header")
    return records


class _Builder(ElementTree.TreeBuilder):
    """Refuses a document type before any entity of it is read: none belongs in an OMM, and entities can be bombs."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise BrokenElements("line 1", "XML with a document type (DTD) is not accepted")


def _xml_records(text: str) -> list[Record]:
    """Not sgp4's own reader: it drops the units."""
    try:
        root = ElementTree.fromstring(text, parser=ElementTree.XMLParser(target=_Builder()))
    except ElementTree.ParseError as error:
        raise BrokenElements(f"line {error.position[0]}", f"not XML: {error.msg.split(':')[0]}") from error
    messages = [node for node in root.iter() if _tag(node) == "omm"]
    if not messages:
        raise BrokenElements("line 1", f"expected XML with OMM messages, found {_tag(root)!r}")
    return [(f"message {number}", _xml_fields(number, node)) for number, node in enumerate(messages, start=1)]


def _xml_fields(number: int, message: ElementTree.Element) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for field in _leaves(message):
        name, unit = _tag(field), field.get("units")
        if unit is not None and name in UNITS and unit.lower() != UNITS[name].lower():
            raise BrokenElements(f"message {number}", f"{name} is in {unit!r}; accepted is {UNITS[name]!r}")
        if unit is not None and name == "ECCENTRICITY":
            raise BrokenElements(f"message {number}", f"{name} is in {unit!r}; it has no unit")
        fields[name] = field.text
    return fields


def _leaves(message: ElementTree.Element) -> Iterator[ElementTree.Element]:
    return (node for node in message.iter() if len(node) == 0)


def _tag(node: ElementTree.Element) -> str:
    """Without its namespace."""
    return node.tag.rpartition("}")[2]


def _element(place: str, record: dict[str, Any]) -> Element:
    given = {name: value for name, value in record.items() if value not in (None, "")}
    for name in ("OBJECT_NAME", "EPOCH", *NUMBERS):
        if name not in given:
            raise BrokenElements(place, f"the field {name} is missing")
    for name, accepted in ACCEPTED.items():
        if name in given and given[name] not in accepted:
            raise BrokenElements(place, f"{name} is {given[name]!r}; accepted is {' or '.join(accepted)}")
    fields = {**UNREAD, "EPOCH": _epoch(place, given["EPOCH"])}
    fields |= {name: _number(place, name, given[name]) for name in NUMBERS}
    fields |= {name: _number(place, name, given.get(name, 0)) for name in OPTIONAL}
    fields |= {name: _whole(place, name, given.get(name, 0)) for name in OPTIONAL_WHOLE}
    refuse_xp(place, str(fields["EPHEMERIS_TYPE"]))
    satrec = Satrec()
    omm.initialize(satrec, fields)
    return _name(place, given["OBJECT_NAME"]), satrec


def _name(place: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BrokenElements(place, f"OBJECT_NAME is {value!r}; accepted is text")
    return value


def _number(place: str, name: str, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise BrokenElements(place, f"{name} is {value!r}, which is not a number")
    return number


def _whole(place: str, name: str, value: Any) -> int:
    number = _number(place, name, value)
    if not (number.is_integer() and 0 <= number < 2**31):
        raise BrokenElements(place, f"{name} is {value!r}; accepted is a whole number, 0 or more")
    return int(number)


def _epoch(place: str, value: Any) -> str:
    """As sgp4 wants it, which knows neither whole seconds nor a Z at the end."""
    try:
        epoch = datetime.fromisoformat(str(value).removesuffix("Z"))
    except ValueError:
        epoch = None
    if epoch is None or epoch.tzinfo is not None:
        raise BrokenElements(place, f"EPOCH is {value!r}; accepted is a time in UTC like 2024-05-20T13:33:20.193984")
    if not YEARS[0] <= epoch.year <= YEARS[1]:
        raise BrokenElements(place, f"EPOCH is {value!r}; accepted are the years {YEARS[0]} to {YEARS[1]}")
    return epoch.strftime("%Y-%m-%dT%H:%M:%S.%f")
