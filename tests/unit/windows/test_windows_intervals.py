from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from orbital_train.windows.intervals import merged, of_tracks, renamed, spans, subtract
from orbital_train.windows.search import Windows


def windows(*rows: tuple[int, float, float]) -> Windows:
    track, start_s, end_s = np.array(rows, dtype=float).reshape(-1, 3).T
    return Windows(track.astype(np.int64), start_s, end_s)


def rows(of: Windows) -> list[tuple[int, float, float]]:
    return list(zip(of.track.tolist(), of.start_s.tolist(), of.end_s.tolist(), strict=True))


def test_gaps_are_cut_out_of_their_own_track() -> None:
    whole = windows((0, 0, 100), (1, 0, 100), (1, 150, 200))
    gaps = windows((1, 20, 30), (1, 90, 160), (2, 0, 50))
    assert rows(subtract(whole, gaps)) == [(0, 0, 100), (1, 0, 20), (1, 30, 90), (1, 160, 200)]


def test_gaps_that_touch_leave_no_sliver() -> None:
    touching = windows((0, 20, 30), (0, 30, 40), (0, 40 + 1e-9, 50))
    assert rows(subtract(windows((0, 0, 100)), touching)) == [(0, 0, 20), (0, 50, 100)]


def test_gaps_that_share_an_edge_with_their_window() -> None:
    assert rows(subtract(windows((0, 10, 50)), windows((0, 0, 10), (0, 50, 60)))) == [(0, 10, 50)]
    assert rows(subtract(windows((0, 10, 50)), windows((0, 10, 50)))) == []
    assert rows(subtract(windows((0, 10, 50)), windows())) == [(0, 10, 50)]
    assert rows(subtract(windows(), windows((0, 10, 50)))) == []


intervals = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 30), st.integers(1, 8)), max_size=8)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(intervals, intervals)
def test_subtraction_is_that_of_sets(whole: list[tuple[int, int, int]], gaps: list[tuple[int, int, int]]) -> None:
    def disjoint(raw: list[tuple[int, int, int]]) -> tuple[Windows, set[tuple[int, int]]]:
        cells = {(track, k) for track, start, length in raw for k in range(start, start + length)}
        edges = sorted((t, k) for t, k in cells if (t, k - 1) not in cells)
        ends = sorted((t, k + 1) for t, k in cells if (t, k + 1) not in cells)
        return windows(*((t, a, b) for (t, a), (_, b) in zip(edges, ends, strict=True))), cells

    (have, have_cells), (less, less_cells) = disjoint(whole), disjoint(gaps)
    found = subtract(have, less)
    cells = {(t, k) for t, a, b in rows(found) for k in range(int(a), int(b))}
    assert cells == have_cells - less_cells


def test_spans_are_ragged_ranges() -> None:
    row, k = spans(np.array([3, 5, 7]), np.array([5, 5, 10]))
    assert (row.tolist(), k.tolist()) == ([0, 0, 2, 2, 2], [3, 4, 7, 8, 9])


def test_tracks_are_picked_renamed_and_merged() -> None:
    of = windows((0, 0, 1), (2, 5, 6), (2, 8, 9))
    assert rows(of_tracks(of, np.array([2, 1, 2]))) == [(0, 5, 6), (0, 8, 9), (2, 5, 6), (2, 8, 9)]
    assert rows(renamed(of, np.array([7, 0, 3]))) == [(3, 5, 6), (3, 8, 9), (7, 0, 1)]
    assert rows(merged([windows((3, 0, 1)), of])) == [(0, 0, 1), (2, 5, 6), (2, 8, 9), (3, 0, 1)]
    assert len(merged([])) == 0
