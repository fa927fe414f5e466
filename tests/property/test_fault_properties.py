"""Properties of every fault plan, against a look at every microsecond."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from orbital_train.schedule.fault_times import FaultTimes
from orbital_train.schedule.faults import Fault, FaultPlan, LinkOutage, Outage, SlowDown
from orbital_train.schedule.network import Hop, Piece
from tests.property.fleets import fault, plan_of
from tests.unit.schedule.scenarios import contacts

NODES = 3
LAST_US = 60
many = settings(max_examples=200, deadline=None, derandomize=True)

moment = st.integers(0, LAST_US)
one_fault = fault(NODES, moment, st.integers(1, 25))
faults = st.lists(one_fault, max_size=8)


def holds(fault: Fault, at_us: int) -> bool:
    return fault.start_us <= at_us and (fault.end_us is None or at_us < fault.end_us)


def down(given_faults: list[Fault], i: int, at_us: int) -> bool:
    return any(isinstance(f, Outage) and f.node == i and holds(f, at_us) for f in given_faults)


def losing(given_faults: list[Fault], i: int, at_us: int) -> bool:
    return any(isinstance(f, Outage) and f.node == i and f.loses_state and holds(f, at_us) for f in given_faults)


def out(given_faults: list[Fault], a: int, b: int, at_us: int) -> bool:
    links = [f for f in given_faults if isinstance(f, LinkOutage) and holds(f, at_us)]
    return any({f.a, f.b} == {a, b} or (f.b is None and f.a in (a, b)) for f in links)


# -- the plan ---


@given(faults, st.randoms(use_true_random=False))
@many
def test_the_order_of_faults_does_not_matter(given_faults: list[Fault], random: object) -> None:
    plan, shuffled = plan_of(given_faults), list(given_faults)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one_by_one = FaultPlan()
    for one in shuffled:
        one_by_one = one_by_one.with_fault(one)
    assert plan == plan_of(shuffled) == one_by_one
    assert plan.text() == one_by_one.text()


@given(faults)
@many
def test_a_plan_is_read_as_it_was_written(given_faults: list[Fault]) -> None:
    plan = plan_of(given_faults)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "faults.jsonl"
        plan.write(path)
        again = FaultPlan.read(path)
        assert path.read_text(encoding="utf-8") == again.text()
    assert again == plan
    assert again.digest() == plan.digest()


@given(faults)
@many
def test_joined_outages_say_what_the_given_ones_do(given_faults: list[Fault]) -> None:
    plan = plan_of(given_faults)
    assert list(plan.outages) == sorted(plan.outages, key=lambda o: (o.start_us, o.node))
    times = FaultTimes(plan, contacts(NODES, [], 1.0, 1e6, 0.0))
    for i in range(NODES):
        own = [o for o in plan.outages if o.node == i]
        for at_us in range(LAST_US + 40):
            here = [o for o in own if holds(o, at_us)]
            assert len(here) == down(given_faults, i, at_us) == times.is_down(i, at_us)
            if losing(given_faults, i, at_us):
                assert here[0].loses_state


@given(faults, one_fault)
@many
def test_a_fault_that_is_added_changes_nothing_before_it(given_faults: list[Fault], fault: Fault) -> None:
    plan = plan_of(given_faults)
    more = plan.with_fault(fault)
    before_us = fault.start_us

    def known(of: FaultPlan) -> list[Fault]:
        """What has begun before the fault; an end that has not come yet is not looked at."""
        begun = [f for f in (*of.outages, *of.link_outages, *of.slow_downs) if f.start_us < before_us]
        open_us = 10**6
        return [f if f.end_us is not None and f.end_us < before_us else replace(f, end_us=open_us) for f in begun]

    assert known(plan) == known(more)


@given(faults)
@many
def test_the_largest_factor_of_every_moment(given_faults: list[Fault]) -> None:
    times = FaultTimes(plan_of(given_faults), contacts(NODES, [], 1.0, 1e6, 0.0))
    for i in range(NODES):
        changes = times.factors(i)
        assert [at for at, _ in changes] == sorted({at for at, _ in changes})
        for at_us in range(LAST_US + 40):
            slow = [f.factor for f in given_faults if isinstance(f, SlowDown) and f.node == i and holds(f, at_us)]
            assert next((f for at, f in reversed(changes) if at <= at_us), 1.0) == max(slow, default=1.0)


# -- what gets through ---


@st.composite
def hops(draw: st.DrawFn) -> Hop:
    """Up to three pieces, one after the other, on contacts of different light times."""
    source, dest, *_ = draw(st.permutations(range(NODES)))
    at_us, pieces = draw(st.integers(0, 20)), []
    for _ in range(draw(st.integers(1, 3))):
        start_us = at_us + draw(st.integers(0, 15))
        at_us = start_us + draw(st.integers(0, 12))
        pieces.append(Piece(draw(st.integers(0, 3)), start_us, at_us, at_us - start_us))
    return Hop(source, dest, pieces[0].start_us, at_us, at_us, tuple(pieces), 0)  # nobody asks when it is there


def cut_by_hand(given_faults: list[Fault], hop: Hop, owlt_us: list[int]) -> int | None:
    lost_us = []
    for contact, start_us, end_us, _ in hop.pieces:
        sent = range(start_us, max(end_us, start_us + 1))
        lost_us += [at_us for at_us in sent if down(given_faults, hop.source, at_us)]
        lost_us += [at_us for at_us in sent if out(given_faults, hop.source, hop.dest, at_us)]
        heard = range(start_us + owlt_us[contact], end_us + owlt_us[contact] + 1)
        lost_us += [at_us for at_us in heard if down(given_faults, hop.dest, at_us)]
    first, last = hop.pieces[0], hop.pieces[-1]
    lost_us += [t for t in range(first.start_us, last.start_us + 1) if losing(given_faults, hop.source, t)]
    held = range(first.start_us + owlt_us[first.contact], last.start_us + owlt_us[last.contact] + 1)
    lost_us += [t for t in held if losing(given_faults, hop.dest, t)]
    return min(lost_us, default=None)


@given(faults, hops(), st.lists(st.integers(0, 9), min_size=4, max_size=4))
@settings(many, max_examples=500)
def test_a_message_is_cut_at_the_first_moment_that_loses_any_of_it(
    given_faults: list[Fault], hop: Hop, owlt_us: list[int]
) -> None:
    sky = contacts(2, [(0, 1, 0.0, 1.0), (0, 1, 0.0, 1.0)], 1.0, 1e6, 0.0)
    sky = replace(sky, owlt_s=np.maximum(np.array(owlt_us) - 0.5, 0.0) * 1e-6)
    assert FaultTimes(plan_of(given_faults), sky).cut_us(hop) == cut_by_hand(given_faults, hop, owlt_us)
