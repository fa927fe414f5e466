from __future__ import annotations

import numpy as np

from orbital_train.windows.links import Opportunities
from orbital_train.windows.plan import LinkKind
from orbital_train.windows.terminals import Links, Pools, _Matcher, match


def found(*rows: tuple[int, int, float, float]) -> Opportunities:
    a, b, start, end = (np.array(column) for column in zip(*rows, strict=True))
    kind = np.full(a.shape, LinkKind.ISL, dtype=np.int64)
    return Opportunities(a=a, b=b, start_s=start.astype(float), end_s=end.astype(float), kind=kind)


def matched(terminals: list[int], *rows: tuple[int, int, float, float], acquisition_s: float = 30.0) -> Links:
    opportunities = found(*rows)
    pools = Pools(terminals=[range(n) for n in terminals], a=opportunities.a, b=opportunities.b)
    return match(opportunities, pools, acquisition_s)


def rows(links: Links) -> list[tuple[int, float, float]]:
    return list(zip(links.opportunity.tolist(), links.start_s.tolist(), links.end_s.tolist(), strict=True))


def test_acquisition_is_paid_by_every_link() -> None:
    links = matched([1, 1], (0, 1, 0, 100), (0, 1, 200, 300))
    assert rows(links) == [(0, 30.0, 100.0), (1, 230.0, 300.0)]
    assert links.acquire_start_s.tolist() == [0.0, 200.0]


def test_an_opportunity_not_longer_than_the_acquisition_is_none() -> None:
    assert rows(matched([1, 1], (0, 1, 0, 30), (0, 1, 50, 70), (0, 1, 100, 130.5))) == [(2, 130.0, 130.5)]


def test_longest_remaining_first_then_the_lower_row() -> None:
    links = matched([1, 1, 1, 1], (0, 1, 0, 100), (0, 2, 0, 200), (0, 3, 0, 200))
    assert rows(links) == [(1, 30.0, 200.0)]


def test_a_link_is_kept_though_a_better_one_opens() -> None:
    links = matched([1, 1, 1], (0, 1, 0, 100), (0, 2, 10, 500))
    assert rows(links) == [(0, 30.0, 100.0), (1, 130.0, 500.0)]


def test_a_waiting_opportunity_needs_both_ends_and_enough_time() -> None:
    # Node 2's terminal is busy until 300, node 0's until 100: they link at 300, and 0-3 in between is too short.
    links = matched([1, 1, 1, 1, 1], (0, 1, 0, 100), (0, 2, 10, 900), (2, 4, 0, 300), (0, 3, 80, 125))
    assert rows(links) == [(2, 30.0, 300.0), (0, 30.0, 100.0), (1, 330.0, 900.0)]


def test_an_opportunity_that_waited_is_linked_once() -> None:
    """0-1 waits for node 0 and links at 100; that both ends have a terminal free again at 300 makes no second link."""
    links = matched([2, 2, 1, 1, 1], (0, 2, 0, 100), (0, 3, 0, 200), (1, 4, 0, 300), (0, 1, 10, 900))
    assert rows(links) == [(2, 30.0, 300.0), (1, 30.0, 200.0), (0, 30.0, 100.0), (3, 130.0, 900.0)]


def test_a_terminal_that_comes_free_is_given_at_the_same_moment() -> None:
    links = matched([1, 1, 1], (0, 1, 0, 100), (0, 2, 100, 200))
    assert rows(links) == [(0, 30.0, 100.0), (1, 130.0, 200.0)]


def test_the_lowest_free_terminals_are_taken_and_returned() -> None:
    links = matched([3, 2, 1, 1], (0, 1, 0, 100), (0, 2, 0, 300), (0, 3, 0, 200), (0, 1, 150, 400))
    table = {k: (a, b) for k, a, b in zip(links.opportunity, links.terminal_a, links.terminal_b, strict=True)}
    assert table == {1: (0, 0), 2: (1, 0), 0: (2, 0), 3: (2, 0)}


def test_no_more_links_than_terminals() -> None:
    star = [(0, k, 0, 1000 + k) for k in range(1, 8)]
    links = matched([4] + [1] * 7, *star)
    assert sorted(links.opportunity.tolist()) == [3, 4, 5, 6]


def test_nothing_to_match() -> None:
    none = Opportunities(
        a=np.empty(0, int), b=np.empty(0, int), start_s=np.empty(0), end_s=np.empty(0), kind=np.empty(0, int)
    )
    links = match(none, Pools(terminals=[range(4)], a=none.a, b=none.b), 30.0)
    assert links.opportunity.size == links.start_s.size == 0


