from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from orbital_train.errors import InputError
from orbital_train.orbit.ephemeris import Sgp4Ephemeris
from orbital_train.orbit.fleet import Fleet, Pattern, SunSynchronousSpec, WalkerSpec, build_fleet
from orbital_train.windows.topology import ring_pairs, topology_pairs

START = datetime(2026, 3, 20, tzinfo=UTC)


def fleet(pattern: str, satellites: int, planes: int, phasing: int = 0, inclination_deg: float = 53.0) -> Fleet:
    spec = WalkerSpec(
        pattern=pattern,  # type: ignore[arg-type]
        satellites=satellites,
        planes=planes,
        phasing=phasing,
        altitude_m=1200e3,
        inclination_deg=inclination_deg,
    )
    return build_fleet(spec, START)


def pairs(of: Fleet, topology: str) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, b in topology_pairs(of, topology)]


def test_rings_are_closed_in_every_plane() -> None:
    assert pairs(fleet("delta", 8, 2), "ring") == [(0, 1), (0, 3), (1, 2), (2, 3), (4, 5), (4, 7), (5, 6), (6, 7)]


def test_small_rings() -> None:
    assert pairs(fleet("delta", 2, 1), "ring") == [(0, 1)]
    assert pairs(fleet("delta", 3, 3), "ring") == []
    assert pairs(fleet("delta", 1, 1), "grid") == []


def test_all_visible_is_every_pair() -> None:
    assert pairs(fleet("star", 4, 2), "all_visible") == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert pairs(fleet("star", 1, 1), "all_visible") == []


def test_grid_of_a_star_has_no_link_across_the_seam() -> None:
    cross = set(pairs(fleet("star", 9, 3, inclination_deg=87.0), "grid")) - set(pairs(fleet("star", 9, 3), "ring"))
    assert cross == {(0, 3), (1, 4), (2, 5), (3, 6), (4, 7), (5, 8)}


def test_grid_of_a_delta_closes_with_the_slots_shifted_by_the_phasing() -> None:
    of = fleet("delta", 12, 3, phasing=2)
    cross = set(pairs(of, "grid")) - set(pairs(of, "ring"))
    assert {p for p in cross if p[0] < 4 and p[1] >= 8} == {(2, 8), (3, 9), (0, 10), (1, 11)}
    assert len(cross) == 12


def test_grid_neighbours_are_equally_far_everywhere_also_across_the_last_gap() -> None:
    """Every plane has the same cross-plane distances over an orbit, the last one included, at 85 degrees as well."""
    for inclination_deg in (53.0, 85.0):
        of = fleet("delta", 40, 5, phasing=3, inclination_deg=inclination_deg)
        r_m, _ = Sgp4Ephemeris(of.names, of.satrecs, START).states(np.arange(0.0, 6600.0, 60.0))
        cross = set(pairs(of, "grid")) - set(pairs(of, "ring"))
        furthest_m = {(int(of.plane[a]), int(of.plane[b])): 0.0 for a, b in cross}
        for a, b in cross:
            gap = (int(of.plane[a]), int(of.plane[b]))
            furthest_m[gap] = max(furthest_m[gap], float(np.linalg.norm(r_m[a] - r_m[b], axis=-1).max()))
        assert len(furthest_m) == 5
        assert max(furthest_m.values()) == pytest.approx(min(furthest_m.values()), rel=5e-3)


def test_grid_of_two_planes_counts_each_pair_once() -> None:
    of = fleet("delta", 8, 2)
    assert len(set(pairs(of, "grid")) - set(pairs(of, "ring"))) == 4


def test_single_plane_grid_is_its_ring() -> None:
    of = build_fleet(SunSynchronousSpec(satellites=5, altitude_m=650e3, local_time_h=6.0), START)
    assert pairs(of, "grid") == pairs(of, "ring")


