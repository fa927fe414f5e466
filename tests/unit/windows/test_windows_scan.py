from __future__ import annotations

import numpy as np
import pytest

from orbital_train.windows.scan import joined_scans, scan_grid, scan_rows, scan_runs
from orbital_train.windows.search import positive_windows, refined_windows

T_S = np.linspace(0.0, 100.0, 26)


def waves(track: np.ndarray, t_s: np.ndarray) -> np.ndarray:
    return np.cos(t_s / 4.0 + track) - 0.2 - 0.1 * track


def samples(tracks: int) -> np.ndarray:
    return waves(np.repeat(np.arange(tracks), T_S.size), np.tile(T_S, tracks)).reshape(tracks, -1)


def columns(windows: object) -> list[list[float]]:
    return [getattr(windows, name).tolist() for name in ("track", "start_s", "end_s")]


def test_blocks_of_rows_find_what_one_block_finds() -> None:
    whole = scan_rows(samples(7), 0)
    parts = joined_scans([scan_rows(samples(7)[:3], 0), scan_rows(samples(7)[3:], 3)])
    for name in ("begin_track", "end_k", "change_track", "change_k", "change_rises", "change_part", "turn_k"):
        assert getattr(parts, name).tolist() == getattr(whole, name).tolist()
    assert columns(refined_windows(waves, parts, T_S)) == columns(positive_windows(waves, samples(7), T_S))


def test_runs_around_the_windows_are_enough() -> None:
    """Samples above zero, and the ones on either side, find the windows of all samples."""
    values = samples(5)
    above = values > 0
    around = above.copy()
    around[:, 1:] |= above[:, :-1]
    around[:, :-1] |= above[:, 1:]
    track, k = np.nonzero(around)
    found = refined_windows(waves, scan_runs(values[around], track, k, T_S.size - 1), T_S)
    every = positive_windows(waves, values, T_S)
    assert len(found) == len(every) > 10
    assert found.start_s == pytest.approx(every.start_s, abs=1e-4)
    assert found.end_s == pytest.approx(every.end_s, abs=1e-4)


def test_windows_are_cut_at_the_ends_of_runs() -> None:
    k = np.array([3, 4, 5, 9, 10, 3, 4])
    scan = scan_runs(np.ones(7), np.array([0, 0, 0, 0, 0, 1, 1]), k, T_S.size - 1)
    found = refined_windows(lambda track, t_s: np.ones(t_s.size), scan, T_S)
    assert columns(found) == [[0, 0, 1], [12.0, 36.0, 12.0], [20.0, 40.0, 16.0]]


def test_the_cubic_finds_the_edges_of_smooth_functions() -> None:
    """Within a millionth of a step for a wave of 40 steps, so that one step of Newton's method ends the search."""
    t = np.arange(200.0)
    scan = scan_grid(np.sin(2 * np.pi * (t / 40.0 + 0.1))[None])
    edges = scan.change_k + scan.change_part
    phase = edges / 40.0 + 0.1
    assert np.abs(phase * 2 - np.round(phase * 2)).max() * 20 < 3e-5
    slopes = 2 * np.pi / 40.0 * np.cos(2 * np.pi * phase)
    assert scan.change_slope == pytest.approx(slopes, rel=1e-3)
    assert edges.size == 10


def test_nothing_to_scan() -> None:
    empty = np.empty(0, dtype=np.int64)
    assert columns(refined_windows(waves, scan_runs(np.empty(0), empty, empty, 25), T_S)) == [[], [], []]


def test_a_run_of_two_samples_at_an_end_of_the_grid_may_hide_a_window() -> None:
    """A bump of seven tenths of the first step and one of the last, in runs that nothing else is near."""

    def bumps(_: np.ndarray, t_s: np.ndarray) -> np.ndarray:
        return 1.4**2 - (np.where(t_s < 50.0, t_s, 100.0 - t_s) - 2.0) ** 2

    k = np.array([0, 1, T_S.size - 2, T_S.size - 1])
    track = np.zeros(4, dtype=np.int64)
    values = bumps(track, T_S[k])
    assert (values < 0).all()
    found = refined_windows(bumps, scan_runs(values, track, k, T_S.size - 1), T_S)
    assert found.start_s == pytest.approx([0.6, 96.6], abs=1e-5)
    assert found.end_s == pytest.approx([3.4, 99.4], abs=1e-5)
