"""Whom nodes choose to mix with, and when."""

from __future__ import annotations

import itertools
from collections import defaultdict

import pytest

from orbital_train.schedule.ops.merging import Mix, Snapshot
from orbital_train.schedule.policies.gossip import Gossip
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Trace
from tests.unit.schedule.scenarios import Window, rolling_night, scenario

S = 1_000_000
END_S = 20_000.0


def pairs(trace: Trace) -> list[tuple[int, ...]]:
    """Who met whom, in the order of their mixings."""
    return [tuple(sorted(c.node for c in mix.contributions)) for mix in trace.of_kind(Mix)]


def all_linked(nodes: int, budget_steps: int) -> Scenario:
    windows = [(a, b, 0.0, END_S) for a, b in itertools.combinations(range(nodes), 2)]
    return scenario(nodes, windows=windows, power=None, budget_steps=budget_steps)


def test_everybody_meets_everybody_in_the_end() -> None:
    met = pairs(simulate(all_linked(6, 3000), Gossip(inner_steps=10)))
    assert set(met) == set(itertools.combinations(range(6), 2))


def test_the_seed_decides_who_meets_whom() -> None:
    fleet = all_linked(6, 1000)
    a, b, again = (pairs(simulate(fleet, Gossip(inner_steps=10, seed=seed))) for seed in (0, 1, 0))
    assert a == again
    assert a != b


def test_an_odd_number_of_nodes_leaves_nobody_out() -> None:
    trace = simulate(all_linked(5, 2003), Gossip(inner_steps=20))
    assert trace.merged_steps == 2003
    times: dict[int, list[int]] = defaultdict(list)
    for snapshot in trace.of_kind(Snapshot):
        times[snapshot.node].append(snapshot.steps)
    assert max(n for steps in times.values() for n in steps) < 3 * 20


def test_a_weak_link_is_used_like_any_other() -> None:
    # Two pairs of nodes; a message takes 0.5 s inside, and 480 s between.
    chain: list[Window] = [(0, 1, 0.0, END_S), (1, 2, 0.0, END_S), (2, 3, 0.0, END_S)]
    fleet = scenario(4, windows=chain, power=None, budget_steps=4000, rate_bps=1e8)
    weak = fleet.contacts.rate_bps.copy()
    weak[2:4] = 1e5
    object.__setattr__(fleet.contacts, "rate_bps", weak)
    trace = simulate(fleet, Gossip(inner_steps=10))
    met = pairs(trace)
    assert {(0, 1), (1, 2), (2, 3)} == set(met)
    assert all(account.waiting_us < 1000 * S for account in trace.accounts)  # only at the end
    assert trace.merged_steps == 4000


def test_a_partner_has_trained_at_least_half_as_much() -> None:
    # Node 1 is in the dark from the start, with a battery for a few minutes.
    fleet = scenario(2, windows=[(0, 1, 0.0, END_S)], dark=[(1, 1.0, 9000.0)], budget_steps=1500)
    trace = simulate(fleet, Gossip(inner_steps=40))
    taken = [s for s in trace.of_kind(Snapshot) if s.node == 1 and s.end_us < 9000 * S]
    assert all(2 * s.steps >= 40 for s in taken)
    assert 0 < len(taken) < 5


def test_nodes_in_and_out_of_the_light_lose_nothing() -> None:
    fleet = scenario(4, dark=rolling_night(4, END_S), budget_steps=2000)
    trace = simulate(fleet, Gossip(inner_steps=20))
    assert trace.merged_steps == sum(a.steps for a in trace.accounts) == 2000


def test_a_partner_that_is_seen_later_is_met_when_nobody_else_is_there() -> None:
    windows = [(0, 1, 1000.0, 1100.0), (0, 1, 4000.0, 4100.0)]
    trace = simulate(scenario(2, windows=windows, power=None, budget_steps=700), Gossip(inner_steps=10))
    taken = [s.end_us // S for s in trace.of_kind(Snapshot) if s.node == 0]
    assert taken[0] == 1000
    assert 4000 <= taken[-1] < 4100


def test_an_exchange_is_of_the_newest_when_the_link_opens() -> None:
    trace = simulate(
        scenario(2, windows=[(0, 1, 1000.0, 1100.0)], power=None, budget_steps=400), Gossip(inner_steps=10)
    )
    first = next(trace.of_kind(Snapshot))
    assert (first.end_us, first.steps) == (1000 * S, 100)


@pytest.mark.parametrize("inner_steps", [1, 2, 3])
def test_even_very_short_periods_come_to_an_end(inner_steps: int) -> None:
    trace = simulate(all_linked(3, 50), Gossip(inner_steps=inner_steps))
    assert trace.merged_steps == 50
