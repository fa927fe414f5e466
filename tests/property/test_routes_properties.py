"""Hops, routes and bookings on random small networks, against a model that tries every tick of a quarter of a second.

All times are whole ticks and all rates 1, 2 or 4 bit/s (or infinite), so that everything happens at a tick.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from orbital_train.schedule.bookings import Bookings
from orbital_train.schedule.hops import first_hop, last_hop
from orbital_train.schedule.network import Edge, Hop, Network, Piece, Route
from orbital_train.schedule.routes import earliest_arrivals, latest_departures
from orbital_train.windows.plan import ContactPlan
from tests.unit.schedule.scenarios import one_way

TICK_US = 250_000
HORIZON = 48  # ticks
NODES = 4


Message = tuple[int, int, int]  # pair, ready, bits
Block = tuple[int, int, int]  # pair, start, length


def few(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, derandomize=True)


@dataclass(frozen=True)
class Contact:
    """In ticks."""

    id: int
    source: int
    dest: int
    start: int
    end: int
    rate_bps: float
    owlt: int


@st.composite
def contact_lists(draw: st.DrawFn, nodes: int = NODES, most: int = 12) -> list[Contact]:
    """Contacts of random pairs, which overlap as they like."""
    rows = []
    for _ in range(draw(st.integers(1, most))):
        source, dest = draw(st.permutations(range(nodes)))[:2] if nodes > 2 else (0, 1)
        start = draw(st.integers(0, HORIZON - 2))
        end = draw(st.integers(start + 1, min(HORIZON, start + 20)))
        rows.append((start, source, dest, end))
    rates = st.sampled_from([1.0, 1.0, 2.0, 4.0, math.inf])
    owlts = st.sampled_from([0, 1, 1, 7])
    return [Contact(i, a, b, start, end, draw(rates), draw(owlts)) for i, (start, a, b, end) in enumerate(sorted(rows))]


def plan_of(contacts: Sequence[Contact]) -> ContactPlan:
    return one_way(
        [(c.source, c.dest, c.start / 4, c.end / 4) for c in contacts],
        NODES,
        rate_bps=[c.rate_bps for c in contacts],
        owlt_s=[c.owlt / 4 for c in contacts],
        horizon_s=HORIZON / 4,
    )


class Model:
    """One edge, tick by tick."""

    def __init__(self, contacts: Sequence[Contact], taken: set[int]) -> None:
        self.earliest = cache(self._earliest)
        self.stretches: list[tuple[int, int, Contact]] = []  # free, as the best contact of each tick has them
        ticks = ((u, self._best(contacts, u)) for u in range(HORIZON) if u not in taken)
        for _, run in itertools.groupby(enumerate(ticks), key=lambda kt: (kt[1][0] - kt[0], kt[1][1])):
            us = [u for _, (u, _) in run]
            best = self._best(contacts, us[0])
            if best is not None:
                self.stretches.append((us[0], us[-1] + 1, best))

    @staticmethod
    def _best(contacts: Sequence[Contact], tick: int) -> Contact | None:
        open_now = [c for c in contacts if c.start <= tick < c.end]
        return min(open_now, key=lambda c: (-c.rate_bps, c.owlt, c.id), default=None)

    def carries(self, ready: int, deadline: int) -> float:
        """Bits that can be sent from ``ready`` on and received by the deadline."""
        bits = 0.0
        for start, end, contact in self.stretches:
            length = min(end, deadline - contact.owlt) - max(start, ready)
            if length >= 0 and math.isinf(contact.rate_bps):
                return math.inf
            bits += 0 if length <= 0 else length * contact.rate_bps // 4
        return bits

    def _earliest(self, ready: int, bits: int) -> int | None:
        return next((d for d in range(ready, HORIZON + 8) if self.carries(ready, d) >= bits), None)

    def latest(self, deadline: int, bits: int) -> int | None:
        return next((t for t in range(deadline, -1, -1) if self.carries(t, deadline) >= bits), None)


def booked_or_blocked(net: Network, messages: list[Message], blocks: list[Block]) -> Bookings:
    """Messages by their earliest hops, and what is blocked."""
    edges = [edge for out in net.out for edge in out.values()]
    bookings = Bookings()
    for pair, ready, bits in messages if edges else ():
        hop = first_hop(edges[pair % len(edges)], bookings, ready * TICK_US, bits)
        if hop is not None:
            bookings.add(hop, 0)
    for pair, start, length in blocks if edges else ():
        bookings.block(edges[pair % len(edges)], start * TICK_US, (start + length) * TICK_US)
    return bookings


messages = st.lists(st.tuples(st.integers(0, 20), st.integers(0, HORIZON), st.integers(1, 9)), max_size=4)
blocks = st.lists(st.tuples(st.integers(0, 20), st.integers(0, HORIZON), st.integers(1, 9)), max_size=2)


def taken_ticks(bookings: Bookings, edge: Edge) -> set[int]:
    taken = bookings.taken.get(edge.id, [])
    assert taken == sorted(set(taken))
    return {u for a, b in zip(taken[::2], taken[1::2], strict=True) for u in range(a // TICK_US, b // TICK_US)}


def models(contacts: Sequence[Contact], net: Network, bookings: Bookings) -> dict[tuple[int, int], Model]:
    return {
        (edge.source, edge.dest): Model(
            [c for c in contacts if (c.source, c.dest) == (edge.source, edge.dest)], taken_ticks(bookings, edge)
        )
        for out in net.out
        for edge in out.values()
    }


def assert_sound(hop: Hop, contacts: Sequence[Contact], taken: set[int], bits: int) -> None:
    """Its pieces are whole, lasting, in free time, and within what their contacts carry."""
    assert sum(piece.bits for piece in hop.pieces) == bits
    assert (hop.start_us, hop.end_us) == (hop.pieces[0].start_us, hop.pieces[-1].end_us)
    for piece in hop.pieces:
        contact = contacts[piece.contact]
        assert (contact.source, contact.dest) == (hop.source, hop.dest)
        assert contact.start * TICK_US <= piece.start_us <= piece.end_us <= contact.end * TICK_US
        if math.isinf(contact.rate_bps):
            assert piece.start_us == piece.end_us
        else:
            assert piece.start_us < piece.end_us
            assert piece.bits <= contact.rate_bps * (piece.end_us - piece.start_us) // 1e6
            assert taken.isdisjoint(range(piece.start_us // TICK_US, -(-piece.end_us // TICK_US)))
        assert piece.end_us + contact.owlt * TICK_US <= hop.arrival_us
    assert hop.arrival_us in [piece.end_us + contacts[piece.contact].owlt * TICK_US for piece in hop.pieces]
    assert all(a.end_us <= b.start_us for a, b in itertools.pairwise(hop.pieces))


# -- hops ---


@given(contacts=contact_lists(nodes=2, most=8), traffic=messages, stops=blocks, bits=st.integers(1, 12))
@few(250)
def test_hops_are_as_early_and_as_late_as_trying_every_tick_finds(
    contacts: list[Contact], traffic: list[Message], stops: list[Block], bits: int
) -> None:
    net = Network(plan_of(contacts))
    bookings, edge = booked_or_blocked(net, traffic, stops), net.out[0][1]
    taken = taken_ticks(bookings, edge)
    model = Model(contacts, taken)
    for tick in range(HORIZON + 8):
        first, last = (hop(edge, bookings, tick * TICK_US, bits) for hop in (first_hop, last_hop))
        earliest, latest = model.earliest(tick, bits), model.latest(tick, bits)
        assert (first and first.arrival_us) == (None if earliest is None else earliest * TICK_US)
        assert (last and last.start_us) == (None if latest is None else latest * TICK_US)
        if first is not None:
            assert_sound(first, contacts, taken, bits)
            assert first.start_us >= tick * TICK_US
            assert last_hop(edge, bookings, first.arrival_us, bits).start_us >= first.start_us  # type: ignore[union-attr]
        if last is not None:
            assert_sound(last, contacts, taken, bits)
            assert last.arrival_us <= tick * TICK_US
            assert first_hop(edge, bookings, last.start_us, bits).arrival_us <= last.arrival_us  # type: ignore[union-attr]


@given(
    starts_s=st.lists(st.floats(0, 900, allow_subnormal=False), min_size=1, max_size=6),
    lasts_s=st.floats(1e-5, 90.0),
    rate_bps=st.floats(1.0, 3e11),
    fall_s=st.floats(0.0, 0.02),
    ready_us=st.integers(0, 900_000_000),
    bits=st.integers(1, 10**13),
)
@few(300)
def test_at_any_rate_a_later_start_never_arrives_earlier(
    starts_s: list[float], lasts_s: float, rate_bps: float, fall_s: float, ready_us: int, bits: int
) -> None:
    rows = [(0, 1, start_s, start_s + lasts_s) for start_s in sorted(starts_s)]
    rates = [rate_bps * (1 + k / 3) for k in range(len(rows))]
    owlts = [0.2 - k * fall_s for k in range(len(rows))]
    plan = one_way(rows, 2, rate_bps=rates, owlt_s=owlts)
    edge, free = Network(plan).out[0].get(1), Bookings()
    hop = None if edge is None else first_hop(edge, free, ready_us, bits)
    if edge is None or hop is None:
        return
    assert sum(piece.bits for piece in hop.pieces) == bits
    for piece in hop.pieces:
        assert 0 < piece.bits <= rates[piece.contact] * (piece.end_us - piece.start_us) / 1e6
    late, sooner = (last_hop(edge, free, by_us, bits) for by_us in (hop.arrival_us, hop.arrival_us - 1))
    assert late is not None
    assert late.start_us >= hop.start_us
    assert sooner is None or sooner.start_us < ready_us
    for later_us in (1, 1000, 10**6, 10**8):
        after = first_hop(edge, free, ready_us + later_us, bits)
        assert after is None or after.arrival_us >= hop.arrival_us


# -- routes ---


def arrivals_by_trying(edges: dict[tuple[int, int], Model], source: int, ready: int, bits: int) -> dict[int, int]:
    """Along every path without a loop."""
    best: dict[int, int] = {source: ready}

    def walk(here: int, now: int, seen: frozenset[int]) -> None:
        for (a, b), model in edges.items():
            heard = model.earliest(now, bits) if a == here and b not in seen else None
            if heard is not None and heard <= HORIZON:
                best[b] = min(best.get(b, heard), heard)
                walk(b, heard, seen | {b})

    walk(source, ready, frozenset({source}))
    return best


def assert_joined(route: Route, source: int, dest: int, ready_us: int) -> None:
    assert (route[0].source, route[-1].dest) == (source, dest)
    assert route[0].start_us >= ready_us
    for a, b in itertools.pairwise(route):
        assert a.dest == b.source
        assert a.arrival_us <= b.start_us


@given(
    contacts=contact_lists(),
    traffic=messages,
    stops=blocks,
    ready=st.integers(0, HORIZON),
    bits=st.integers(1, 8),
)
@few(200)
def test_routes_arrive_as_early_as_an_exhaustive_search_finds(
    contacts: list[Contact],
    traffic: list[Message],
    stops: list[Block],
    ready: int,
    bits: int,
) -> None:
    net = Network(plan_of(contacts))
    bookings = booked_or_blocked(net, traffic, stops)
    expected = arrivals_by_trying(models(contacts, net, bookings), 0, ready, bits)
    found = earliest_arrivals(net, bookings, {0: ready * TICK_US}, bits)
    assert found.arrival_us == {node: tick * TICK_US for node, tick in expected.items()}
    assert found.route(0) == ()
    for dest in range(1, NODES):
        route = found.route(dest)
        assert (route is None) == (dest not in expected)
        if route is not None:
            assert_joined(route, 0, dest, ready * TICK_US)
            assert route[-1] in found.branches([dest])
            assert route[-1].arrival_us == found.arrival_us[dest]
        only = earliest_arrivals(net, bookings, {0: ready * TICK_US}, bits, until=(dest,))
        assert only.route(dest) == route


@given(
    contacts=contact_lists(),
    traffic=messages,
    stops=blocks,
    bits=st.integers(1, 8),
    deadline=st.integers(0, HORIZON + 9),
)
@few(100)
def test_departures_are_the_latest_ticks_from_which_an_exhaustive_search_is_in_time(
    contacts: list[Contact],
    traffic: list[Message],
    stops: list[Block],
    bits: int,
    deadline: int,
) -> None:
    net = Network(plan_of(contacts))
    bookings = booked_or_blocked(net, traffic, stops)
    edges = models(contacts, net, bookings)
    found = latest_departures(net, bookings, 3, deadline * TICK_US, bits)
    expected = {3: min(deadline, HORIZON) * TICK_US}
    for source, tick in itertools.product(range(3), range(min(deadline, HORIZON) + 1)):
        if arrivals_by_trying(edges, source, tick, bits).get(3, math.inf) <= deadline:
            expected[source] = tick * TICK_US
    assert found.leave_us == expected
    for source in expected:
        route = found.route(source)
        assert route is not None
        assert bool(route) == (source != 3)
        if not route:
            continue
        assert_joined(route, source, 3, found.leave_us[source])
        assert (route[0], route[0].start_us) == (found.leg(source), found.leave_us[source])
        assert route[-1].arrival_us <= deadline * TICK_US


@given(contacts=contact_lists(), traffic=messages, ready=st.tuples(st.integers(0, HORIZON), st.integers(0, HORIZON)))
@few(100)
def test_of_several_sources_each_node_hears_from_the_one_that_is_first(
    contacts: list[Contact], traffic: list[Message], ready: tuple[int, int]
) -> None:
    net = Network(plan_of(contacts))
    bookings = booked_or_blocked(net, traffic, [])
    sources = {node: tick * TICK_US for node, tick in enumerate(ready)}
    alone = [earliest_arrivals(net, bookings, {node: at_us}, 3).arrival_us for node, at_us in sources.items()]
    together = earliest_arrivals(net, bookings, sources, 3)
    assert together.arrival_us == {
        node: min(found[node] for found in alone if node in found) for node in set(alone[0]) | set(alone[1])
    }
    for node, at_us in together.arrival_us.items():
        route = together.route(node)
        assert route is not None
        if route:
            assert_joined(route, route[0].source, node, sources[route[0].source])
        assert at_us == (route[-1].arrival_us if route else sources[node])


@given(contacts=contact_lists(), avoid=st.sets(st.integers(0, 3)), tick=st.integers(0, HORIZON))
@few(100)
def test_what_is_avoided_might_as_well_not_be_there(contacts: list[Contact], avoid: set[int], tick: int) -> None:
    net = Network(plan_of(contacts))
    kept = [c for c in contacts if avoid.isdisjoint((c.source, c.dest))]
    rest = Network(plan_of([replace(c, id=i) for i, c in enumerate(kept)] or [Contact(0, 2, 3, 0, 1, 0.5, 0)]))
    at_us = tick * TICK_US
    there = earliest_arrivals(rest, Bookings(), {0: at_us}, 2).arrival_us
    assert earliest_arrivals(net, Bookings(), {0: at_us}, 2, avoid=avoid).arrival_us == (
        there if 0 not in avoid else {}
    )
    back = latest_departures(rest, Bookings(), 3, at_us, 2).leave_us
    assert latest_departures(net, Bookings(), 3, at_us, 2, avoid=avoid).leave_us == (back if 3 not in avoid else {})


# -- bookings ---


@given(
    commands=st.lists(
        st.tuples(st.sampled_from(["add", "add", "remove", "block", "fork"]), st.integers(0, 40), st.integers(1, 8)),
        max_size=20,
    ),
    seed=st.integers(0, 3),
)
@few(200)
def test_bookings_are_a_set_of_free_and_taken_ticks(commands: list[tuple[str, int, int]], seed: int) -> None:
    """Against sets of ticks; what a copy does never shows in the other."""
    net = Network(plan_of([Contact(0, 0, 1, 0, HORIZON, 4.0, seed)]))
    edge, bookings = net.out[0][1], Bookings()
    booked: dict[Hop, set[int]] = {}
    blocked: set[int] = set()
    forked: list[tuple[Bookings, set[int]]] = []
    for kind, tick, n in commands:
        if kind == "add":
            hop = first_hop(edge, bookings, tick * TICK_US, n)
            if hop is not None:
                bookings.add(hop, 0)
                booked[hop] = {u for p in hop.pieces for u in range(p.start_us // TICK_US, p.end_us // TICK_US)}
        elif kind == "remove" and booked:
            hop = list(booked)[tick % len(booked)]
            bookings.remove((hop,))
            del booked[hop]
        elif kind == "block":
            bookings.block(edge, tick * TICK_US, (tick + n) * TICK_US)
            blocked |= set(range(tick, tick + n))
        elif kind == "fork":
            forked.append((bookings, blocked.union(*booked.values())))
            bookings = bookings.fork()
        assert taken_ticks(bookings, edge) == blocked.union(*booked.values())
    for copy, ticks in forked:
        assert taken_ticks(copy, edge) == ticks


@given(hops=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 3), st.integers(1, 4)), max_size=40))
@few(60)
def test_what_is_past_is_forgotten_and_what_is_to_come_is_not(hops: list[tuple[int, int, int]]) -> None:
    net = Network(
        plan_of([Contact(k, *pair, 0, HORIZON, 4.0, 0) for k, pair in enumerate([(0, 1), (1, 2), (2, 3), (3, 0)])])
    )
    edges, bookings = [edge for out in net.out for edge in out.values()], Bookings()
    expected: list[set[int]] = [set() for _ in edges]
    now = 0
    for wait, pair, n in sorted(hops):
        now = max(now, wait * 4)
        hop = first_hop(edges[pair], bookings, now * TICK_US, n)
        if hop is not None:
            bookings.add(hop, now * TICK_US)
            expected[pair] |= set(range(hop.start_us // TICK_US, hop.end_us // TICK_US))
        for edge, ticks in zip(edges, expected, strict=True):
            assert {u for u in taken_ticks(bookings, edge) if u >= now} == {u for u in ticks if u >= now}
    if now:
        last = Hop(
            0,
            1,
            HORIZON * TICK_US,
            HORIZON * TICK_US + 1,
            0,
            (Piece(0, HORIZON * TICK_US, HORIZON * TICK_US + 1, 1),),
            0,
        )
        for _ in range(6):
            bookings.add(last, HORIZON * TICK_US)
            bookings.remove(last)
        assert all(not taken for taken in bookings.taken.values())
