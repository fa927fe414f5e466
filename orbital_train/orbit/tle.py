"""Two-line element sets (TLE), with or without name lines."""

from __future__ import annotations

import re

from sgp4.api import Satrec
from sgp4.io import verify_checksum

from orbital_train.orbit.element_sets import BrokenElements, Element, refuse_xp

_LENGTH = 69
# Columns of numbers without which there is no orbit. sgp4's compiled reader takes 0 for what it cannot read there.
_NUMBERS = {
    "1": ((18, 20), (20, 32), (33, 43)),
    "2": ((8, 16), (17, 25), (26, 33), (34, 42), (43, 51), (52, 63)),
}
# Alpha-5 writes 100,000 as A0000 and 339,999 as Z9999; the letters I and O are not used.
_CATALOGUE_NUMBER = re.compile(r"[ \dA-HJ-NP-Z][ \d]{3}\d")


def parse_tle(text: str) -> list[Element]:
    """Element sets of two lines, or of three with the name first; blank lines are skipped, checksums verified.

    A satellite without a name line is named by its catalogue number, as it is written.

    Raises:
        BrokenElements: something else is found, with the line number.
    """
    lines = [(n, line.rstrip()) for n, line in enumerate(text.splitlines(), start=1) if line.strip()]
    elements: list[Element] = []
    name = ""
    i = 0
    while i < len(lines):
        number, line = lines[i]
        if not line.startswith("1 "):
            if name or line.startswith("2 "):
                raise BrokenElements(f"line {number}", "expected line 1 of an element set, which starts with '1 '")
            name = line.removeprefix("0 ").strip()
            i += 1
            continue
        if i + 1 == len(lines) or not lines[i + 1][1].startswith("2 "):
            raise BrokenElements(f"line {number + 1}", "expected line 2 of an element set, which starts with '2 '")
        satrec = _satrec(lines[i], lines[i + 1])
        elements.append((name or satrec.satnum_str, satrec))
        name = ""
        i += 2
    if name:
        raise BrokenElements(f"line {lines[-1][0]}", f"the name {name[:60]!r} is not followed by an element set")
    if not elements:
        raise BrokenElements("line 1", "the file holds no element set")
    return elements


def _satrec(first: tuple[int, str], second: tuple[int, str]) -> Satrec:
    for number, line in (first, second):
        _check(f"line {number}", line)
    if first[1][2:7] != second[1][2:7]:
        raise BrokenElements(f"line {second[0]}", "the catalogue number is not that of line 1")
    refuse_xp(f"line {first[0]}", first[1][62])
    return Satrec.twoline2rv(first[1], second[1])


def _check(place: str, line: str) -> None:
    if len(line) != _LENGTH or not line.isascii():
        raise BrokenElements(place, f"expected {_LENGTH} ASCII characters, found {len(line)}")
    try:
        verify_checksum(line)
        for start, stop in _NUMBERS[line[0]]:
            float(line[start:stop])
    except ValueError as error:
        raise BrokenElements(place, str(error).splitlines()[0]) from error
    if not _CATALOGUE_NUMBER.fullmatch(line[2:7]):
        problem = "is neither five digits nor Alpha-5 (a letter but I and O, and four digits)"
        raise BrokenElements(place, f"the catalogue number {line[2:7]!r} {problem}")
