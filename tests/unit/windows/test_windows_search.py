from __future__ import annotations

import numpy as np
import pytest

from orbital_train.windows.search import Windows, intersect, maximum_between, positive_windows

T_S = np.linspace(0.0, 600.0, 11)  # steps of 60 s


def search(*functions: object) -> Windows:
    def value(track: np.ndarray, t_s: np.ndarray) -> np.ndarray:
        return np.array([functions[k](t) for k, t in zip(track, t_s, strict=True)])  # type: ignore[operator]

    samples = np.array([[f(t) for t in T_S] for f in functions])  # type: ignore[operator]
    return positive_windows(value, samples, T_S)


def rows(windows: Windows) -> list[tuple[int, float, float]]:
    columns = (windows.track.tolist(), windows.start_s.tolist(), windows.end_s.tolist())
    return [(k, round(a, 5), round(b, 5)) for k, a, b in zip(*columns, strict=True)]


def test_edges_do_not_stay_on_the_grid() -> None:
    found = search(lambda t: (t - 95.5) * (401.25 - t), lambda t: 1.0, lambda t: -1.0, lambda t: 100.0 - t)
    assert rows(found) == [(0, 95.5, 401.25), (1, 0.0, 600.0), (3, 0.0, 100.0)]
    assert found.start_s[0] == pytest.approx(95.5, abs=1e-6)


def test_a_window_and_a_gap_shorter_than_the_step_are_found() -> None:
    """Seven seconds inside a step of 60, near the middle of the step, near its end and in the first and last step."""
    for middle in (150.0, 177.0, 5.0, 28.0, 595.0):
        bump = search(lambda t, m=middle: 3.5**2 - (t - m) ** 2, lambda t, m=middle: (t - m) ** 2 - 3.5**2)
        a, b = max(0.0, middle - 3.5), min(600.0, middle + 3.5)
        assert rows(bump) == [(0, a, b), (1, 0.0, a), (1, b, 600.0)], middle


def test_a_peak_between_two_equal_samples_is_found_once() -> None:
    assert rows(search(lambda t: 1.0 - (t - 90.0) ** 2)) == [(0, 89.0, 91.0)]


def test_two_short_windows_of_one_track() -> None:
    found = search(lambda t: np.cos(2 * np.pi * t / 200.0) - 0.999)
    half = np.arccos(0.999) / (2 * np.pi) * 200.0
    assert rows(found) == [
        (0, 0.0, round(half, 5)),
        *((0, round(c - half, 5), round(c + half, 5)) for c in (200.0, 400.0)),
        (0, round(600 - half, 5), 600.0),
    ]


def test_a_touch_is_no_window() -> None:
    assert rows(search(lambda t: -((t - 90.0) ** 2), lambda t: 0.0)) == []


def test_zero_is_not_above_zero_at_either_end_of_the_times() -> None:
    found = search(lambda t: t, lambda t: -t, lambda t: 600.0 - t, lambda t: t - 600.0)
    assert rows(found) == [(0, 0.0, 600.0), (2, 0.0, 600.0)]


def test_the_last_sample_is_no_neighbour_of_the_first() -> None:
    """Seven seconds near the start of a function that ends closer to zero than it starts, and the same backwards."""

    def bump(t: float) -> float:
        return (3.5**2 - (t - 5.0) ** 2) * ((t - 600.0) ** 2 + 1.0)

    assert bump(0.0) < bump(600.0) < 0.0
    assert rows(search(bump, lambda t: bump(600.0 - t))) == [(0, 1.5, 8.5), (1, 591.5, 598.5)]


def test_no_tracks() -> None:
    empty = positive_windows(lambda track, t_s: t_s, np.empty((0, T_S.size)), T_S)
    assert len(empty) == 0
    assert len(intersect(empty, empty)) == 0


def test_steep_and_flat_functions_converge() -> None:
    found = search(lambda t: np.tanh((t - 123.456) * 50.0), lambda t: (t - 222.0) ** 3, lambda t: np.exp(t / 20) - 1e6)
    assert found.start_s[0] == pytest.approx(123.456, abs=1e-5)
    assert found.start_s[1] == pytest.approx(222.0, abs=1e-4)
    assert found.start_s[2] == pytest.approx(20 * np.log(1e6), abs=1e-6)


