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
    pair: IntArray | None = None  # (K,) where several opportunities of one pair overlap: they share one token here


@dataclass(frozen=True, kw_only=True)
class Links:
    """Links in columns of shape (L,), in the order in which they were made; data flows on ``[start_s, end_s)``."""

    opportunity: IntArray  # row of the opportunities
    terminal_a: IntArray
    terminal_b: IntArray
    acquire_start_s: FloatArray
    start_s: FloatArray
    end_s: FloatArray


def match(found: Opportunities, pools: Pools, acquisition_s: float, minimum_life_s: float = 0.0) -> Links:
    """Assign terminals over time, greedily.

    Whenever an opportunity opens or a terminal comes free, the opportunities that wait are served in the order of
    (longest remaining time, row), each with the lowest free terminals. A link is kept until its opportunity ends, even
    if a better one opens; an opportunity in which data would flow for less than the minimum life is not taken.

    Args:
        found: the opportunities, K rows.
        pools: the terminals that may serve them.
        acquisition_s: time from taking the terminals to the first data.
        minimum_life_s: data flows at least so long, and at all.
    """
    matcher = _Matcher(found, pools, acquisition_s, minimum_life_s)
    matcher.run(found)
    return matcher.links()


class _Matcher:
    """The state of the matching: free terminals, who waits for which pool, and when links end.

    Who cannot be served waits for one pool that has nothing free, in a queue whose first is the longest. So when a
    terminal comes free, only those are looked at that may have it, and no more of them than it takes to give it away.
    """

    def __init__(self, found: Opportunities, pools: Pools, acquisition_s: float, minimum_life_s: float) -> None:
        self._ending: list[tuple[float, int]] = []  # heap of (end, index of the link)
        self._end_s: list[float] = found.end_s.tolist()
        columns, terminals = [pools.a, pools.b], list(pools.terminals)
        if pools.pair is not None:
            columns.append(len(terminals) + pools.pair)
            terminals += [range(1)] * (int(pools.pair.max(initial=-1)) + 1)
        self._needs: list[tuple[int, ...]] = list(zip(*(column.tolist() for column in columns), strict=True))
        self._free = [list(numbers) for numbers in terminals]  # each list is a heap
        self._queues: list[list[tuple[float, int]]] = [[] for _ in terminals]  # heaps of (-end, opportunity)
        self._acquisition_s = acquisition_s
        # Data flows at least so long, and for some time even if that is nothing.
        self._shortest_s = acquisition_s + minimum_life_s if minimum_life_s > 0 else np.nextafter(acquisition_s, np.inf)
        self._made: list[tuple[int, tuple[int, ...], float]] = []  # opportunity, terminals, when they were taken

    def run(self, found: Opportunities) -> None:
        """Go through all openings and ends in order."""
        order = np.lexsort((-found.end_s, found.start_s))
        opening: list[int] = order.tolist()
        start_s: list[float] = found.start_s[order].tolist()
        first = 0
        while first < len(opening) or self._ending:
            ends_s = self._ending[0][0] if self._ending else np.inf
            if first < len(opening) and start_s[first] < ends_s:
                # Nobody who waits can be served: nothing has come free for them.
                self._link_or_wait(opening[first], start_s[first])
                first += 1
                continue
            last = first
            while last < len(opening) and start_s[last] == ends_s:
                last += 1
            new = [(-self._end_s[row], row) for row in opening[first:last]]
            self._serve(new, self._release(ends_s), ends_s)
            first = last

    def _release(self, now_s: float) -> list[int]:
        """Free the terminals of links that have ended; the pools that have one more, in order."""
        freed: set[int] = set()
        while self._ending and self._ending[0][0] <= now_s:
            _, link = heapq.heappop(self._ending)
            row, taken, _ = self._made[link]
            for pool, terminal in zip(self._needs[row], taken, strict=True):
                heapq.heappush(self._free[pool], terminal)
                freed.add(pool)
        return sorted(freed)

    def _serve(self, new: list[tuple[float, int]], pools: list[int], now_s: float) -> None:
        """Make links of what has opened, and of what waits for these pools, as far as there are terminals."""
        queues = [*(self._queues[pool] for pool in pools), new]
        fronts = [(queue[0], k) for k, queue in enumerate(queues) if queue]
        heapq.heapify(fronts)
        while fronts:
            (minus_end_s, row), k = heapq.heappop(fronts)
            if k < len(pools) and not self._free[pools[k]]:
                continue  # given away; the others in this queue wait on
            if -minus_end_s - now_s < self._shortest_s:
                queues[k].clear()  # the others in it end no later
                continue
            heapq.heappop(queues[k])
            if queues[k]:
                heapq.heappush(fronts, (queues[k][0], k))
            self._link_or_wait(row, now_s)

    def _link_or_wait(self, row: int, now_s: float) -> None:
        end_s = self._end_s[row]
        if end_s - now_s < self._shortest_s:
            return
        for pool in self._needs[row]:
            if not self._free[pool]:
                heapq.heappush(self._queues[pool], (-end_s, row))
                return
        taken = tuple(heapq.heappop(self._free[pool]) for pool in self._needs[row])
        heapq.heappush(self._ending, (end_s, len(self._made)))
        self._made.append((row, taken, now_s))

    def links(self) -> Links:
        """All links that were made."""
        row = np.array([row for row, _, _ in self._made], dtype=np.int64)
        taken = np.array([taken[:2] for _, taken, _ in self._made], dtype=np.int64).reshape(-1, 2)
        now_s = np.array([now_s for _, _, now_s in self._made], dtype=np.float64)
        return Links(
            opportunity=row,
            terminal_a=taken[:, 0],
            terminal_b=taken[:, 1],
            acquire_start_s=now_s,
            start_s=now_s + self._acquisition_s,
            end_s=np.array(self._end_s, dtype=np.float64)[row],
        )
