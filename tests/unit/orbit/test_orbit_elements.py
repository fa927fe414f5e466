from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from orbital_train.errors import InputError
from orbital_train.orbit import elements
from orbital_train.orbit.elements import Format, read_elements
from tests.unit.orbit.element_texts import LINE_1, LINE_2, RECORD, csv_text, xml_text

RECORDS = json.dumps([RECORD])


def read(path: Path, form: Format = "omm") -> list[str]:
    return [name for name, _ in read_elements(path, form, cache_s=0.0, now_s=0.0)]


def refused(path: Path, form: Format = "omm") -> str:
    with pytest.raises(InputError) as caught:
        read(path, form)
    assert (caught.value.key, caught.value.value) == ("fleet.path", str(path))
    return caught.value.problem


@pytest.mark.parametrize("text", [RECORDS, csv_text([RECORD]), xml_text([RECORD])])
def test_plain_packed_and_marked_files(tmp_path: Path, text: str) -> None:
    content = text.encode()
    for name, data in (("a", content), ("b.gz", gzip.compress(content)), ("c", b"\xef\xbb\xbf" + content)):
        (tmp_path / name).write_bytes(data)
        assert read(tmp_path / name) == ["STARLINK-1007"]


def test_tle_file(tmp_path: Path) -> None:
    (tmp_path / "a.tle").write_text(f"ISS\n{LINE_1}\n{LINE_2}\n", encoding="utf-8")
    assert read(tmp_path / "a.tle", "tle") == ["ISS"]
    assert refused(tmp_path / "a.tle") == "line 1: expected OMM as JSON, CSV or XML, found 'ISS'"
    (tmp_path / "a.json").write_text(RECORDS, encoding="utf-8")
    assert refused(tmp_path / "a.json", "tle") == (
        'line 1: the name \'[{"OBJECT_NAME": "STARLINK-1007", "OBJECT_ID": "2019-074A", \' is not followed by an'
        " element set"
    )


def test_unreadable_files(tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    assert refused(path) == "cannot be read: No such file or directory"
    assert refused(tmp_path) == "cannot be read: Is a directory"
    path.write_text("not gzip", encoding="utf-8")
    assert refused(path) == "cannot be read: Not a gzipped file (b'no')"
    packed = bytearray(gzip.compress(RECORDS.encode()))
    path.write_bytes(packed[:100])
    assert refused(path) == "cannot be read: Compressed file ended before the end-of-stream marker was reached"
    packed[10] = 0xFF  # the first block of the compressed data, behind a header of ten bytes
    path.write_bytes(packed)
    assert refused(path) == "cannot be read: Error -3 while decompressing data: invalid block type"
    (tmp_path / "b.tle").write_bytes(b"\xff\xfe")
    assert refused(tmp_path / "b.tle", "tle") == (
        "cannot be read: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"
    )


def test_a_file_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elements, "LARGEST_BYTES", 2**20)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b" " * 2**21))
    assert refused(tmp_path / "bomb.gz") == "cannot be read: larger than 1 MiB when unpacked"
