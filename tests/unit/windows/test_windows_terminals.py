from __future__ import annotations

import numpy as np

from orbital_train.windows.links import Opportunities
from orbital_train.windows.plan import LinkKind
from orbital_train.windows.terminals import Links, Pools, match


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
