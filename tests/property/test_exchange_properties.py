"""What holds of every contact plan that is written for HDTN or ION."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbital_train.errors import InputWarning
from orbital_train.windows.exchange.files import plan_text
from orbital_train.windows.exchange.hdtn import parse_hdtn
from orbital_train.windows.exchange.ion import parse_ion
from orbital_train.windows.exchange.listed import listed_plan
from orbital_train.windows.plan import ContactPlan

START = datetime(2026, 3, 20, 12, 30, 15, tzinfo=UTC)
NODES = ("a", "b", "c")
HORIZON_S = 1000.0
many = settings(max_examples=150, deadline=None, derandomize=True)
forms = pytest.mark.parametrize("form", ["hdtn", "ion"])


@st.composite
def plans(draw: st.DrawFn) -> ContactPlan:
    """Contacts of any rate and light time; those from one node to the same other do not overlap."""
    rows = []
    for source, dest in [(0, 1), (1, 0), (0, 2), (2, 1)]:
        times = sorted(draw(st.lists(st.floats(0.0, HORIZON_S), max_size=8, unique=True)))
        for start_s, end_s in zip(times[::2], times[1::2], strict=False):
            rate_bps = draw(st.one_of(st.floats(0.1, 50.0), st.floats(1.0, 1e13), st.just(float("inf"))))
            rows.append((start_s, source, dest, end_s, rate_bps, draw(st.floats(0.0, 5.0))))
    rows.sort()
    start_s, source, dest, end_s, rate_bps, owlt_s = np.array(rows, dtype=np.float64).reshape(-1, 6).T
    count = np.arange(len(rows))
    return ContactPlan(
        node_names=NODES,
        horizon_s=HORIZON_S,
        contact_id=count,
        link_id=count,
        source=source.astype(np.int64),
        dest=dest.astype(np.int64),
        source_terminal=count,
        dest_terminal=count,
        acquire_start_s=start_s,
        start_s=start_s,
        end_s=end_s,
        rate_bps=rate_bps,
        owlt_s=owlt_s,
        kind=0 * count,
    )


def written(form: str, plan: ContactPlan) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)  # contacts that vanish, rates that are cut
        return plan_text(form, plan, START)


def again(form: str, text: str) -> ContactPlan:
    path = Path(f"plan.{form}")
    listed = parse_hdtn(path, text) if form == "hdtn" else parse_ion(path, text, START)
    return listed_plan(path, listed, NODES, len(NODES), HORIZON_S)


@forms
@many
@given(plans())
def test_writing_what_was_read_gives_the_same_bytes(form: str, plan: ContactPlan) -> None:
    text = written(form, plan)
    assert written(form, again(form, text)) == text


@forms
@many
@given(plans())
def test_what_is_read_is_no_better_than_what_was_written(form: str, plan: ContactPlan) -> None:
    """Every contact lies in one of the plan's, no faster, and its light takes no less."""
    found = again(form, written(form, plan))
    for c in range(len(found)):
        fits = (plan.source == found.source[c]) & (plan.dest == found.dest[c])
        fits &= (plan.start_s <= found.start_s[c]) & (plan.end_s >= found.end_s[c])
        assert fits.sum() == 1
        row = int(fits.argmax())
        assert found.rate_bps[c] <= plan.rate_bps[row]
        assert found.owlt_s[c] >= plan.owlt_s[row]


@forms
@many
@given(plans())
def test_only_contacts_without_a_whole_second_or_rate_are_lost(form: str, plan: ContactPlan) -> None:
    unit_bps = 1.0 if form == "hdtn" else 8.0
    kept = (np.floor(plan.end_s) > np.ceil(plan.start_s)) & (plan.rate_bps >= unit_bps)
    assert len(again(form, written(form, plan))) == kept.sum()
