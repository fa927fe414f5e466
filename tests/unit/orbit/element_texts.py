"""Element sets in every format, for tests."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

LINE_1 = "1 25544U 98067A   18184.80969102  .00001614  00000-0  31745-4 0  9993"
LINE_2 = "2 25544  51.6414 295.8524 0003435 262.6267 204.2868 15.54005638121106"
RECORD: dict[str, object] = {
    "OBJECT_NAME": "STARLINK-1007",
    "OBJECT_ID": "2019-074A",
    "EPOCH": "2024-05-20T13:33:20.193984",
    "MEAN_MOTION": 15.06388316,
    "ECCENTRICITY": 0.0001793,
    "INCLINATION": 53.0548,
    "RA_OF_ASC_NODE": 261.0513,
    "ARG_OF_PERICENTER": 106.2162,
    "MEAN_ANOMALY": 253.9024,
    "EPHEMERIS_TYPE": 0,
    "CLASSIFICATION_TYPE": "U",
    "NORAD_CAT_ID": 44713,
    "ELEMENT_SET_NO": 999,
    "REV_AT_EPOCH": 24955,
    "BSTAR": 0.00031796,
    "MEAN_MOTION_DOT": 4.456e-05,
    "MEAN_MOTION_DDOT": 0,
}
METADATA = ("OBJECT_NAME", "OBJECT_ID", "CENTER_NAME", "REF_FRAME", "TIME_SYSTEM", "MEAN_ELEMENT_THEORY")
TLE_PARAMETERS = tuple(RECORD)[9:]


def csv_text(records: Sequence[Mapping[str, object]]) -> str:
    """A table with CelesTrak's columns."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(records[0]))
    table.writeheader()
    table.writerows(records)
    return text.getvalue()


def xml_text(records: Sequence[Mapping[str, object]], units: Mapping[str, str] | None = None, head: str = "") -> str:
    """CelesTrak's XML."""
    messages = "".join(_message(record, units or {}) for record in records)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}<ndm>\n{messages}</ndm>\n'


def _message(record: Mapping[str, object], units: Mapping[str, str]) -> str:
    def fields(names: Sequence[str]) -> str:
        told = {name: f' units="{units[name]}"' if name in units else "" for name in names}
        return "".join(f"<{name}{told[name]}>{record[name]}</{name}>\n" for name in names if name in record)

    elements = [name for name in record if name not in METADATA and name not in TLE_PARAMETERS]
    return (
        f'<omm id="CCSDS_OMM_VERS" version="2.0">\n<header><ORIGINATOR/></header><body><segment>\n<metadata>\n'
        f"{fields(METADATA)}</metadata><data><meanElements>\n{fields(elements)}</meanElements>\n"
        f"<tleParameters>\n{fields(TLE_PARAMETERS)}</tleParameters></data></segment></body></omm>\n"
    )
