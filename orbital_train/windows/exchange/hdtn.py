"""Contact plans of HDTN, NASA's High-rate Delay Tolerant Networking: JSON.

    {"contacts": [{"contact": 0, "source": 1, "dest": 2, "startTime": 30, "endTime": 600,
                   "rateBitsPerSec": 1000000000, "owlt": 1}]}

Times are whole seconds since HDTN's start, which is the scenario's. HDTN reads all of these as integers, ``owlt`` too
(a fraction would become 0). A rate of 0 means no limit. Older plans have ``rate``, in Mbit/s, or no ``owlt``, which is
then 0; other keys say nothing here. From module/router/src/router.cpp and common/cgr/src/libcgr.cpp of nasa/HDTN.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from orbital_train.windows.exchange.listed import Listed, refuse_no_length, refused
from orbital_train.windows.exchange.whole import whole_contacts
from orbital_train.windows.plan import ContactPlan

_LARGEST = 2**53  # floats hold every whole number up to it
_ACCEPTED = 'accepted is {"contacts": [{"contact": 0, "source": 1, "dest": 2, "startTime": 0, ...}, ...]}'


def hdtn_text(plan: ContactPlan) -> str:
    """A contact plan as HDTN's JSON, a line a contact; rounding as in :func:`whole_contacts`."""
    contacts = whole_contacts(plan, np.minimum(plan.rate_bps, float(_LARGEST)))
    columns = (contacts.source, contacts.dest, contacts.start_s, contacts.end_s, contacts.rate, contacts.owlt_s)
    lines = [
        json.dumps(
            {
                "contact": row,
                "source": source,
                "dest": dest,
                "startTime": start_s,
                "endTime": end_s,
                "rateBitsPerSec": 0 if rate_bps == _LARGEST else rate_bps,
                "owlt": owlt_s,
            }
        )
        for row, (source, dest, start_s, end_s, rate_bps, owlt_s) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        )
    ]
    return '{"contacts": [\n' + ",\n".join(lines) + "\n]}\n"


def parse_hdtn(path: Path, text: str) -> list[Listed]:
    """The contacts of an HDTN contact plan.

    Raises:
        InputError: it is not JSON, not a contact plan, or a contact lacks a key or has a wrong value.
    """
    try:
        content = json.loads(text)
    except RecursionError:
        raise refused(path, "line 1", f"is nested too deeply; {_ACCEPTED}") from None
    except json.JSONDecodeError as error:
        raise refused(path, f"line {error.lineno}", f"is not JSON ({error.msg}); {_ACCEPTED}") from None
    entries = content.get("contacts") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise refused(path, "contacts", f"must be an array; {_ACCEPTED}")
    return [_contact(path, f"contacts[{k}]", entry) for k, entry in enumerate(entries)]


def _contact(path: Path, where: str, entry: Any) -> Listed:
    if not isinstance(entry, dict):
        raise refused(path, where, f"must be an object; {_ACCEPTED}")
    if "rateBitsPerSec" in entry or "rate" not in entry:
        rate_bps = _whole(path, where, entry, "rateBitsPerSec")
    else:
        rate_bps = _whole(path, where, entry, "rate") * 1_000_000
    owlt_s = entry.get("owlt", 0)
    if isinstance(owlt_s, bool) or not isinstance(owlt_s, int | float) or not 0 <= owlt_s < np.inf:
        raise refused(path, where, f"owlt is {owlt_s!r}; accepted are 0 or more seconds")
    start_s, end_s = (float(_whole(path, where, entry, key)) for key in ("startTime", "endTime"))
    refuse_no_length(path, where, start_s, end_s)
    return Listed(
        where=where,
        source=_whole(path, where, entry, "source"),
        dest=_whole(path, where, entry, "dest"),
        start_s=start_s,
        end_s=end_s,
        rate_bps=float(rate_bps or np.inf),
        owlt_s=float(owlt_s),
    )


def _whole(path: Path, where: str, entry: dict[str, Any], key: str) -> int:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST:
        found = f"{key} is {value!r}" if key in entry else f"has no {key}"
        raise refused(path, where, f"{found}; accepted is a whole number, 0 to 2^53")
    return value
