from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from sgp4.io import fix_checksum

from orbital_train.errors import InputError
from orbital_train.orbit.elements import read_omm, read_tle

LINE_1 = "1 25544U 98067A   18184.80969102  .00001614  00000-0  31745-4 0  9993"
LINE_2 = "2 25544  51.6414 295.8524 0003435 262.6267 204.2868 15.54005638121106"
RECORD = {
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


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_two_and_three_line_sets_and_blank_lines(tmp_path: Path) -> None:
    text = f"{LINE_1}\n{LINE_2}\n\n0 ISS (ZARYA)\n{LINE_1}\n{LINE_2}\nOTHER\r\n{LINE_1}\r\n{LINE_2}"
    elements = read_tle(written(tmp_path / "a.tle", text))
    assert [name for name, _ in elements] == ["25544", "ISS (ZARYA)", "OTHER"]
    assert elements[1][1].inclo == pytest.approx(0.9013124603)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: the file holds no element set"),
        ("ISS", "line 1: the name 'ISS' is not followed"),
        (f"ISS\nISS\n{LINE_1}\n{LINE_2}", "line 2: expected line 1"),
        (f"ISS\n{LINE_2}", "line 2: expected line 1"),
        (f"\nISS\n{LINE_1}", "line 4: expected line 2"),
        (f"{LINE_1}\n{LINE_1}\n{LINE_2}", "line 2: expected line 2"),
        (f"{LINE_1[:50]}\n{LINE_2}", "line 1: expected 69 ASCII characters, found 50"),
        (f"{LINE_1}\n{LINE_2[:-1]}7", "line 2: TLE line gives its checksum as 7 but in fact tallies to 6"),
        (f"{LINE_1}\n{fix_checksum(LINE_2[:10] + 'ab' + LINE_2[12:])}", "line 2: could not convert"),
        (f"{LINE_1}\n{fix_checksum('2 25545' + LINE_2[7:])}", "line 2: the catalogue number"),
        (f"{LINE_1}\n{fix_checksum(LINE_2[:52] + '18.90000000' + LINE_2[63:])}", "line 1: SGP4 cannot use"),
    ],
)
def test_broken_tle_files_name_the_line(tmp_path: Path, text: str, problem: str) -> None:
    path = written(tmp_path / "a.tle", text)
    with pytest.raises(InputError) as caught:
        read_tle(path)
    assert caught.value.key == "fleet.path"
    assert caught.value.value == str(path)
    assert caught.value.problem.startswith(problem)


def test_omm_plain_and_gzipped(tmp_path: Path) -> None:
    plain = written(tmp_path / "a.json", json.dumps([RECORD]))
    packed = tmp_path / "a.json.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for path in (plain, packed):
        ((name, satrec),) = read_omm(path)
        assert name == "STARLINK-1007"
        assert satrec.a * satrec.radiusearthkm - 6378.137 == pytest.approx(547.3, abs=1.0)


def test_omm_catalogue_numbers_may_have_nine_digits(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", json.dumps([{**RECORD, "NORAD_CAT_ID": 400_000_123}]))
    assert read_omm(path)[0][0] == "STARLINK-1007"


def without(field: str) -> dict[str, object]:
    return {k: v for k, v in RECORD.items() if k != field}


@pytest.mark.parametrize(
    ("records", "problem"),
    [
        ([], "line 1: expected a JSON list"),
        ({"a": 1}, "line 1: expected a JSON list"),
        ([RECORD, 7], "record 2: expected a JSON object"),
        ([RECORD, without("EPOCH")], "record 2: the field EPOCH is missing"),
        ([without("OBJECT_NAME")], "record 1: the field OBJECT_NAME is missing"),
        ([{**RECORD, "EPOCH": "yesterday"}], "record 1: time data 'yesterday'"),
        ([{**RECORD, "INCLINATION": "north"}], "record 1: could not convert"),
        ([{**RECORD, "INCLINATION": None}], "record 1: float() argument"),
        ([{**RECORD, "ECCENTRICITY": 1.2}], "record 1: SGP4 cannot use these elements: mean eccentricity"),
        ([{**RECORD, "MEAN_MOTION": -1}], "record 1: SGP4 cannot use these elements: mean motion"),
    ],
)
def test_broken_omm_files_name_the_record(tmp_path: Path, records: object, problem: str) -> None:
    path = written(tmp_path / "a.json", json.dumps(records))
    with pytest.raises(InputError) as caught:
        read_omm(path)
    assert caught.value.key == "fleet.path"
    assert caught.value.problem.startswith(problem)


def test_json_errors_name_the_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 3: not JSON"):
        read_omm(written(tmp_path / "a.json", '[\n{"a": 1},\n{"b" 2}]'))


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_tle(tmp_path / "missing.tle")
    with pytest.raises(InputError, match="cannot be read"):
        read_omm(written(tmp_path / "a.json.gz", "not gzip"))
    packed = bytearray(gzip.compress(json.dumps([RECORD]).encode()))
    packed[10] = 0xFF  # the first block of the compressed data, behind a header of ten bytes
    (tmp_path / "b.json.gz").write_bytes(packed)
    with pytest.raises(InputError, match="cannot be read: Error -3 while decompressing data"):
        read_omm(tmp_path / "b.json.gz")
    (tmp_path / "b.tle").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read"):
        read_tle(tmp_path / "b.tle")
