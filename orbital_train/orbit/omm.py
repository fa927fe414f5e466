"""Orbit mean-elements messages (OMM, CCSDS 502.0) as JSON, CSV or XML, with CelesTrak's and Space-Track's fields."""

from __future__ import annotations

import io
import json
import math
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
# What SGP4 does not need.
OPTIONAL = {
    "OBJECT_ID": "",
    "CLASSIFICATION_TYPE": "U",
    "EPHEMERIS_TYPE": "0",
    "ELEMENT_SET_NO": "999",
    "REV_AT_EPOCH": "0",
    "MEAN_MOTION_DOT": "0",
    "MEAN_MOTION_DDOT": "0",
}
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
    if "MEAN_MOTION" not in (rows.fieldnames or ()):
        found = text.strip().splitlines()[0][:60] if text.strip() else "nothing"
        raise BrokenElements("line 1", f"expected OMM as JSON, CSV or XML, found {found!r}")
    records = [(f"line {rows.line_num}", row) for row in rows]
    if not records:
        raise BrokenElements("line 2", "the table has no rows")
    for place, row in records:
        if None in row or None in row.values():
            raise BrokenElements(place, f"expected {len(rows.fieldnames or ())} fields, as in the header")
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
    # Nothing here reads the catalogue number, and sgp4 refuses those above 339999, which exist.
    fields = {**OPTIONAL, **given, "NORAD_CAT_ID": 0, "EPOCH": _epoch(place, given["EPOCH"])}
    fields |= {name: _number(place, name, given[name]) for name in NUMBERS}
    refuse_xp(place, str(fields["EPHEMERIS_TYPE"]))
    satrec = Satrec()
    try:
        omm.initialize(satrec, fields)
    except (TypeError, ValueError) as error:
        raise BrokenElements(place, str(error)) from error
    return str(given["OBJECT_NAME"]), satrec


def _number(place: str, name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise BrokenElements(place, f"{name} is {value!r}, which is not a number")
    return number


def _epoch(place: str, value: Any) -> str:
    """As sgp4 wants it, which knows neither whole seconds nor a Z at the end."""
    try:
        epoch = datetime.fromisoformat(str(value).removesuffix("Z"))
    except ValueError:
        epoch = None
    if epoch is None or epoch.tzinfo is not None:
        raise BrokenElements(place, f"EPOCH is {value!r}; accepted is a time in UTC like 2024-05-20T13:33:20.193984")
    return epoch.strftime("%Y-%m-%dT%H:%M:%S.%f")
