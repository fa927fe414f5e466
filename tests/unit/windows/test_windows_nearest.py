from __future__ import annotations

import itertools
from dataclasses import fields
from datetime import UTC, datetime
from functools import cache

import numpy as np
import pytest

from orbital_train.orbit.ephemeris import Ephemeris, KeplerEphemeris, Sgp4Ephemeris
from orbital_train.orbit.fleet import WalkerSpec, build_fleet
from orbital_train.orbit.grid import sample
from orbital_train.windows.blocks import even_grid_s, state_blocks
from orbital_train.windows.candidates import close_pairs
from orbital_train.windows.geometry import PairFunction, range_function, rate_function, sight_function
from orbital_train.windows.greedy import count_within, shortest_first
from orbital_train.windows.nearest import NearestLinks, NearestSpec, joined_links, nearest_links, nearest_on_grid
from orbital_train.windows.pairs import pair_windows
from orbital_train.windows.search import intersect

START = datetime(2026, 3, 20, tzinfo=UTC)
HORIZON_S = 12_000.0
SPEC = NearestSpec(neighbours=3, terminals=3, max_rate_rad_s=float(np.radians(0.15)))


@cache
def walker() -> Ephemeris:
    spec = WalkerSpec(pattern="delta", satellites=60, planes=6, phasing=1, altitude_m=900e3, inclination_deg=80.0)
    fleet = build_fleet(spec, START)
    return Sgp4Ephemeris(fleet.names, fleet.satrecs, START)


def conditions(spec: NearestSpec = SPEC) -> list[PairFunction]:
    return [range_function(5_400e3), sight_function(80e3), rate_function(spec.max_rate_rad_s)]


@cache
def links_of(ephemeris: Ephemeris, block_steps: int | None = None) -> NearestLinks:
    links = joined_links(list(nearest_links(ephemeris, conditions(), SPEC, HORIZON_S, block_steps)))
    return links.only(np.argsort(links.link_id))


def columns(links: NearestLinks) -> dict[str, list[float]]:
    return {f.name: getattr(links, f.name).tolist() for f in fields(NearestLinks)}


def test_a_link_lasts_as_long_as_its_conditions_hold() -> None:
    """Against the windows of every linked pair, found another way."""
    ephemeris, links = walker(), links_of(walker())
    grid = sample(ephemeris, HORIZON_S, 60.0)
    pairs, row = np.unique(np.stack([links.a, links.b], axis=-1), axis=0, return_inverse=True)
    windows = intersect(*(pair_windows(grid, pairs, condition) for condition in conditions()))
    assert len(links) > 100
    for link in range(len(links)):
        start_s, end_s = windows.of(int(row[link]))
        w = int(np.searchsorted(start_s, links.acquire_start_s[link], side="right")) - 1
        assert start_s[w] - 1e-3 <= links.acquire_start_s[link]
        assert links.end_s[link] == pytest.approx(end_s[w], abs=2e-3)


def test_links_cost_acquisition_and_live_long_enough() -> None:
    links = links_of(walker())
    assert links.start_s - links.acquire_start_s == pytest.approx(SPEC.acquisition_s)
    assert (links.end_s - links.start_s).min() >= SPEC.minimum_life_s - 1e-6
    assert np.abs(links.acquire_start_s / 60.0 - np.round(links.acquire_start_s / 60.0)).max() < 1e-9  # decisions


def test_a_terminal_serves_one_link_at_a_time() -> None:
    links = links_of(walker())
    taken: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for node, terminal in ((links.a, links.terminal_a), (links.b, links.terminal_b)):
        for n, t, begin_s, end_s in zip(node, terminal, links.acquire_start_s, links.end_s, strict=True):
            taken.setdefault((int(n), int(t)), []).append((float(begin_s), float(end_s)))
    assert {terminal for _, terminal in taken} == set(range(SPEC.terminals))
    for spans in taken.values():
        spans.sort()
        assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))


@pytest.mark.parametrize("block_steps", [2, 7, 50])
def test_blocks_of_time_change_nothing(block_steps: int) -> None:
    assert columns(links_of(walker(), block_steps=block_steps)) == columns(links_of(walker()))


def test_states_in_memory_give_the_same_links() -> None:
    ephemeris = walker()
    links = nearest_on_grid(sample(ephemeris, HORIZON_S, 60.0), 60, conditions(), SPEC)
    # But for the velocities: the grid's are the derivative of SGP4's positions, which SGP4's own are not quite.
    for name, values in columns(links).items():
        expected = columns(links_of(ephemeris))[name]
        assert values == pytest.approx(expected, abs={"end_s": 2e-3, "range_m": 5.0}.get(name, 0.0)), name


