from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from orbital_train.orbit.plane_pairs import pairs_between, pairs_within, plane_runs
from orbital_train.orbit.shells import LayeredSpec, Planes, ShellSpec, planes_of_spec

START = datetime(2026, 3, 20, tzinfo=UTC)


def planes(*shells: dict[str, float]) -> Planes:
    usual = {"satellites_per_plane": 3, "altitude_m": 600e3, "inclination_deg": 53.0}
    return planes_of_spec(LayeredSpec(shells=tuple(ShellSpec(**{**usual, **s}) for s in shells)), START)  # type: ignore[arg-type]


def test_evenly_spaced_planes_are_a_run_and_planes_in_layers_are_none() -> None:
    runs = plane_runs(planes({"planes": 4}, {"planes": 3, "altitude_step_m": 100.0}, {"planes": 5, "phasing": 0.4}))
    assert runs.first.tolist() == [0, 4, 5, 6, 7]
    assert runs.length.tolist() == [4, 1, 1, 1, 5]


def test_a_shell_beside_its_like_is_not_the_same_run() -> None:
    runs = plane_runs(planes({"planes": 4}, {"planes": 4, "raan_deg": 5.0}))
    assert runs.first[0] == 0
    assert runs.length[0] == 4
    assert runs.length.sum() == 8


def test_inside_a_run_every_gap_comes_once() -> None:
    p, q = pairs_within(plane_runs(planes({"planes": 4}, {"planes": 2, "altitude_m": 700e3})))
    assert list(zip(p.tolist(), q.tolist(), strict=True)) == [(0, 1), (0, 2), (0, 3), (4, 5)]


def test_between_runs_of_the_same_steps_every_gap_comes() -> None:
    runs = plane_runs(planes({"planes": 3}, {"planes": 3, "altitude_m": 700e3}))
    p, q = pairs_between(runs, np.array([0]), np.array([1]))
    assert set((q - p).tolist()) == {1, 2, 3, 4, 5}
    assert p.size == 6


def test_between_runs_of_other_steps_all_pairs_come() -> None:
    runs = plane_runs(planes({"planes": 3}, {"planes": 2, "altitude_m": 700e3}, {"planes": 1, "altitude_m": 800e3}))
    p, q = pairs_between(runs, np.array([0, 2]), np.array([1, 1]))
    assert sorted(zip(p.tolist(), q.tolist(), strict=True)) == [
        (0, 3),
        (0, 4),
        (1, 3),
        (1, 4),
        (2, 3),
        (2, 4),
        (3, 5),
        (4, 5),
    ]
