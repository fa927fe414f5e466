from __future__ import annotations

import warnings
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import pytest

from orbital_train.errors import InputError, InputWarning
from orbital_train.orbit.ephemeris import GroundSite, Sgp4Ephemeris, SiteEphemeris, joined
from orbital_train.orbit.fleet import Fleet, WalkerSpec, build_fleet
from orbital_train.orbit.grid import sample
from orbital_train.windows.field_of_regard import FieldOfRegard, boresight, field_function, windows_by_terminal
from orbital_train.windows.links import LinkSpec
from orbital_train.windows.plan import ContactPlan
from orbital_train.windows.search import Windows
from tests.sampled import contact_plan

START = datetime(2026, 3, 20, tzinfo=UTC)
# Over the equator at the vernal point, flying east: up is x, fore is y, port is z (north).
R_M, V_MPS = np.array([7e6, 0.0, 0.0]), np.array([0.0, 7.5e3, 0.0])
FORE, STARBOARD, AFT, PORT = (
    FieldOfRegard(azimuth_deg=azimuth, elevation_deg=0.0, half_angle_deg=60.0) for azimuth in (0.0, 90.0, 180.0, 270.0)
)


@pytest.mark.parametrize(
    ("azimuth_deg", "elevation_deg", "expected"),
    [
        (0.0, 0.0, [0, 1, 0]),
        (90.0, 0.0, [0, 0, -1]),
        (180.0, 0.0, [0, -1, 0]),
        (270.0, 0.0, [0, 0, 1]),
        (33.0, -90.0, [-1, 0, 0]),
        (0.0, 30.0, [0.5, np.sqrt(0.75), 0]),
    ],
)
def test_boresights_in_the_body(azimuth_deg: float, elevation_deg: float, expected: list[float]) -> None:
    field = FieldOfRegard(azimuth_deg=azimuth_deg, elevation_deg=elevation_deg, half_angle_deg=10.0)
    assert boresight(field, R_M, V_MPS) == pytest.approx(np.array(expected), abs=1e-12)


def test_a_field_is_a_cone_about_its_boresight() -> None:
    field = FieldOfRegard(azimuth_deg=90.0, elevation_deg=0.0, half_angle_deg=30.0)
    off_rad = np.radians([29.0, 31.0])
    target_m = R_M + 1e6 * np.stack([np.sin(off_rad), np.zeros(2), -np.cos(off_rad)], axis=-1)
    inside = field_function(field)(np.zeros(2), R_M, V_MPS, target_m, V_MPS)
    assert inside[0] > 0 > inside[1]


def test_both_ends_look_at_each_other() -> None:
    """Neighbours in a plane: the one in front is seen fore, the one behind aft; up is wrong for either."""
    ahead_m, ahead_mps = np.array([0.0, 7e6, 0.0]), np.array([-7.5e3, 0.0, 0.0])
    level = FieldOfRegard(azimuth_deg=0.0, elevation_deg=-90.0, half_angle_deg=50.0)
    up = replace(level, elevation_deg=90.0)
    now = np.zeros(1)
    assert field_function(level, both=True)(now, R_M, V_MPS, ahead_m, ahead_mps) > 0
    assert field_function(up, both=True)(now, R_M, V_MPS, ahead_m, ahead_mps) < 0
    assert (
        field_function(FORE)(now, R_M, V_MPS, ahead_m, ahead_mps)
        > 0
        > field_function(FORE, both=True)(now, R_M, V_MPS, ahead_m, ahead_mps)
    )


def grid_fleet() -> Fleet:
    spec = WalkerSpec(pattern="star", satellites=48, planes=4, phasing=1, altitude_m=1200e3, inclination_deg=87.0)
    return build_fleet(spec, START)


def plan(*fields: FieldOfRegard) -> ContactPlan:
    fleet = grid_fleet()
    spec = LinkSpec(
        topology="grid",
        max_range_m=9e6,
        rate_bps=1e11,
        ground_rate_bps=1e9,
        terminals=max(4, len(fields)),
        fields_of_regard=fields,
        max_rate_deg_s=0.3,
    )
    return contact_plan(fleet, Sgp4Ephemeris(fleet.names, fleet.satrecs, START), (), spec, 8000.0)


def test_links_use_the_terminal_that_points_at_the_other() -> None:
    """Fore, starboard, aft, port: in the plane 0 or 2, across planes 1 or 3, and checked at a hundred moments each."""
    found, fields = plan(FORE, STARBOARD, AFT, PORT), (FORE, STARBOARD, AFT, PORT)
    fleet = grid_fleet()
    states = Sgp4Ephemeris(fleet.names, fleet.satrecs, START)
    assert set(found.source_terminal.tolist()) == {0, 1, 2, 3}
    in_plane = fleet.plane[found.source] == fleet.plane[found.dest]
    assert set(found.source_terminal[in_plane].tolist()) == {0, 2}
    for row in range(0, len(found), 5):
        t_s = np.linspace(found.acquire_start_s[row] + 0.01, found.end_s[row] - 0.01, 100)
        r_m, v_mps = states.states(t_s)
        here, there = found.source[row], found.dest[row]
        field = fields[found.source_terminal[row]]
        assert (field_function(field)(t_s, r_m[here], v_mps[here], r_m[there], v_mps[there]) > -1e-6).all()


