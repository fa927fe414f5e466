from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from orbital_train.errors import InputError, InputWarning
from orbital_train.windows.exchange.ion import ion_text, parse_ion
from orbital_train.windows.exchange.listed import Listed
from orbital_train.windows.ideal import ideal_contacts
from orbital_train.windows.plan import ContactPlan
from tests.unit.schedule.scenarios import contacts

START = datetime(2026, 3, 20, tzinfo=UTC)
FILE = Path("plan.ion")


def parsed(*lines: str) -> list[Listed]:
    return parse_ion(FILE, "\n".join(lines), START)


def plain(listed: list[Listed]) -> list[tuple[int, int, float, float, float, float]]:
    return [(c.source, c.dest, c.start_s, c.end_s, c.rate_bps, c.owlt_s) for c in listed]


# The way ION's own demonstrations write plans: tabs, loopbacks, ranges by pair, other commands around them.
DEMONSTRATION = """# three nodes in a row
1 2 ''
s
m horizon  +0
a range   +0  +600\t\t1 2\t1
a range   +0  +600\t\t2 3\t2

a contact +0  +600\t\t2 2   10000
a contact +20 +30 \t\t1 2   1000000
a contact +40 +600\t\t3 2   500000
m production 1000000
^ 2
e 1
"""


def test_a_plan_as_ion_writes_it() -> None:
    assert plain(parse_ion(FILE, DEMONSTRATION, START)) == [
        (2, 2, 0.0, 600.0, 8e4, 0.0),
        (1, 2, 20.0, 30.0, 8e6, 1.0),
        (3, 2, 40.0, 600.0, 4e6, 2.0),
    ]


def test_absolute_times_and_reference_times() -> None:
    assert plain(
        parsed(
            "a range 2026/03/19-00:00:00 2026/03/21-00:00:00 1 2 1",
            "a contact 2026/03/20-00:01:00 2026/03/20-01:00:00 1 2 100",
            "@ 2026/03/20-02:00:00",
            "a contact +5 +10 1 2 100",
            "@ +3600",
            "a contact +5 2026/3/20-3:1:0 1 2 100",
            "@ 0",
            "a contact +5 +10 1 2 100",
            "@ 2026/03/19-23:59:00",
            "a contact +0 +30 1 2 100",
        )
    ) == [
        (1, 2, 60.0, 3600.0, 800.0, 1.0),
        (1, 2, 7205.0, 7210.0, 800.0, 1.0),
        (1, 2, 10805.0, 10860.0, 800.0, 1.0),
        (1, 2, 5.0, 10.0, 800.0, 1.0),
        (1, 2, -60.0, -30.0, 800.0, 1.0),
    ]


def test_registrations_and_hypothetical_contacts_carry_nothing() -> None:
    assert parsed("a contact -1 -1 1 1 0", "a contact 0 0 1 2 0", "a contact +1 0 1 2 100000") == []


@pytest.mark.parametrize(
    ("ranges", "there_s", "back_s"),
    [
        (["a range +0 +99 1 2 3"], 3.0, 3.0),
        (["a range +0 +99 1 2 3", "a range +0 +99 2 1 7"], 3.0, 7.0),
        (["a range +0 +99 2 1 7", "a range +0 +99 1 2 3"], 3.0, 7.0),
        # It grows while the contact lasts.
        (["a range +0 +15 1 2 3", "a range +15 +99 1 2 4"], 4.0, 4.0),
        (["a range +0 +10 1 2 9", "a range +10 +20 1 2 4", "a range +20 +30 1 2 9"], 4.0, 4.0),
    ],
)
def test_ranges_hold_both_ways_unless_overridden(ranges: list[str], there_s: float, back_s: float) -> None:
    found = parsed("a contact +10 +20 1 2 100", "a contact +10 +20 2 1 100", *ranges)
    assert [c.owlt_s for c in found] == [there_s, back_s]


def test_a_range_from_the_higher_node_says_nothing_about_the_way_back() -> None:
    with pytest.warns(InputWarning) as caught:
        found = parsed("a contact +10 +20 1 2 100", "a contact +10 +20 2 1 100", "a range +0 +99 2 1 7")
    assert plain(found) == [(2, 1, 10.0, 20.0, 800.0, 7.0)]
    told = "1 of 2 contacts have no range when they start, and are left out as ION does"
    assert [str(w.message) for w in caught] == [f"links.plan = 'plan.ion': {told}"]


def test_a_range_that_begins_too_late_is_none() -> None:
    with pytest.warns(InputWarning, match="1 of 1 contacts have no range when they start"):
        assert parsed("a contact +10 +20 1 2 100", "a range +11 +99 1 2 7") == []


def test_confidence_is_told() -> None:
    with pytest.warns(InputWarning) as caught:
        found = parsed("a range +0 +99 1 2 1", "a contact +10 +20 1 2 100 .9", "a contact +30 +40 1 2 100 1.0")
    assert len(found) == 2
    told = "links.plan = 'plan.ion': 1 contacts of less than full confidence are taken as certain"
    assert [str(w.message) for w in caught] == [told]