def test_windows_of_a_track() -> None:
    found = search(lambda t: -1.0, lambda t: np.cos(t / 40.0), lambda t: 1.0)
    starts, ends = found.of(1)
    assert starts.size == 3
    assert (ends > starts).all()
    assert found.of(0)[0].size == 0


def test_intersect_keeps_tracks_apart() -> None:
    def windows(*given: tuple[int, float, float]) -> Windows:
        track, start, end = zip(*given, strict=True)
        return Windows(np.array(track), np.array(start), np.array(end))

    a = windows((0, 0.0, 10.0), (0, 20.0, 30.0), (2, 0.0, 50.0), (3, 0.0, 5.0))
    b = windows((0, 5.0, 25.0), (1, 0.0, 50.0), (2, 10.0, 20.0), (2, 30.0, 60.0), (3, 5.0, 9.0))
    assert rows(intersect(a, b)) == [(0, 5.0, 10.0), (0, 20.0, 25.0), (2, 10.0, 20.0), (2, 30.0, 50.0)]
    assert rows(intersect(a, b, windows((2, 15.0, 35.0)))) == [(2, 15.0, 20.0), (2, 30.0, 35.0)]
    assert rows(intersect(a)) == rows(a)


def test_maximum_between() -> None:
    when, top = maximum_between(
        lambda track, t: np.array([5.0, 7.0])[track] - (t - np.array([3.0, 100.0])[track]) ** 2,
        np.array([0, 1]),
        np.array([0.0, 90.0]),
        np.array([10.0, 95.0]),
    )
    assert when == pytest.approx([3.0, 95.0], abs=1e-2)
    assert top == pytest.approx([5.0, 7.0 - 25.0], abs=0.05)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_sample_whose_sign_is_lost_in_rounding_puts_no_edge_at_the_other_end_of_the_step(sign: float) -> None:
    """Zero at 120 s: the samples say one sign there and the function, a rounding error on, the other."""

    def value(track: np.ndarray, t_s: np.ndarray) -> np.ndarray:
        return sign * (t_s - 120.0) * (400.0 - t_s) + np.where(t_s == 120.0, 1e-12, 0.0)

    samples = np.array([[-1e-12 if t == 120.0 else value(np.zeros(1), t) for t in T_S]])
    found = positive_windows(value, samples, T_S)
    edges_s = np.concatenate([found.start_s, found.end_s])
    assert np.abs(edges_s - 120.0).min() < 1e-5
    assert set(np.round(edges_s, 4)) <= {0.0, 120.0, 400.0, 600.0}


def test_rounding_at_the_foot_of_a_hidden_window_leaves_its_edges() -> None:
    """From 120 s to 170 s: the sample at 120 s is not above zero, but the function, a rounding error on, is."""

    def value(track: np.ndarray, t_s: np.ndarray) -> np.ndarray:
        return (t_s - 120.0) * (170.0 - t_s) + np.where(t_s == 120.0, 1e-12, 0.0)

    samples = np.array([[-1e-12 if t == 120.0 else value(np.zeros(1), t) for t in T_S]])
    assert rows(positive_windows(value, samples, T_S)) == [(0, 120.0, 170.0)]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("upside_down", [False, True])
@pytest.mark.parametrize("level", [-17.0, -9.0, 0.0, 9.0, 17.0])
def test_a_peak_and_a_trough_inside_one_step_are_found(level: float, backwards: bool, upside_down: bool) -> None:
    """The samples only rise. The limit is near the peak, near the trough, or between them, where it is met three times.

    A cubic with a peak of 18.1 m at 253 s and a trough of -18.1 m at 287 s; its samples at 240 and 300 s are -1.8 and
    1.8 m, those around them at -1,199 and 1,199 m.
    """

    def wave(t: float) -> float:
        x = (600.0 - t if backwards else t) - 270.0
        return (-1.0 if upside_down else 1.0) * ((x**3 - 3.0 * 17.0**2 * x) / 543.0 - level)

    exact = np.roots([1.0, 0.0, -3.0 * 17.0**2, -543.0 * level])
    edges_s = np.sort(exact[np.abs(exact.imag) < 1e-9].real) + 270.0
    edges_s = np.sort(600.0 - edges_s) if backwards else edges_s
    found = search(wave)
    inner_s = np.sort(np.concatenate([found.start_s, found.end_s]))
    assert inner_s[(inner_s > 0.0) & (inner_s < 600.0)] == pytest.approx(edges_s, abs=1e-5)
