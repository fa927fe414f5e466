"""Set operations on windows, beside :func:`~orbital_train.windows.search.intersect`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orbital_train.windows.plan import IntArray
from orbital_train.windows.search import Windows

_SLIVER_S = 1e-6  # edges are found to a microsecond: what is shorter is none


def subtract(windows: Windows, gaps: Windows) -> Windows:
    """When a track has a window and none of its gaps; gaps of one track may touch each other."""
    track = np.concatenate([np.tile(w.track, 2) for w in (windows, gaps)])
    t_s = np.concatenate([np.append(w.start_s, w.end_s) for w in (windows, gaps)])
    change = np.repeat([1, -1, -1, 1], np.repeat([len(windows), len(gaps)], 2))
    # What closes goes before what opens at the same moment.
    order = np.lexsort((change, t_s, track))
    opens = np.flatnonzero(np.cumsum(change[order]) == 1)
    start, end = order[opens], order[opens + 1]
    keep = t_s[end] - t_s[start] > _SLIVER_S
    return Windows(track[start][keep], t_s[start][keep], t_s[end][keep])


def spans(first: IntArray, last: IntArray) -> tuple[IntArray, IntArray]:
    """Every index of ragged ranges ``first <= k < last``, and the row of the range that it is from."""
    count = np.maximum(last - first, 0)
    row = np.repeat(np.arange(count.size), count)
    return row, np.arange(row.size) - np.repeat(np.cumsum(count) - count - first, count)


def of_tracks(windows: Windows, tracks: IntArray) -> Windows:
    """The windows of these tracks (K,), which may repeat; their new tracks are 0 to K - 1."""
    first, last = np.searchsorted(windows.track, [tracks, tracks + 1])
    row, k = spans(first, last)
    return Windows(row, windows.start_s[k], windows.end_s[k])


def renamed(windows: Windows, tracks: IntArray) -> Windows:
    """The same windows with track k called ``tracks[k]``, sorted again."""
    track = tracks[windows.track]
    order = np.lexsort((windows.start_s, track))
    return Windows(track[order], windows.start_s[order], windows.end_s[order])


def merged(parts: Sequence[Windows]) -> Windows:
    """Windows of different tracks as one, sorted."""
    if not parts:
        return Windows(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0))
    names = ("track", "start_s", "end_s")
    track, start_s, end_s = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
    order = np.lexsort((start_s, track))
    return Windows(track[order], start_s[order], end_s[order])
