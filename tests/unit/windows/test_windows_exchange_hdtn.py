from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orbital_train.errors import InputError, InputWarning
from orbital_train.windows.exchange.hdtn import hdtn_text, parse_hdtn
from orbital_train.windows.exchange.listed import Listed, listed_plan
from tests.unit.schedule.scenarios import contacts

FILE = Path("plan.json")
CONTACT = {"contact": 0, "source": 1, "dest": 10, "startTime": 5, "endTime": 2000, "rateBitsPerSec": 1000, "owlt": 1}


def parsed(*entries: Any) -> list[Listed]:
    return parse_hdtn(FILE, json.dumps({"contacts": entries}))


# The way HDTN's own plans look, laid out over lines, with keys of older versions.
DEMONSTRATION = """{
    "contacts": [
        {
            "contact": 0,
            "source": 102, "dest": 10,
            "finalDestination": 2,
            "startTime": 0,
            "endTime": 2000,
            "rateBitsPerSec": 10000000000,
            "owlt":  1
        },
        {"contact": 1, "source": 10, "dest": 2, "flowId": "1", "startTime": 0, "endTime": 9999, "rateBitsPerSec": 0},
        {"contact": 3, "source": 2, "dest": 10, "startTime": 10, "endTime": 1000, "rate": 1000, "owlt": 0.5}
    ]
}
"""


def test_a_plan_as_hdtn_has_it() -> None:
    """No rate means no limit, no light time means none, and the old rate is in Mbit/s."""
    assert parse_hdtn(FILE, DEMONSTRATION) == [
        Listed("contacts[0]", 102, 10, 0.0, 2000.0, 1e10, 1.0),
        Listed("contacts[1]", 10, 2, 0.0, 9999.0, np.inf, 0.0),
        Listed("contacts[2]", 2, 10, 10.0, 1000.0, 1e9, 0.5),
    ]


def test_the_new_rate_wins_over_the_old_one() -> None:
    assert parsed({**CONTACT, "rate": 7})[0].rate_bps == 1000.0


ACCEPTED = 'accepted is {"contacts": [{"contact": 0, "source": 1, "dest": 2, "startTime": 0, ...}, ...]}'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"contacts":\n[{"contact" 1}]}', f"'plan.json, line 2': is not JSON (Expecting ':' delimiter); {ACCEPTED}"),
        ('{"contacts": [', f"'plan.json, line 1': is not JSON (Expecting value); {ACCEPTED}"),
        ("[]", f"'plan.json, contacts': must be an array; {ACCEPTED}"),
        ('{"contacts": 5}', f"'plan.json, contacts': must be an array; {ACCEPTED}"),
        ('{"contacts": [5]}', f"'plan.json, contacts[0]': must be an object; {ACCEPTED}"),
    ],
)
def test_what_is_no_plan(text: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_hdtn(FILE, text)
    assert str(caught.value) == f"links.plan = {told}"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"source": None}, "source is None; accepted is a whole number, 0 to 2^53"),
        ({"dest": "2"}, "dest is '2'; accepted is a whole number, 0 to 2^53"),
        ({"startTime": 0.5}, "startTime is 0.5; accepted is a whole number, 0 to 2^53"),
        ({"endTime": -1}, "endTime is -1; accepted is a whole number, 0 to 2^53"),
        ({"rateBitsPerSec": True}, "rateBitsPerSec is True; accepted is a whole number, 0 to 2^53"),
        ({"rateBitsPerSec": 10**400}, f"rateBitsPerSec is {10**400}; accepted is a whole number, 0 to 2^53"),
        ({"startTime": 60, "endTime": 60}, "starts at 60 s and ends at 60 s; accepted is an end after the start"),
        ({"owlt": -1}, "owlt is -1; accepted are 0 or more seconds"),
        ({"owlt": float("nan")}, "owlt is nan; accepted are 0 or more seconds"),
    ],
)
def test_wrong_values_are_told_with_their_place(change: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        parsed(CONTACT, {**CONTACT, **change})
    assert str(caught.value) == f"links.plan = 'plan.json, contacts[1]': {told}"


@pytest.mark.parametrize("key", ["source", "dest", "startTime", "endTime", "rateBitsPerSec"])
def test_missing_keys_are_told(key: str) -> None:
    with pytest.raises(InputError) as caught:
        parsed({name: value for name, value in CONTACT.items() if name != key})
    told = f"has no {key}; accepted is a whole number, 0 to 2^53"
    assert str(caught.value) == f"links.plan = 'plan.json, contacts[0]': {told}"


def test_writing_rounds_inwards() -> None:
    plan = contacts(2, [(0, 1, 10.4, 20.6)], 99.0, 1000.9, 1.02)
    assert hdtn_text(replace(plan, rate_bps=np.array([1000.9, np.inf]))) == (
        '{"contacts": [\n'
        '{"contact": 0, "source": 1, "dest": 2, "startTime": 11, "endTime": 20, "rateBitsPerSec": 1000, "owlt": 2},\n'
        '{"contact": 1, "source": 2, "dest": 1, "startTime": 11, "endTime": 20, "rateBitsPerSec": 0, "owlt": 2}\n'
        "]}\n"
    )


def test_overlapping_contacts_are_written_as_they_were_read() -> None:
    """As HDTN's contactPlan_RoutingTest.json has them."""
    contacts = [{**CONTACT, "dest": 2, "startTime": start, "endTime": end} for start, end in ((0, 120), (17, 200))]
    text = json.dumps({"contacts": [{**contact, "contact": k} for k, contact in enumerate(contacts)]})
    plan = listed_plan(FILE, parse_hdtn(FILE, text), ("a", "b"), 2, 200.0)
    assert plan.link_id.tolist() == [0, 1]
    assert json.loads(hdtn_text(plan)) == json.loads(text)


def test_a_rate_below_one_bit_per_second_does_not_become_unlimited() -> None:
    with pytest.warns(InputWarning, match="2 of 2 contacts hold no whole second or no whole unit of rate"):
        text = hdtn_text(contacts(2, [(0, 1, 10.0, 20.0)], 99.0, 0.5, 0.02))
    assert json.loads(text) == {"contacts": []}