def test_ring_follows_slots_not_indices() -> None:
    of = fleet("delta", 4, 1)
    shuffled = replace(of, slot=np.array([0, 2, 1, 3]))
    assert ring_pairs(shuffled).tolist() == [[0, 2], [0, 3], [1, 2], [1, 3]]


@pytest.mark.parametrize(
    ("pattern", "who"),
    [
        ("file", "satellites from a file"),
        ("layered", "planes at different altitudes"),
        ("subset", "satellites selected from a constellation"),
    ],
)
def test_grid_without_slots_is_refused(pattern: Pattern, who: str) -> None:
    with pytest.raises(InputError) as caught:
        topology_pairs(replace(fleet("delta", 4, 1), pattern=pattern), "grid")
    assert str(caught.value) == (
        f"links.topology = 'grid': {who} have no common slots; accepted for them is 'ring', 'nearest', "
        "'all_visible', 'explicit' or 'ground_relay'"
    )


def test_ground_relay_links_no_satellites() -> None:
    assert pairs(fleet("delta", 8, 2), "ground_relay") == []


def test_explicit_pairs_by_name_in_any_order() -> None:
    of = fleet("delta", 8, 2)
    named = (("p1s0", "p0s1"), ("p0s0", "p0s3"))
    assert topology_pairs(of, "explicit", named).tolist() == [[0, 3], [1, 4]]


@pytest.mark.parametrize(
    ("topology", "named", "told"),
    [
        ("explicit", (), "links.pairs = []: topology 'explicit' needs at least one pair of satellite names"),
        (
            "explicit",
            (("p0s0", "p0s9"),),
            "links.pairs = ['p0s0', 'p0s9']: 'p0s9' is no satellite; did you mean 'p0s3'?",
        ),
        (
            "explicit",
            (("Madrid", "p0s0"),),
            "links.pairs = ['Madrid', 'p0s0']: 'Madrid' is no satellite; their names look like 'p0s0'",
        ),
        (
            "explicit",
            (("p0s1", "p0s1"),),
            "links.pairs = ['p0s1', 'p0s1']: a satellite does not link to itself; give two names",
        ),
        (
            "explicit",
            (("p0s0", "p0s1"), ("p0s1", "p0s0")),
            "links.pairs = ['p0s1', 'p0s0']: is given twice; a pair links in both directions",
        ),
        ("grid", (("p0s0", "p0s1"),), "links.pairs = '1 pairs': are for topology 'explicit', not 'grid'"),
    ],
)
def test_bad_pairs_are_refused(topology: str, named: tuple[tuple[str, str], ...], told: str) -> None:
    with pytest.raises(InputError) as caught:
        topology_pairs(fleet("delta", 8, 2), topology, named)
    assert str(caught.value) == told


def cluster() -> Fleet:
    """The 21 lattice points within two and a quarter of the middle, as a formation-flying cluster has them."""
    places = [(row, column) for row in range(5) for column in range(5) if (row - 2) ** 2 + (column - 2) ** 2 <= 5.1]
    base = fleet("delta", len(places), 1)
    row, column = np.array(places).T
    return replace(base, pattern="cluster", plane=row, slot=column)


def test_grid_of_a_cluster_is_its_lattice() -> None:
    of = cluster()
    found = pairs(of, "grid")
    assert len(of) == 21
    steps = {(abs(int(of.plane[a] - of.plane[b])), abs(int(of.slot[a] - of.slot[b]))) for a, b in found}
    assert steps == {(0, 1), (1, 0)}
    # Every point but one beside the last of its row has a neighbour in the row; the lattice is its own transpose.
    assert len(found) == 2 * (21 - 5)


def test_a_cluster_has_no_rings() -> None:
    with pytest.raises(InputError) as caught:
        topology_pairs(cluster(), "ring")
    assert str(caught.value) == (
        "links.topology = 'ring': a cluster has no closed rings; accepted for it is 'grid', 'nearest', 'all_visible' "
        "or 'explicit'"
    )
