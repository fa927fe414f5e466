from __future__ import annotations

import json

import pytest

from orbital_train.orbit.element_sets import BrokenElements
from orbital_train.orbit.omm import UNITS, parse_omm
from tests.unit.orbit.element_texts import RECORD, csv_text, xml_text

SECOND = {**RECORD, "OBJECT_NAME": "STARLINK-1008", "MEAN_ANOMALY": 10.5}
METADATA = {
    "CENTER_NAME": "EARTH",
    "REF_FRAME": "TEME",
    "TIME_SYSTEM": "UTC",
    "MEAN_ELEMENT_THEORY": "SGP4",
}
BOMB = '<!DOCTYPE ndm [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>\n'
FILE_ENTITY = '<!DOCTYPE ndm [<!ENTITY a SYSTEM "file:///etc/hostname">]>\n'


def problem(text: str) -> str:
    with pytest.raises(BrokenElements) as caught:
        parse_omm(text)
    return str(caught.value)


def test_json_csv_and_xml_say_the_same() -> None:
    records = [RECORD, SECOND]
    texts = (json.dumps(records), csv_text(records), xml_text([{**r, **METADATA} for r in records], UNITS))
    found = [parse_omm(text) for text in texts]
    for elements in found:
        assert [name for name, _ in elements] == ["STARLINK-1007", "STARLINK-1008"]
        satrec = elements[0][1]
        assert satrec.a * satrec.radiusearthkm - 6378.137 == pytest.approx(547.3, abs=1.0)
        for (_, one), (_, other) in zip(elements, found[0], strict=True):
            assert one.sgp4(one.jdsatepoch, one.jdsatepochF + 0.3) == other.sgp4(one.jdsatepoch, one.jdsatepochF + 0.3)


@pytest.mark.parametrize("number", [99_999, 100_000, 339_999, 340_000, 400_000_123])
@pytest.mark.parametrize("text", [lambda r: json.dumps([r]), lambda r: csv_text([r]), lambda r: xml_text([r])])
def test_catalogue_numbers_may_have_nine_digits(number: int, text: object) -> None:
    assert parse_omm(text({**RECORD, "NORAD_CAT_ID": number}))[0][0] == "STARLINK-1007"  # type: ignore[operator]


def test_what_sgp4_does_not_need_may_be_missing() -> None:
    needed = ("OBJECT_NAME", "EPOCH", *list(UNITS)[:6], "ECCENTRICITY")
    ((_, satrec),) = parse_omm(json.dumps([{name: RECORD[name] for name in needed}]))
    ((_, whole),) = parse_omm(json.dumps([RECORD]))
    assert satrec.sgp4(satrec.jdsatepoch, 0.0) == whole.sgp4(satrec.jdsatepoch, 0.0)


def test_what_nothing_reads_may_be_anything() -> None:
    ((name, _),) = parse_omm(json.dumps([{**RECORD, "OBJECT_ID": [1], "CLASSIFICATION_TYPE": 3, "NORAD_CAT_ID": "x"}]))
    assert name == "STARLINK-1007"


def test_numbers_may_be_strings_and_epochs_have_other_digits() -> None:
    """Space-Track writes numbers as strings; the standard lets an epoch end with a Z or without a fraction."""
    strings = {name: str(value) for name, value in RECORD.items()}
    ((_, satrec),) = parse_omm(json.dumps([{**strings, "EPOCH": "2024-05-20T13:33:20Z"}]))
    assert satrec.jdsatepoch + satrec.jdsatepochF == pytest.approx(2460451.0648148, abs=1e-7)