def test_the_range_is_the_largest_while_data_flows() -> None:
    ephemeris, links = walker(), links_of(walker())
    for link in range(0, len(links), 9):
        t_s = np.linspace(links.start_s[link], links.end_s[link], 400)
        r_m, _ = ephemeris.states(t_s)
        range_m = np.linalg.norm(r_m[links.a[link]] - r_m[links.b[link]], axis=-1)
        assert links.range_m[link] == pytest.approx(range_m.max(), abs=30.0)


def test_a_kept_link_outlives_a_closer_partner() -> None:
    """0 and 1 fly together; 2 passes closer to 0 later, and 0 has one terminal."""
    r_m = np.array(
        [[7e6, 0.0, 0.0], [7e6 * np.cos(0.1), 7e6 * np.sin(0.1), 0.0], [7e6 * np.cos(0.3), -7e6 * np.sin(0.3), 0.0]]
    )
    speed = np.sqrt(3.986004418e14 / 7e6)
    v_mps = speed * np.stack([-r_m[:, 1], r_m[:, 0], r_m[:, 2]], axis=-1) / 7e6
    r_m[2] *= 0.999
    v_mps[2] *= 1.0005
    spec = NearestSpec(neighbours=1, terminals=1, max_rate_rad_s=0.01)
    links = joined_links(
        list(
            nearest_links(
                KeplerEphemeris(("0", "1", "2"), r_m, v_mps, 3.986004418e14), conditions(spec), spec, HORIZON_S
            )
        )
    )
    assert [(int(a), int(b)) for a, b in zip(links.a, links.b, strict=True)] == [(0, 1)]
    assert links.end_s.tolist() == [HORIZON_S]


def test_shortest_first_is_the_greedy_order() -> None:
    rng = np.random.default_rng(5)
    for _ in range(30):
        pairs = np.array([(i, j) for i in range(12) for j in range(i + 1, 12) if rng.random() < 0.5])
        distance_m = np.rint(rng.uniform(0.0, 50.0, len(pairs)))  # with ties
        free = rng.integers(0, 4, 12)
        left, expected = free.copy(), []
        for row in np.lexsort((pairs[:, 1], pairs[:, 0], distance_m)):
            if (left[pairs[row]] > 0).all():
                left[pairs[row]] -= 1
                expected.append(int(row))
        assert shortest_first(pairs[:, 0], pairs[:, 1], distance_m, free).tolist() == expected


def test_count_within() -> None:
    assert count_within(np.array([4, 4, 4, 7, 2, 2])).tolist() == [0, 1, 2, 0, 0, 1]


def test_close_pairs_weigh_speed_as_distance() -> None:
    """The nearest by position rushes by; the one farther off flies along."""
    r_m = np.array([[0.0, 0, 0], [100e3, 0, 0], [0, 300e3, 0], [0, 0, 9e6]])
    v_mps = np.array([[7500.0, 0, 0], [-7500.0, 0, 0], [7500.0, 10.0, 0], [7500.0, 0, 0]])
    everybody = np.arange(4)
    found = close_pairs(r_m, v_mps, everybody, np.array([0]), 1, 300.0)
    assert (found.a.tolist(), found.b.tolist()) == ([0], [2])
    found = close_pairs(r_m, v_mps, everybody, np.array([0]), 1, 0.0)
    assert (found.a.tolist(), found.b.tolist()) == ([0], [1])
    found = close_pairs(r_m, v_mps, np.array([0, 1, 3]), np.array([0, 3]), 5, 300.0)
    assert list(zip(found.a.tolist(), found.b.tolist(), strict=True)) == [(0, 1), (0, 3), (1, 3)]


def test_blocks_hold_the_states_of_the_ephemeris() -> None:
    ephemeris = walker()
    grid_s = even_grid_s(3_000.0, 60.0)
    r_m, v_mps = ephemeris.states(grid_s)
    seen = []
    for block in state_blocks(ephemeris, grid_s, 7, 3):
        columns = slice(block.origin, block.end)
        assert block.r_m == pytest.approx(r_m[:, columns], abs=1e-6)
        assert block.v_mps == pytest.approx(v_mps[:, columns], abs=1e-9)
        assert block.origin <= max(0, block.first - 1)
        assert block.end >= min(grid_s.size, block.last + 4)
        seen += list(range(block.first, block.last))
    assert seen == list(range(grid_s.size - 1))