def test_a_link_must_carry_data_for_its_minimum_life() -> None:
    opportunities = found((0, 1, 0, 89), (0, 2, 0, 90), (0, 3, 100, 200))
    pools = Pools(terminals=[range(1)] * 4, a=opportunities.a, b=opportunities.b)
    assert rows(match(opportunities, pools, 30.0, 60.0)) == [(1, 30.0, 90.0), (2, 130.0, 200.0)]


def test_who_waited_too_long_for_its_minimum_life_is_not_linked() -> None:
    opportunities = found((0, 1, 0, 500), (0, 2, 10, 580))
    pools = Pools(terminals=[range(1)] * 3, a=opportunities.a, b=opportunities.b)
    assert rows(match(opportunities, pools, 30.0, 60.0)) == [(0, 30.0, 500.0)]
    assert rows(match(opportunities, pools, 30.0, 50.0)) == [(0, 30.0, 500.0), (1, 530.0, 580.0)]


def test_a_pair_with_several_opportunities_at_once_has_one_link_at_a_time() -> None:
    """Terminals 0 and 1 of either node see each other; the second pair of them takes over, and pays again."""
    opportunities = found((0, 1, 0, 100), (0, 1, 50, 300))
    pools = Pools(
        terminals=[range(0, 1), range(1, 2), range(0, 1), range(1, 2)],
        a=np.array([0, 1]),
        b=np.array([2, 3]),
        pair=np.array([0, 0]),
    )
    links = match(opportunities, pools, 30.0)
    assert rows(links) == [(0, 30.0, 100.0), (1, 130.0, 300.0)]
    assert (links.terminal_a.tolist(), links.terminal_b.tolist()) == ([0, 1], [0, 1])


def greedy(
    of: Opportunities, terminals: list[int], acquisition_s: float, minimum_life_s: float
) -> set[tuple[int, float]]:
    """The rule in words, with no data structure: at every event, everybody who could is looked at, longest first."""
    events = sorted({*of.start_s.tolist(), *of.end_s.tolist()})
    made: dict[int, float] = {}
    for now_s in events:
        for row in sorted(range(len(of)), key=lambda r: (-of.end_s[r], r)):
            flows_s = of.end_s[row] - now_s - acquisition_s
            if row in made or of.start_s[row] > now_s or flows_s <= 0 or flows_s < minimum_life_s:
                continue
            busy = [r for r in made if of.end_s[r] > now_s]
            used = [sum(node in (of.a[r], of.b[r]) for r in busy) for node in (of.a[row], of.b[row])]
            if used[0] < terminals[of.a[row]] and used[1] < terminals[of.b[row]]:
                made[row] = now_s
    return set(made.items())


def random_opportunities(seed: int, nodes: int, count: int, span_s: float) -> Opportunities:
    rng = np.random.default_rng(seed)
    a = rng.integers(0, nodes - 1, count)
    b = rng.integers(a + 1, nodes)
    start_s = rng.uniform(0.0, span_s, count)
    end_s = start_s + rng.exponential(300.0, count)
    return Opportunities(a=a, b=b, start_s=start_s, end_s=end_s, kind=np.zeros(count, dtype=np.int64))


def test_matching_is_the_greedy_rule_in_words() -> None:
    for seed in range(15):
        of = random_opportunities(seed, nodes=7, count=90, span_s=3000.0)
        terminals = np.random.default_rng(seed).integers(1, 4, 7).tolist()
        links = match(of, Pools(terminals=[range(n) for n in terminals], a=of.a, b=of.b), 20.0, 40.0)
        made = set(zip(links.opportunity.tolist(), links.acquire_start_s.tolist(), strict=True))
        assert made == greedy(of, terminals, 20.0, 40.0)


def test_looks_at_few_of_those_that_wait() -> None:
    """A thousand satellites over one site with one terminal: who is given it is found without looking at them all."""
    count = 20_000
    rng = np.random.default_rng(1)
    start_s = np.sort(rng.uniform(0.0, 86_400.0, count))
    of = Opportunities(
        a=rng.integers(1, 1000, count) * 0,
        b=rng.integers(1, 1000, count),
        start_s=start_s,
        end_s=start_s + rng.uniform(60.0, 4000.0, count),
        kind=np.full(count, LinkKind.GROUND, dtype=np.int64),
    )
    matcher = _Matcher(of, Pools(terminals=[range(1)] * 1000, a=of.a, b=of.b), 30.0, 60.0)
    tries = 0
    link_or_wait = matcher._link_or_wait

    def counted(row: int, now_s: float) -> None:
        nonlocal tries
        tries += 1
        link_or_wait(row, now_s)

    matcher._link_or_wait = counted  # type: ignore[method-assign]
    matcher.run(of)
    assert len(matcher.links().opportunity) > 20
    assert tries < 2 * count