def test_a_pair_has_one_link_at_a_time_though_several_terminals_see_it() -> None:
    wide = tuple(replace(field, half_angle_deg=100.0) for field in (FORE, STARBOARD, AFT, PORT))
    found = plan(*wide)
    last: dict[tuple[int, int], float] = {}
    for row in range(0, len(found), 2):
        pair = (int(found.source[row]), int(found.dest[row]))
        assert found.acquire_start_s[row] >= last.get(pair, 0.0)
        last[pair] = float(found.end_s[row])


def test_narrow_fields_cost_contact_time_and_wide_ones_none() -> None:
    def seconds(of: ContactPlan) -> float:
        return float((of.end_s - of.start_s).sum())

    free = plan()
    everywhere = FieldOfRegard(azimuth_deg=0.0, elevation_deg=0.0, half_angle_deg=180.0)
    same, narrow = (
        plan(*[everywhere] * 4),
        plan(*(replace(f, half_angle_deg=25.0) for f in (FORE, STARBOARD, AFT, PORT))),
    )
    assert seconds(same) == pytest.approx(seconds(free))
    assert 0 < seconds(narrow) < 0.8 * seconds(free)


def test_windows_by_terminal_are_parts_of_the_windows() -> None:
    fleet = grid_fleet()
    grid = sample(Sgp4Ephemeris(fleet.names, fleet.satrecs, START), 8000.0, 60.0)
    pairs = np.array([[0, 1], [0, 12]])
    windows = Windows(np.array([0, 1]), np.array([100.0, 500.0]), np.array([7000.0, 6000.0]))
    found, terminal_a, terminal_b = windows_by_terminal(grid, pairs, windows, (FORE, STARBOARD, AFT, PORT))
    assert ((found.start_s >= windows.start_s[found.track]) & (found.end_s <= windows.end_s[found.track])).all()
    own = found.track == 0
    assert (terminal_a[own].tolist(), terminal_b[own].tolist()) == ([0], [2])
    assert (found.start_s[own].tolist(), found.end_s[own].tolist()) == ([100.0], [7000.0])


UP = FieldOfRegard(azimuth_deg=0.0, elevation_deg=90.0, half_angle_deg=60.0)
USELESS = (
    "links.fields_of_regard = '2 fields': hold no link between satellites; without them the first is at 30 s, when "
    "p0s0 sees p0s1 at azimuth 0 and elevation -15 deg, and p0s1 sees p0s0 at azimuth 180 and elevation -15 deg: some "
    "terminal of each must point there"
)


def useless(topology: Literal["ring", "grid", "ground_relay"], *sites: GroundSite) -> ContactPlan:
    """Contacts of satellites whose two terminals look up."""
    fleet = grid_fleet()
    satellites = Sgp4Ephemeris(fleet.names, fleet.satrecs, START)
    spec = LinkSpec(
        topology=topology, max_range_m=9e6, rate_bps=1e11, ground_rate_bps=1e9, terminals=2, fields_of_regard=(UP, UP)
    )
    return contact_plan(fleet, joined(satellites, SiteEphemeris(sites, START)), sites, spec, 8000.0)


def test_a_ring_whose_terminals_all_look_up_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        useless("ring")
    assert str(caught.value) == USELESS


def test_terminals_that_all_look_up_are_no_matter_where_sites_link_the_satellites() -> None:
    """Links to the ground have a terminal of their own."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        relayed = useless("ground_relay", GroundSite("g", 50.0, 10.0))
    with pytest.warns(InputWarning) as told:
        ringed = useless("ring", GroundSite("g", 50.0, 10.0))
    assert [str(w.message) for w in told] == [f"{USELESS}. Ground sites are all that links them"]
    assert len(ringed) == len(relayed) > 0
    assert (ringed.start_s == relayed.start_s).all()


def test_a_grid_whose_terminals_look_across_alone_has_links_across_alone() -> None:
    """Neighbours in a plane are 15 degrees below the horizontal, and those across up to 90 degrees off to a side."""
    fleet = grid_fleet()
    down = FieldOfRegard(azimuth_deg=90.0, elevation_deg=-90.0, half_angle_deg=74.0)
    found = plan(*[down] * 4)
    assert len(found) > 0
    assert (fleet.plane[found.source] != fleet.plane[found.dest]).all()
