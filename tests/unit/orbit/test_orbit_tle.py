from __future__ import annotations

import pytest
from sgp4.io import fix_checksum

from orbital_train.orbit.element_sets import BrokenElements
from orbital_train.orbit.tle import parse_tle
from tests.unit.orbit.element_texts import LINE_1, LINE_2


def test_two_and_three_line_sets_and_blank_lines() -> None:
    text = f"{LINE_1}\n{LINE_2}\n\n0 ISS (ZARYA)\n{LINE_1}\n{LINE_2}\nOTHER\r\n{LINE_1}\r\n{LINE_2}"
    elements = parse_tle(text)
    assert [name for name, _ in elements] == ["25544", "ISS (ZARYA)", "OTHER"]
    assert elements[1][1].inclo == pytest.approx(0.9013124603)


@pytest.mark.parametrize(
    ("written", "number"), [("A0000", 100_000), ("H9999", 179_999), ("J0000", 180_000), ("Z9999", 339_999)]
)
def test_alpha_5_catalogue_numbers(written: str, number: int) -> None:
    lines = [fix_checksum(line.replace("25544", written, 1)) for line in (LINE_1, LINE_2)]
    ((name, satrec),) = parse_tle("\n".join(lines))
    assert (name, satrec.satnum) == (written, number)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: the file holds no element set"),
        ("ISS", "line 1: the name 'ISS' is not followed by an element set"),
        (f"ISS\nISS\n{LINE_1}\n{LINE_2}", "line 2: expected line 1 of an element set, which starts with '1 '"),
        (f"ISS\n{LINE_2}", "line 2: expected line 1 of an element set, which starts with '1 '"),
        (f"\nISS\n{LINE_1}", "line 4: expected line 2 of an element set, which starts with '2 '"),
        (f"{LINE_1}\n{LINE_1}\n{LINE_2}", "line 2: expected line 2 of an element set, which starts with '2 '"),
        (f"{LINE_1[:50]}\n{LINE_2}", "line 1: expected 69 ASCII characters, found 50"),
        (f"{LINE_1}\n{LINE_2[:30]}", "line 2: expected 69 ASCII characters, found 30"),
        (f"{LINE_1}\n{LINE_2[:-1]}7", "line 2: TLE line gives its checksum as 7 but in fact tallies to 6:"),
        (
            f"{LINE_1}\n{fix_checksum(LINE_2[:10] + 'ab' + LINE_2[12:])}",
            "line 2: could not convert string to float: ' 5ab6414'",
        ),
        (f"{LINE_1}\n{fix_checksum('2 25545' + LINE_2[7:])}", "line 2: the catalogue number is not that of line 1"),
        (
            f"{fix_checksum(LINE_1.replace('25544', 'I0001', 1))}\n{LINE_2}",
            "line 1: the catalogue number 'I0001' is neither five digits nor Alpha-5"
            " (a letter but I and O, and four digits)",
        ),
        (
            f"{fix_checksum(LINE_1[:62] + '4' + LINE_1[63:])}\n{LINE_2}",
            "line 1: these elements are for SGP4-XP (ephemeris type 4); accepted are those for SGP4",
        ),
    ],
)
def test_broken_sets_name_the_line(text: str, problem: str) -> None:
    with pytest.raises(BrokenElements) as caught:
        parse_tle(text)
    assert str(caught.value) == problem
