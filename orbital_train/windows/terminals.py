"""Terminal matching: which opportunities become links, given that every link takes a terminal at both ends."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orbital_train.windows.links import Opportunities
from orbital_train.windows.plan import FloatArray, IntArray


@dataclass(frozen=True, kw_only=True)
class Pools:
    """Groups of interchangeable terminals, and which group serves either end of every opportunity."""

    terminals: Sequence[range]  # terminal numbers of each pool, unique within a node
    a: IntArray  # (K,) pool of each opportunity's end a
    b: IntArray


@dataclass(frozen=True, kw_only=True)
class Links:
    """Links in columns of shape (L,), in the order in which they were made; data flows on ``[start_s, end_s)``."""

    opportunity: IntArray  # row of the opportunities
    terminal_a: IntArray
    terminal_b: IntArray
    acquire_start_s: FloatArray
    start_s: FloatArray
    end_s: FloatArray


def match(found: Opportunities, pools: Pools, acquisition_s: float) -> Links:
    """Assign terminals over time, greedily.

    Whenever an opportunity opens or a terminal comes free, the opportunities that wait are served in the order of
    (longest remaining time, row), each with the lowest free terminals. A link is kept until its opportunity ends, even
    if a better one opens; an opportunity whose remaining time does not exceed the acquisition is not taken.

    Args:
        found: the opportunities, K rows.
        pools: the terminals that may serve them.
        acquisition_s: time from taking the terminals to the first data.
    """
    matcher = _Matcher(found, pools, acquisition_s)
    opening = np.argsort(found.start_s, kind="stable").tolist()
    start_s = found.start_s.tolist()
    first = 0
    while first < len(opening) or matcher.ending:
        next_open_s = start_s[opening[first]] if first < len(opening) else np.inf
        now_s = min(next_open_s, matcher.ending[0][0] if matcher.ending else np.inf)
        waiting = matcher.release(now_s)
        while first < len(opening) and start_s[opening[first]] == now_s:
            waiting.append(opening[first])
            first += 1
        matcher.serve(waiting, now_s)
    return matcher.links()


class _Matcher:
    """The state of the matching: free terminals, who waits for which pool, and when links end."""

    def __init__(self, found: Opportunities, pools: Pools, acquisition_s: float) -> None:
        self.ending: list[tuple[float, int]] = []  # heap of (end, index of the link)
        self._end_s: list[float] = found.end_s.tolist()
        self._pools: list[tuple[int, int]] = list(zip(pools.a.tolist(), pools.b.tolist(), strict=True))
        self._free = [list(numbers) for numbers in pools.terminals]  # each list is a heap
        self._waiting: list[set[int]] = [set() for _ in pools.terminals]
        self._acquisition_s = acquisition_s
        self._made: list[tuple[int, int, int, float]] = []  # opportunity, terminals, when they were taken

    def release(self, now_s: float) -> list[int]:
        """Free the terminals of links that have ended; the opportunities that waited for one of them."""
        freed: set[int] = set()
        while self.ending and self.ending[0][0] <= now_s:
            _, link = heapq.heappop(self.ending)
            row, *terminals, _ = self._made[link]
            for pool, terminal in zip(self._pools[row], terminals, strict=True):
                heapq.heappush(self._free[pool], terminal)
                freed.add(pool)
        return list(set().union(*(self._waiting[pool] for pool in freed)))

    def serve(self, rows: list[int], now_s: float) -> None:
        """Make links of these opportunities where terminals are free; the others wait, or are dropped as too short."""
        for row in sorted(rows, key=lambda r: (-self._end_s[r], r)):
            pool_a, pool_b = self._pools[row]
            lasts = self._end_s[row] - now_s > self._acquisition_s
            if lasts and not (self._free[pool_a] and self._free[pool_b]):
                self._waiting[pool_a].add(row)
                self._waiting[pool_b].add(row)
                continue
            self._waiting[pool_a].discard(row)
            self._waiting[pool_b].discard(row)
            if lasts:
                taken = heapq.heappop(self._free[pool_a]), heapq.heappop(self._free[pool_b])
                heapq.heappush(self.ending, (self._end_s[row], len(self._made)))
                self._made.append((row, *taken, now_s))

    def links(self) -> Links:
        """All links that were made."""
        table = np.array(self._made, dtype=np.float64).reshape(-1, 4)
        row, terminal_a, terminal_b = table[:, :3].astype(np.int64).T
        return Links(
            opportunity=row,
            terminal_a=terminal_a,
            terminal_b=terminal_b,
            acquire_start_s=table[:, 3],
            start_s=table[:, 3] + self._acquisition_s,
            end_s=np.array(self._end_s)[row],
        )
