"""Contact plans of ION, JPL's Interplanetary Overlay Network: commands to ``ionadmin``, one a line.

    @ 2026/03/20-00:00:00
    a contact +30 +600 1 2 125000000
    a range   +30 +600 1 2 1

A rate is in *bytes* per second, a range in whole light seconds. Times are ``yyyy/mm/dd-hh:mm:ss`` in UTC, or ``+s``
after the reference time, which is the scenario's start until an ``@`` line sets another. A range from the lower to the
higher node number holds both ways, unless one the other way overrides it; one from the higher to the lower holds one
way. ION takes an override only if it starts with what it overrides, and it uses no contact that has no range when it
starts.

From ici/doc/pod5/ionrc.pod, ici/utils/ionadmin.c, ici/library/rfx.c and bpv7/cgr/libcgr.c of nasa-jpl/ION-DTN.
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from orbital_train.errors import InputError, InputWarning
from orbital_train.windows.exchange.listed import PLAN_KEY, Listed, refuse_no_length, refused
from orbital_train.windows.exchange.whole import WholeContacts, first_overlap, whole_contacts
from orbital_train.windows.plan import CONTACT_PLAN, ContactPlan

# ionadmin reads rates into 32 bits, so faster ones would come out as something else.
_LARGEST_RATE = 2.0**32 - 1  # bytes/s: 34.4 Gbit/s

_CONTACT = "a contact START END FROM TO BYTES_PER_S [CONFIDENCE]"
_RANGE = "a range START END FROM TO LIGHT_S"
_TIME = "+SECONDS or yyyy/mm/dd-hh:mm:ss"
# Commands of ionadmin that say nothing about contacts: initialize, start, stop, manage, region, run, echo, ...
_SILENT = frozenset("1sxm^revhilq?")


def ion_text(plan: ContactPlan, start: datetime) -> str:
    """A contact plan as ION commands, ranges before contacts; rounding as in :func:`whole_contacts`.

    Rates above what ``ionadmin`` can read are written as the largest that it can, with an InputWarning.

    Raises:
        InputError: the scenario does not start at a whole second (key ``time.start``), or two contacts from one node to
            the same other overlap, which ION does not have (key ``contact plan``).
    """
    if start.microsecond:
        raise InputError("time.start", start.isoformat(), "ION counts whole seconds; accepted is a whole second")
    rate = plan.rate_bps / 8.0
    capped = int((rate > _LARGEST_RATE).sum())
    if capped:
        problem = f"{capped} contacts are faster than the {_LARGEST_RATE * 8e-9:.1f} Gbit/s that ION can read"
        warnings.warn(f"{CONTACT_PLAN}: {problem}; they are written with that", InputWarning, stacklevel=2)
    contacts = whole_contacts(plan, np.minimum(rate, _LARGEST_RATE))
    pair = first_overlap(contacts.source, contacts.dest, contacts.start_s, contacts.end_s)
    if pair is not None:
        a, b = (plan.node_names[int(n[pair[0]]) - 1] for n in (contacts.source, contacts.dest))
        problem = f"two contacts overlap at {int(contacts.start_s[pair[1]])} s; in this format they must not"
        raise InputError(CONTACT_PLAN, f"{a} to {b}", problem)
    lines = [f"@ {start:%Y/%m/%d-%H:%M:%S}", *_range_lines(contacts)]
    columns = (contacts.start_s, contacts.end_s, contacts.source, contacts.dest, contacts.rate)
    lines += [
        f"a contact +{start_s} +{end_s} {source} {dest} {rate}" for start_s, end_s, source, dest, rate in _rows(columns)
    ]
    return "\n".join(lines) + "\n"


def _range_lines(contacts: WholeContacts) -> Iterator[str]:
    """A range over each contact; one from the higher to the lower node only where it is not the mirror of another."""
    columns = (contacts.start_s, contacts.end_s, contacts.source, contacts.dest, contacts.owlt_s)
    rows = list(_rows(columns))
    symmetric = {row for row in rows if row[2] < row[3]}
    for start_s, end_s, source, dest, owlt_s in rows:
        if source < dest or (start_s, end_s, dest, source, owlt_s) not in symmetric:
            yield f"a range +{start_s} +{end_s} {source} {dest} {owlt_s}"


def _rows(columns: tuple[np.ndarray, ...]) -> Iterator[tuple[int, ...]]:
    return zip(*(column.tolist() for column in columns), strict=True)


@dataclass
class _Commands:
    """What the lines of a file have said so far."""

    path: Path
    start: datetime
    reference_s: float = 0.0  # since the scenario's start
    contacts: list[Listed] = field(default_factory=list)  # their light times are not known yet
    unsure: int = 0  # contacts of a confidence below 1
    # Of each pair (from, to): start, end and light time of its ranges.
    ranges: dict[tuple[int, int], list[tuple[float, float, int]]] = field(default_factory=lambda: defaultdict(list))


def parse_ion(path: Path, text: str, start: datetime) -> list[Listed]:
    """The contacts of an ION contact plan, each with the largest light time that it meets.

    Registrations and hypothetical contacts carry nothing and are left out. Contacts without a range at their start are
    left out, as ION does, and contacts of less than full confidence are taken as certain; an InputWarning counts them.

    Raises:
        InputError: a line is none of ION's commands, changes or deletes contacts, or has wrong values, or a contact
            overlaps another one from the same node to the same other; the file and the line are named (key
            ``links.plan``).
    """
    commands = _Commands(path, start)
    for number, line in enumerate(text.splitlines(), 1):
        tokens = line.split()
        if tokens and tokens[0] not in _SILENT and not line.lstrip().startswith("#"):
            _obey(commands, f"line {number}", tokens)
    _refuse_overlaps(commands)
    found = [c if c.source == c.dest else _with_light_time(commands, c) for c in commands.contacts]
    known = [contact for contact in found if contact is not None]
    if len(known) < len(found):
        lost = len(found) - len(known)
        _warn(path, f"{lost} of {len(found)} contacts have no range when they start, and are left out as ION does")
    if commands.unsure:
        _warn(path, f"{commands.unsure} contacts of less than full confidence are taken as certain")
    return known


def _refuse_overlaps(commands: _Commands) -> None:
    """Contacts of a node to itself carry nothing and may overlap."""
    between = [c for c in commands.contacts if c.source != c.dest]
    rows = np.array([(c.source, c.dest, c.start_s, c.end_s) for c in between]).reshape(-1, 4)
    source, dest, start_s, end_s = rows.T
    pair = first_overlap(source.astype(np.int64), dest.astype(np.int64), start_s, end_s)
    if pair is not None:
        one, two = between[pair[0]], between[pair[1]]
        problem = f"overlaps the contact from node {one.source} to {one.dest} of {one.where}"
        raise refused(commands.path, two.where, problem)


def _warn(path: Path, problem: str) -> None:
    warnings.warn(f"{PLAN_KEY} = {str(path)!r}: {problem}", InputWarning, stacklevel=3)


def _obey(commands: _Commands, where: str, tokens: list[str]) -> None:
    match tokens:
        case ["@", "0"]:
            commands.reference_s = 0.0
        case ["@", time]:
            commands.reference_s = _time_s(commands, where, time)
        case ["a", "contact", *values] if len(values) in (5, 6):
            _add_contact(commands, where, values)
        case ["a", "range", *values] if len(values) == 5:
            begin_s, end_s = _span_s(commands, where, values)
            one, other, owlt_s = (_whole(commands, where, value) for value in values[2:])
            commands.ranges[one, other].append((begin_s, end_s, owlt_s))
        case _:
            problem = f"accepted are '{_CONTACT}', '{_RANGE}', '@ TIME' and commands that say nothing of contacts"
            raise refused(commands.path, where, f"cannot be read; {problem}")


def _add_contact(commands: _Commands, where: str, values: list[str]) -> None:
    if values[0] in ("-1", "0") or values[1] == "0":
        return  # a registration, or hypothetical
    start_s, end_s = _span_s(commands, where, values)
    source, dest, rate = (_whole(commands, where, value) for value in values[2:5])
    if rate == 0:
        raise refused(commands.path, where, "the rate is 0; accepted are 1 or more bytes per second")
    try:
        confidence = float(values[5]) if len(values) == 6 else 1.0
    except ValueError:
        confidence = float("nan")
    if not 0.0 < confidence <= 1.0:
        raise refused(commands.path, where, f"the confidence is {values[5]}; accepted is above 0 and up to 1")
    commands.unsure += confidence < 1.0
    commands.contacts.append(Listed(where, source, dest, start_s, end_s, 8.0 * rate, 0.0))


def _with_light_time(commands: _Commands, contact: Listed) -> Listed | None:
    """The contact with the largest light time of its ranges; none, if no range holds when it starts."""
    own = commands.ranges.get((contact.source, contact.dest), [])
    mirrored = commands.ranges.get((contact.dest, contact.source), []) if contact.source > contact.dest else []
    for ranges in (own, mirrored):
        met = [r for r in ranges if r[0] < contact.end_s and r[1] > contact.start_s]
        if any(r[0] <= contact.start_s for r in met):
            return replace(contact, owlt_s=float(max(owlt_s for _, _, owlt_s in met)))
    return None


def _span_s(commands: _Commands, where: str, values: list[str]) -> tuple[float, float]:
    start_s, end_s = (_time_s(commands, where, time) for time in values[:2])
    refuse_no_length(commands.path, where, start_s, end_s)
    return start_s, end_s


def _time_s(commands: _Commands, where: str, token: str) -> float:
    """Seconds since the scenario's start."""
    if re.fullmatch(r"\+\d{1,12}", token):
        return commands.reference_s + int(token)
    try:
        moment = datetime.strptime(token, "%Y/%m/%d-%H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        raise refused(commands.path, where, f"the time {token} cannot be read; accepted is {_TIME}") from None
    return (moment - commands.start).total_seconds()


def _whole(commands: _Commands, where: str, token: str) -> int:
    if not re.fullmatch(r"\d{1,15}", token):
        raise refused(
            commands.path, where, f"{token} must be a whole number of up to 15 digits: '{_CONTACT}' or '{_RANGE}'"
        )
    return int(token)
