"""Nearest-k links: every node keeps links to a few close nodes, matched to terminals over time, for fleets of any size.

At every step of the grid (60 s or less):

1. Links that stopped being good since the last step have given back their terminals. A link ends at the moment at which
   one of its conditions fails, and is kept until then, however close another node comes.
2. Nodes with a free terminal look for the closest nodes that have one too. A pair is eligible if it is good now and
   will stay so for the acquisition and a minimum life. Nothing is extrapolated: orbits are known in advance, so the
   same search on true states that later ends the link says how long it will last.
3. Eligible pairs are taken shortest first. Each new link pays the acquisition.

A node that found nobody looks again after 1, 2, 4 and at most 8 steps; others may find it in the meantime.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from orbital_train.orbit.ephemeris import Ephemeris
from orbital_train.orbit.grid import StateGrid
from orbital_train.windows.blocks import StateBlock, even_grid_s, grid_blocks, state_blocks
from orbital_train.windows.candidates import Pairs, close_pairs
from orbital_train.windows.geometry import PairFunction
from orbital_train.windows.greedy import count_within, shortest_first
from orbital_train.windows.lasting import good_at, good_until_s
from orbital_train.windows.plan import FloatArray, IntArray
from orbital_train.windows.reach import largest_range_m

_LONGEST_WAIT = 8  # steps
# Pairs looked at in one step, as long as each seeker has its minimum. At the first everybody looks at once.
_PAIRS, _FIRST_PAIRS = 1 << 18, 1 << 21
# Steps of a block, and the node states in it, to bound its memory: 2^24 are 0.8 GB.
_BLOCK_STEPS, _BLOCK_STATES = 32, 1 << 24


@dataclass(frozen=True, kw_only=True)
class NearestSpec:
    """How many links a node keeps, and what a new one costs."""

    neighbours: int = 4
    terminals: int = 4
    acquisition_s: float = 30.0
    minimum_life_s: float = 60.0  # data flows at least so long, else the link is not made
    max_rate_rad_s: float = 1.75e-3  # turn of the line of sight that terminals can track
    decision_s: float = 60.0
    candidates: int = 16  # nodes that each node considers at a step


@dataclass(frozen=True, kw_only=True)
class NearestLinks:
    """Links in columns of shape (L,); data flows on ``[start_s, end_s)``."""

    link_id: IntArray  # in the order in which links were made: by start, then by length
    a: IntArray  # node, a < b
    b: IntArray
    terminal_a: IntArray
    terminal_b: IntArray
    acquire_start_s: FloatArray
    start_s: FloatArray
    end_s: FloatArray
    range_m: FloatArray  # the largest while data flows

    def __len__(self) -> int:
        return int(self.a.size)

    def only(self, rows: IntArray | NDArray[np.bool_]) -> NearestLinks:
        """Some of the links."""
        return NearestLinks(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def joined_links(parts: Sequence[NearestLinks]) -> NearestLinks:
    """Several lots of links as one, in their order."""
    columns = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(NearestLinks)}
    return NearestLinks(**columns)


def nearest_links(
    ephemeris: Ephemeris,
    conditions: Sequence[PairFunction],
    spec: NearestSpec,
    horizon_s: float,
    block_steps: int | None = None,
) -> Iterator[NearestLinks]:
    """Make and end links over a scenario; each block of time yields the links that ended in it, by number.

    Args:
        ephemeris: the nodes.
        conditions: what must be positive while there is a link.
        spec: how many links, and their costs.
        horizon_s: the scenario's length; links are cut there, and none is made that would then be too short.
        block_steps: steps held in memory at once; no result depends on it.
    """
    grid_s = even_grid_s(horizon_s, spec.decision_s)
    nodes, ahead = len(ephemeris.names), _ahead(spec, grid_s)
    length = block_steps or max(2, min(_BLOCK_STEPS, _BLOCK_STATES // nodes - ahead - 2))
    return _follow(state_blocks(ephemeris, grid_s, length, ahead), nodes, conditions, spec)


def nearest_on_grid(grid: StateGrid, nodes: int, conditions: Sequence[PairFunction], spec: NearestSpec) -> NearestLinks:
    """The same for the first so many nodes of states that are already sampled, at every point of their grid.

    Returns all links, by number. Edges differ by up to a millisecond: velocities are the grid's, which are the
    derivative of its positions, and SGP4's own are not.
    """
    blocks = grid_blocks(grid, nodes, _BLOCK_STEPS, _ahead(spec, grid.t_s))
    links = joined_links(list(_follow(blocks, nodes, conditions, spec)))
    return links.only(np.argsort(links.link_id))


def _ahead(spec: NearestSpec, grid_s: FloatArray) -> int:
    """Points that are needed after a block: to the end of the life of a link that is made at its last step."""
    return int(np.ceil((spec.acquisition_s + spec.minimum_life_s) / (grid_s[1] - grid_s[0]))) + 1


def _follow(
    blocks: Iterable[StateBlock], nodes: int, conditions: Sequence[PairFunction], spec: NearestSpec
) -> Iterator[NearestLinks]:
    matching = _Matching(nodes, conditions, spec)
    for block in blocks:
        matching.follow(block)
        for k in range(block.first, block.last):
            matching.release(block.grid_s[k])
            matching.decide(block, k)
        yield matching.close(block)


class _Matching:
    """The state over time: which terminal of which node is linked to whom, and the links that have not been yielded."""

    def __init__(self, nodes: int, conditions: Sequence[PairFunction], spec: NearestSpec) -> None:
        self._conditions = conditions
        self._spec = spec
        self._made = 0
        # (N, k) who is linked to each terminal, -1 where it is free
        self._partner = np.full((nodes, min(spec.neighbours, spec.terminals)), -1, dtype=np.int32)
        self._next_look = np.zeros(nodes, dtype=np.int32)  # step
        self._wait = np.ones(nodes, dtype=np.int32)  # steps
        none, never = np.empty(0, dtype=np.int64), np.empty(0)
        # The end is infinite until it is known.
        self._open = NearestLinks(
            link_id=none,
            a=none,
            b=none,
            terminal_a=none,
            terminal_b=none,
            acquire_start_s=never,
            start_s=never,
            end_s=never,
            range_m=never,
        )
        self._held = np.empty(0, dtype=np.bool_)  # which of them still hold their terminals

    def follow(self, block: StateBlock) -> None:
        """Find which links end in this block."""
        rows = np.flatnonzero(np.isinf(self._open.end_s))
        a, b = self._open.a[rows], self._open.b[rows]
        self._open.end_s[rows] = self._end_s(block, a, b, block.first, block.last)

    def release(self, now_s: float) -> None:
        """Take back the terminals of links that have ended."""
        rows = np.flatnonzero(self._held & (self._open.end_s <= now_s))
        ended = self._open.only(rows)
        self._partner[ended.a, ended.terminal_a] = -1
        self._partner[ended.b, ended.terminal_b] = -1
        self._held[rows] = False
        # Whoever has a terminal back looks at once.
        for node in (ended.a, ended.b):
            self._next_look[node], self._wait[node] = 0, 1

    def decide(self, block: StateBlock, k: int) -> None:
        """Make new links at one step."""
        free = (self._partner < 0).sum(axis=1)
        pool = np.flatnonzero(free > 0)
        seekers = pool[self._next_look[pool] <= k]
        if pool.size < 2 or not seekers.size:
            return
        pairs, until_s = self._eligible(block, k, pool, seekers)
        r_m = block.at(k)[0]
        d_m = r_m[pairs.a] - r_m[pairs.b]
        rows = shortest_first(pairs.a, pairs.b, np.sqrt((d_m * d_m).sum(-1)), free)
        new = pairs.only(rows)
        self._postpone(seekers, new, k)
        if rows.size:
            self._link(block, k, new, until_s[rows])

    def close(self, block: StateBlock) -> NearestLinks:
        """Measure what was open in this block, and give out what ended in it."""
        links, now_s = self._open, block.grid_s[block.last]
        if block.last == block.grid_s.size - 1:
            links.end_s[links.end_s > now_s] = now_s
        here_m = largest_range_m(block, links.a, links.b, links.start_s, links.end_s)
        np.maximum(links.range_m, here_m, out=links.range_m)
        self.release(now_s)
        ended = links.end_s <= now_s
        self._open, self._held = links.only(~ended), self._held[~ended]
        return links.only(ended)

    def _end_s(self, block: StateBlock, a: IntArray, b: IntArray, first: int, last: int) -> FloatArray:
        return good_until_s(block, self._conditions, a, b, first, last)

    def _eligible(self, block: StateBlock, k: int, pool: IntArray, seekers: IntArray) -> tuple[Pairs, FloatArray]:
        """Pairs that may be linked at this step, and how long they are known to stay good."""
        spec = self._spec
        count = max(spec.candidates, (_FIRST_PAIRS if k == 0 else _PAIRS) // seekers.size)
        pairs = close_pairs(*block.at(k), pool, seekers, count, 0.5 / spec.max_rate_rad_s)
        pairs = pairs.only(np.flatnonzero((self._partner[pairs.a] != pairs.b[:, None]).all(axis=1)))
        pairs = pairs.only(np.flatnonzero(good_at(block, self._conditions, pairs.a, pairs.b, k)))
        lasts_s = spec.acquisition_s + spec.minimum_life_s
        points = int(np.ceil(lasts_s / block.step_s))
        until_s = self._end_s(block, pairs.a, pairs.b, k, min(k + points, block.grid_s.size - 1))
        rows = np.flatnonzero(np.minimum(until_s, block.grid_s[-1]) - block.grid_s[k] >= lasts_s)
        return pairs.only(rows), until_s[rows]

    def _postpone(self, seekers: IntArray, new: Pairs, k: int) -> None:
        """Let those who found nobody wait, longer every time."""
        found = np.zeros(self._wait.size, dtype=np.bool_)
        found[new.a] = found[new.b] = True
        self._wait[found] = 1
        self._next_look[seekers] = k + self._wait[seekers]
        lost = seekers[~found[seekers]]
        self._wait[lost] = np.minimum(2 * self._wait[lost], _LONGEST_WAIT)

    def _link(self, block: StateBlock, k: int, new: Pairs, until_s: FloatArray) -> None:
        """Give each new link the lowest free terminal at both ends."""
        terminal_a, terminal_b = self._terminals(new)
        self._partner[new.a, terminal_a], self._partner[new.b, terminal_b] = new.b, new.a
        points = int(np.ceil((self._spec.acquisition_s + self._spec.minimum_life_s) / block.step_s))
        on = np.flatnonzero(np.isinf(until_s))
        if k + points < block.last:
            until_s[on] = self._end_s(block, new.a[on], new.b[on], k + points, block.last)
        count, now_s = new.a.size, block.grid_s[k]
        made = NearestLinks(
            link_id=self._made + np.arange(count),
            a=new.a,
            b=new.b,
            terminal_a=terminal_a,
            terminal_b=terminal_b,
            acquire_start_s=np.full(count, now_s),
            start_s=np.full(count, now_s + self._spec.acquisition_s),
            end_s=until_s,
            range_m=np.zeros(count),
        )
        self._made += count
        self._open = joined_links([self._open, made])
        self._held = np.append(self._held, np.ones(count, dtype=np.bool_))

    def _terminals(self, new: Pairs) -> tuple[IntArray, IntArray]:
        """Lowest free terminals, in the order of the pairs at each node."""
        node = np.concatenate([new.a, new.b])
        row = np.tile(np.arange(new.a.size), 2)
        by_node = np.lexsort((row, node))
        place = np.empty_like(row)
        place[by_node] = count_within(node[by_node])
        free_first = np.argsort(self._partner[node] >= 0, axis=1, kind="stable")
        terminal = free_first[np.arange(node.size), place]
        return terminal[: new.a.size], terminal[new.a.size :]