def without(field: str) -> dict[str, object]:
    return {k: v for k, v in RECORD.items() if k != field}


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ([], "line 1: expected a JSON list with at least one OMM record"),
        ({"a": 1}, "line 1: expected a JSON list with at least one OMM record"),
        ([RECORD, 7], "record 2: expected a JSON object with the fields of an OMM"),
        ([RECORD, without("EPOCH")], "record 2: the field EPOCH is missing"),
        ([without("OBJECT_NAME")], "record 1: the field OBJECT_NAME is missing"),
        ([{**RECORD, "INCLINATION": None}], "record 1: the field INCLINATION is missing"),
        (
            [{**RECORD, "EPOCH": "yesterday"}],
            "record 1: EPOCH is 'yesterday'; accepted is a time in UTC like 2024-05-20T13:33:20.193984",
        ),
        (
            [{**RECORD, "EPOCH": "2024-05-20T13:33:20+02:00"}],
            "record 1: EPOCH is '2024-05-20T13:33:20+02:00'; accepted is a time in UTC like 2024-05-20T13:33:20.193984",
        ),
        (
            [{**RECORD, "EPOCH": "0001-01-01T00:00:00"}],
            "record 1: EPOCH is '0001-01-01T00:00:00'; accepted are the years 1957 to 2056",
        ),
        ([{**RECORD, "OBJECT_NAME": [1, 2]}], "record 1: OBJECT_NAME is [1, 2]; accepted is text"),
        ([{**RECORD, "OBJECT_NAME": " "}], "record 1: OBJECT_NAME is ' '; accepted is text"),
        ([{**RECORD, "ELEMENT_SET_NO": "abc"}], "record 1: ELEMENT_SET_NO is 'abc', which is not a number"),
        (
            [{**RECORD, "REV_AT_EPOCH": "1.5"}],
            "record 1: REV_AT_EPOCH is '1.5'; accepted is a whole number, 0 or more",
        ),
        (
            [{**RECORD, "ELEMENT_SET_NO": 10**30}],
            f"record 1: ELEMENT_SET_NO is {10**30}; accepted is a whole number, 0 or more",
        ),
        ([{**RECORD, "MEAN_MOTION_DOT": "x"}], "record 1: MEAN_MOTION_DOT is 'x', which is not a number"),
        ([{**RECORD, "BSTAR": 10**400}], f"record 1: BSTAR is {10**400}, which is not a number"),
        ([{**RECORD, "INCLINATION": True}], "record 1: INCLINATION is True, which is not a number"),
        ([{**RECORD, "INCLINATION": "north"}], "record 1: INCLINATION is 'north', which is not a number"),
        ([{**RECORD, "MEAN_ANOMALY": float("nan")}], "record 1: MEAN_ANOMALY is nan, which is not a number"),
        ([{**RECORD, "BSTAR": [1]}], "record 1: BSTAR is [1], which is not a number"),
        (
            [{**RECORD, "EPHEMERIS_TYPE": 4}],
            "record 1: these elements are for SGP4-XP (ephemeris type 4); accepted are those for SGP4",
        ),
        ([{**RECORD, "REF_FRAME": "ICRF"}], "record 1: REF_FRAME is 'ICRF'; accepted is TEME"),
        ([{**RECORD, "TIME_SYSTEM": "TAI"}], "record 1: TIME_SYSTEM is 'TAI'; accepted is UTC"),
        ([{**RECORD, "CENTER_NAME": "MOON"}], "record 1: CENTER_NAME is 'MOON'; accepted is EARTH"),
        (
            [{**RECORD, "MEAN_ELEMENT_THEORY": "DSST"}],
            "record 1: MEAN_ELEMENT_THEORY is 'DSST'; accepted is SGP4 or SGP/SGP4 or SGP",
        ),
    ],
)
def test_broken_json_names_the_record(records: object, told: str) -> None:
    assert problem(json.dumps(records)) == told


def test_json_without_end_is_refused() -> None:
    assert problem("[" * 200_000) == "line 1: not JSON of OMM records: nested too deeply"


def test_truncated_json_names_the_line() -> None:
    assert problem('[\n{"a": 1},\n{"b" 2}]') == "line 3: not JSON: Expecting ':' delimiter"
    assert problem(json.dumps([RECORD], indent=1)[:200]) == "line 9: not JSON: Unterminated string starting at"


def test_broken_csv_names_the_line() -> None:
    whole = csv_text([RECORD, SECOND])
    assert problem(whole[:-25]) == "line 3: expected 17 fields, as in the header"
    assert problem(whole.replace(",24955,", ",24955,7,", 1)) == "line 2: expected 17 fields, as in the header"
    assert problem(csv_text([RECORD, {**SECOND, "BSTAR": ""}])) == "line 3: the field BSTAR is missing"
    assert problem(whole.replace("53.0548", "north")) == "line 2: INCLINATION is 'north', which is not a number"
    assert problem(whole.replace(",999,", ",abc,", 1)) == ("line 2: ELEMENT_SET_NO is 'abc', which is not a number")
    assert problem(whole.replace("ECCENTRICITY", "MEAN_MOTION")) == (
        "line 1: the column MEAN_MOTION stands there more than once; accepted is one of each"
    )
    assert problem(whole.splitlines()[0]) == "line 2: the table has no rows"
    assert problem("No GP data found") == "line 1: expected OMM as JSON, CSV or XML, found 'No GP data found'"
    assert problem(" \n") == "line 1: expected OMM as JSON, CSV or XML, found 'nothing'"


def test_broken_xml_names_the_message_or_line() -> None:
    whole = xml_text([RECORD, SECOND])
    assert problem(whole[:700]) == "line 21: not XML: unclosed token"
    assert problem(whole.replace("</ndm>", "</mdn>")) == "line 51: not XML: mismatched tag"
    assert problem("<html><body>Busy</body></html>") == "line 1: expected XML with OMM messages, found 'html'"
    assert problem(xml_text([RECORD, without("BSTAR")])) == "message 2: the field BSTAR is missing"
    assert problem(xml_text([{**RECORD, "REF_FRAME": "ICRF"}])) == "message 1: REF_FRAME is 'ICRF'; accepted is TEME"


def test_other_units_are_refused() -> None:
    assert (
        problem(xml_text([RECORD], {"INCLINATION": "rad"})) == "message 1: INCLINATION is in 'rad'; accepted is 'deg'"
    )
    assert problem(xml_text([RECORD], {"MEAN_MOTION": "rad/s"})) == (
        "message 1: MEAN_MOTION is in 'rad/s'; accepted is 'rev/day'"
    )
    assert problem(xml_text([RECORD], {"ECCENTRICITY": "%"})) == "message 1: ECCENTRICITY is in '%'; it has no unit"
    assert parse_omm(xml_text([RECORD], {"BSTAR": "1/er"}))[0][0] == "STARLINK-1007"


@pytest.mark.parametrize("head", [BOMB, FILE_ENTITY, "<!DOCTYPE ndm>\n"])
def test_document_types_are_refused(head: str) -> None:
    text = xml_text([{**RECORD, "OBJECT_NAME": "&a;"}], head=head)
    assert problem(text) == "line 1: XML with a document type (DTD) is not accepted"