COMMANDS = (
    "cannot be read; accepted are 'a contact START END FROM TO BYTES_PER_S [CONFIDENCE]', "
    "'a range START END FROM TO LIGHT_S', '@ TIME' and commands that say nothing of contacts"
)
WHOLE = (
    "must be a whole number of up to 15 digits: 'a contact START END FROM TO BYTES_PER_S [CONFIDENCE]' or "
    "'a range START END FROM TO LIGHT_S'"
)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("a contact +1 +2 1 2", COMMANDS),
        ("a contact +1 +2 1 2 100 1.0 x", COMMANDS),
        ("a range +1 +2 1 2", COMMANDS),
        ("a rang +1 +2 1 2 1", COMMANDS),
        ("range +1 +2 1 2 1", COMMANDS),
        ("d contact +1 1 2", COMMANDS),
        ("c contact +1 1 2 100", COMMANDS),
        ("@", COMMANDS),
        ("a plan 1 tcp/localhost", COMMANDS),
        ("a contact 1 +2 1 2 100", "the time 1 cannot be read; accepted is +SECONDS or yyyy/mm/dd-hh:mm:ss"),
        ("a contact +1 +2.5 1 2 100", "the time +2.5 cannot be read; accepted is +SECONDS or yyyy/mm/dd-hh:mm:ss"),
        (
            "@ 2026/13/20-00:00:00",
            "the time 2026/13/20-00:00:00 cannot be read; accepted is +SECONDS or yyyy/mm/dd-hh:mm:ss",
        ),
        ("a contact +1 +2 one 2 100", f"one {WHOLE}"),
        ("a contact +1 +2 1 2 1e9", f"1e9 {WHOLE}"),
        ("a contact +1 +2 1 2 9999999999999999", f"9999999999999999 {WHOLE}"),
        ("a range +1 +2 1 2 0.5", f"0.5 {WHOLE}"),
        ("a contact +9 +5 1 2 100", "starts at 9 s and ends at 5 s; accepted is an end after the start"),
        ("a range +9 +9 1 2 1", "starts at 9 s and ends at 9 s; accepted is an end after the start"),
        (
            "a contact 2026/03/20-01:00:00 2026/03/20-00:30:00 1 2 100",
            "starts at 3600 s and ends at 1800 s; accepted is an end after the start",
        ),
        ("a contact +1 +2 1 2 0", "the rate is 0; accepted are 1 or more bytes per second"),
        ("a contact +1 +2 1 2 9 1.5", "the confidence is 1.5; accepted is above 0 and up to 1"),
        ("a contact +1 +2 1 2 9 sure", "the confidence is sure; accepted is above 0 and up to 1"),
    ],
)
def test_broken_lines_are_told_with_their_place(line: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        parsed("# fine", "m horizon +0", line)
    assert str(caught.value) == f"links.plan = 'plan.ion, line 3': {told}"


def test_overlapping_contacts_are_told_with_their_place() -> None:
    with pytest.raises(InputError) as caught:
        parsed("a contact +10 +50 1 2 100", "a contact +0 +60 1 1 100", "a contact +49 +70 1 2 100")
    assert str(caught.value) == "links.plan = 'plan.ion, line 3': overlaps the contact from node 1 to 2 of line 1"


def two_ways(**change: np.ndarray) -> ContactPlan:
    return replace(contacts(2, [(0, 1, 10.4, 20.6)], 99.0, 1000.0, 0.02), **change)


def test_writing_rounds_inwards_and_gives_one_range_for_both_ways() -> None:
    assert ion_text(two_ways(), START) == (
        "@ 2026/03/20-00:00:00\n"
        "a range +11 +20 1 2 1\n"
        "a contact +11 +20 1 2 125\n"
        "a contact +11 +20 2 1 125\n"
    )  # fmt: skip


def test_ways_that_differ_have_ranges_of_their_own() -> None:
    lines = ion_text(two_ways(owlt_s=np.array([0.5, 1.5])), START).splitlines()
    assert lines[1:3] == ["a range +11 +20 1 2 1", "a range +11 +20 2 1 2"]
    lines = ion_text(two_ways(end_s=np.array([20.0, 30.0])), START).splitlines()
    assert lines[1:3] == ["a range +11 +20 1 2 1", "a range +11 +30 2 1 1"]


def test_contacts_that_vanish_are_counted() -> None:
    plan = contacts(2, [(0, 1, 10.4, 11.6), (0, 1, 20.0, 30.0)], 99.0, 1000.0, 0.02)
    with pytest.warns(InputWarning) as caught:
        text = ion_text(replace(plan, rate_bps=np.array([1e3, 1e3, 7.9, 8.0])), START)
    assert text.splitlines()[1:] == ["a range +20 +30 2 1 1", "a contact +20 +30 2 1 1"]
    told = "contact plan: 3 of 4 contacts hold no whole second or no whole unit of rate, and are left out"
    assert [str(w.message) for w in caught] == [told]


def test_rates_that_ion_cannot_read_are_cut() -> None:
    with pytest.warns(InputWarning) as caught:
        text = ion_text(ideal_contacts(("a", "b"), 10.0), START)
    assert text.splitlines()[2] == "a contact +0 +10 1 2 4294967295"
    told = "contact plan: 2 contacts are faster than the 34.4 Gbit/s that ION can read; they are written with that"
    assert [str(w.message) for w in caught] == [told]


def test_overlapping_contacts_are_not_written() -> None:
    with pytest.raises(InputError) as caught:
        ion_text(contacts(2, [(0, 1, 10.0, 20.0), (0, 1, 19.0, 30.0)], 99.0, 1000.0, 0.02), START)
    told = "contact plan = 'n0 to n1': two contacts overlap at 19 s; in this format they must not"
    assert str(caught.value) == told


def test_a_start_between_seconds_is_not_written() -> None:
    with pytest.raises(InputError) as caught:
        ion_text(two_ways(), START.replace(microsecond=500_000))
    told = "ION counts whole seconds; accepted is a whole second"
    assert str(caught.value) == f"time.start = '2026-03-20T00:00:00.500000+00:00': {told}"
