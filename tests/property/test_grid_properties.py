"""Windows do not depend on the grid they are searched on, whatever the orbit: e up to 0.7, and up to a day.

Orbits fly as two-body motion or by SGP4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from sgp4.api import WGS72, Satrec

from orbital_train.orbit.constants import EARTH_RADIUS_M
from orbital_train.orbit.ephemeris import Ephemeris, GroundSite, KeplerEphemeris, Sgp4Ephemeris, SiteEphemeris, joined
from orbital_train.orbit.grid import StateGrid, sample
from orbital_train.orbit.sun import sun_positions_almanac_m
from orbital_train.windows.field_of_regard import FieldOfRegard, field_function
from orbital_train.windows.geometry import range_function, rate_function, sight_function
from orbital_train.windows.ground import ground_windows
from orbital_train.windows.pairs import pair_windows
from orbital_train.windows.search import Windows
from orbital_train.windows.shadow import Occulter, find_shadows
from orbital_train.windows.sun_exclusion import glare_windows

MU = 3.986004418e14
START = datetime(2026, 1, 1, tzinfo=UTC)
HORIZON_S = 20_000.0
GRIDS_S = (30.0, 60.0, 120.0)
PAIR = np.array([[0, 1]])
few = settings(max_examples=25, deadline=None, derandomize=True)
fewer = settings(few, max_examples=12)  # of what is searched for twice on every grid


@dataclass(frozen=True)
class Elements:
    """Of one orbit; angles in radians."""

    perigee_m: float
    e: float
    inclination: float
    raan: float
    argument: float
    anomaly: float  # mean

    @property
    def mean_motion_rad_s(self) -> float:
        return float(np.sqrt(MU / (self.perigee_m / (1 - self.e)) ** 3))

    def satrec(self) -> Satrec:
        satrec = Satrec()
        angles = (self.argument, self.inclination, self.anomaly, self.mean_motion_rad_s * 60.0, self.raan)
        satrec.sgp4init(WGS72, "i", 1, 27759.0, 0.0, 0.0, 0.0, max(self.e, 1e-6), *angles)  # days from 1950 to START
        return satrec

    def state(self) -> tuple[np.ndarray, np.ndarray]:
        """Position and velocity: SGP4's at the start."""
        _, r_km, v_kmps = self.satrec().sgp4_tsince(0.0)
        return np.array(r_km) * 1e3, np.array(v_kmps) * 1e3


angle = st.floats(0.0, 6.28)
SHAPES = {
    "low": (st.floats(6_750e3, 8_400e3), st.floats(0.0, 0.02)),
    "eccentric": (st.floats(6_750e3, 8_400e3), st.floats(0.1, 0.7)),
    "transfer": (st.floats(6_750e3, 6_900e3), st.floats(0.68, 0.7)),
    "half a day": (st.floats(7_900e3, 8_100e3), st.just(0.69)),
    "a day": (st.floats(42_100e3, 42_150e3), st.floats(0.0, 0.001)),
}


@st.composite
def elements(draw: st.DrawFn) -> Elements:
    perigee_m, e = SHAPES[draw(st.sampled_from(sorted(SHAPES)))]
    return Elements(draw(perigee_m), draw(e), draw(st.floats(0.02, 3.1)), draw(angle), draw(angle), draw(angle))


@st.composite
def pairs(draw: st.DrawFn) -> list[Elements]:
    """Two satellites that never come within 2 km: links to oneself are no links."""
    two = [draw(elements()), draw(elements())]
    r_m, _ = flown(two, by_sgp4=False).states(np.arange(0.0, HORIZON_S, 5.0))
    assume(np.linalg.norm(r_m[0] - r_m[1], axis=-1).min() > 2e3)
    return two


def flown(orbits: list[Elements], by_sgp4: bool) -> Ephemeris:
    names = tuple(f"s{k}" for k in range(len(orbits)))
    if by_sgp4:
        return Sgp4Ephemeris(names, tuple(orbit.satrec() for orbit in orbits), START)
    states = [orbit.state() for orbit in orbits]
    return KeplerEphemeris(names, np.array([r for r, _ in states]), np.array([v for _, v in states]), MU)


def sun(day: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda t_s: sun_positions_almanac_m(START + timedelta(days=day), t_s)


def differences_s(a: Windows, b: Windows) -> np.ndarray:
    """Lengths of all times at which only one of them is open, of windows of one track."""
    edges = np.sort(np.concatenate([a.start_s, a.end_s, b.start_s, b.end_s]))
    middle = (edges[1:] + edges[:-1]) / 2
    return np.diff(edges)[is_open(a, middle) != is_open(b, middle)]


def is_open(windows: Windows, t_s: np.ndarray) -> np.ndarray:
    return np.searchsorted(windows.start_s, t_s, "right") > np.searchsorted(windows.end_s, t_s, "right")


def agree(ephemeris: Ephemeris, find: Callable[[StateGrid], Windows], within_s: float = 0.1) -> Windows:
    """The windows on the finest grid, after a look at all grids."""
    found = [find(sample(ephemeris, HORIZON_S, step_s)) for step_s in GRIDS_S]
    for other in found[1:]:
        assert differences_s(found[0], other).max(initial=0.0) < within_s
    return found[0]


def shadow_finders(day: int) -> dict[str, Callable[[StateGrid], Windows]]:
    return {
        "umbra": lambda grid: find_shadows(grid, sun(day), Occulter()).umbra,
        "penumbra": lambda grid: find_shadows(grid, sun(day), Occulter()).penumbra,
    }


LINK_FINDERS: dict[str, Callable[[StateGrid], Windows]] = {
    "sight": lambda grid: pair_windows(grid, PAIR, sight_function(80e3)),
    "range": lambda grid: pair_windows(grid, PAIR, range_function(6_000e3)),
    "rate": lambda grid: pair_windows(grid, PAIR, rate_function(np.radians(0.1))),
}


@fewer
@given(elements(), st.integers(0, 364), st.booleans())
def test_eclipses_agree_on_all_grids(orbit: Elements, day: int, by_sgp4: bool) -> None:
    found = [agree(flown([orbit], by_sgp4), find) for find in shadow_finders(day).values()]
    assume(any(len(windows) for windows in found))


@few
@given(pairs(), st.booleans())
def test_links_agree_on_all_grids(two: list[Elements], by_sgp4: bool) -> None:
    found = [agree(flown(two, by_sgp4), find) for find in LINK_FINDERS.values()]
    assume(any((windows.end_s < HORIZON_S).any() for windows in found))


FIELD = FieldOfRegard(azimuth_deg=40.0, elevation_deg=-10.0, half_angle_deg=60.0)


CROSSING = Elements(perigee_m=7_741_501.0, e=0.0, inclination=1.0, raan=0.5, argument=0.0, anomaly=1.0)
RUSHING_BY = [CROSSING, replace(CROSSING, perigee_m=7_938_181.0, raan=3.5, anomaly=5.0)]
AND_CLOSER = [
    replace(CROSSING, perigee_m=7_741_502.0, inclination=2.0, anomaly=2.0),
    replace(CROSSING, perigee_m=7_938_551.0, inclination=2.0, raan=3.5, anomaly=5.0),
]


@fewer
@given(pairs(), st.integers(0, 364), st.booleans())
@example(RUSHING_BY, 0, False)
@example(AND_CLOSER, 0, False)
def test_blinded_and_pointed_terminals_agree_on_all_grids(two: list[Elements], day: int, by_sgp4: bool) -> None:
    """An exclusion of 30 degrees around the Sun, so that many of these pairs look into it."""
    ephemeris = flown(two, by_sgp4)
    found = [
        agree(ephemeris, lambda grid: glare_windows(grid, PAIR, sun(day), 30.0)),
        agree(ephemeris, lambda grid: pair_windows(grid, PAIR, field_function(FIELD), sharp=True)),
    ]
    assume(all(len(windows) for windows in found))


def over(site: GroundSite, mask_deg: float) -> Callable[[StateGrid], Windows]:
    return lambda grid: ground_windows(grid, (site,), 1, np.array([mask_deg]))


@few
@given(elements(), st.floats(-90.0, 90.0), st.floats(-180.0, 180.0), st.floats(0.0, 60.0), st.booleans())
def test_passes_agree_on_all_grids(
    orbit: Elements, latitude_deg: float, longitude_deg: float, mask_deg: float, by_sgp4: bool
) -> None:
    site = GroundSite("g", latitude_deg, longitude_deg)
    assume(len(agree(joined(flown([orbit], by_sgp4), SiteEphemeris((site,), START)), over(site, mask_deg))))


# Windows that are short because the limit lies just beside an extremum: the hardest case, since edges are ill-defined
# where a function is flat. Each is made from the true extremum, and must be found on every grid.


def peak_s(value: Callable[[np.ndarray], np.ndarray], half_s: float, around_s: float = 0.0) -> tuple[float, float]:
    """The peak inside the horizon that is nearest to a time, and a level that it exceeds for about twice ``half_s``.

    Another example is drawn if there is none, or if it does not stand out from rounding.
    """
    t_s = np.arange(0.0, HORIZON_S, 10.0)
    sampled = value(t_s)
    inner = np.flatnonzero((sampled[1:-1] > sampled[:-2]) & (sampled[1:-1] > sampled[2:])) + 1
    inner = inner[(inner > 5) & (inner < t_s.size - 6)]
    assume(inner.size)
    near_s = t_s[inner[np.abs(t_s[inner] - around_s).argmin()]] + np.arange(-10.0, 10.0, 0.05)
    top_s = float(near_s[value(near_s).argmax()])
    left, top, right = value(np.array([top_s - half_s, top_s, top_s + half_s]))
    level = max(left, right)
    assume(top - level > 1e-8 * abs(level))
    return top_s, float(level)


def found_on_all_grids(ephemeris: Ephemeris, find: Callable[[StateGrid], Windows], top_s: float) -> None:
    windows = agree(ephemeris, find, within_s=0.1)
    assert is_open(windows, np.array([top_s])).all()


half_length = st.floats(2.5, 20.0)


@dataclass(frozen=True)
class PairValues:
    """What the conditions of a link are about, of two satellites; positive, or larger, is better."""

    ephemeris: Ephemeris

    def closeness_m(self, t_s: np.ndarray) -> np.ndarray:
        r_m, _ = self.ephemeris.states(t_s)
        return -np.linalg.norm(r_m[0] - r_m[1], axis=-1)

    def clearance(self, t_s: np.ndarray) -> np.ndarray:
        r_m, _ = self.ephemeris.states(t_s)
        return sight_function(80e3)(t_s, r_m[0], r_m[0], r_m[1], r_m[1])

    def slowness_rad_s(self, t_s: np.ndarray) -> np.ndarray:
        after_m, before_m = (self.ephemeris.states(t_s + h)[0] for h in (0.05, -0.05))
        d_m = (after_m[0] - after_m[1] + before_m[0] - before_m[1]) / 2
        w_mps = np.diff(after_m - before_m, axis=0)[0] / 0.1
        return -np.linalg.norm(np.cross(d_m, w_mps), axis=-1) / (d_m * d_m).sum(-1)

    def check(self, name: str, half_s: float, around_s: float = 0.0) -> None:
        """A window of about twice ``half_s`` is found on all grids: its limit lies just beside an extremum."""
        value = {"range": self.closeness_m, "sight": self.clearance, "rate": self.slowness_rad_s}[name]
        top_s, level = peak_s(value, half_s, around_s)
        function = {
            "range": lambda *states: range_function(-level)(*states),
            "sight": lambda *states: sight_function(80e3)(*states) - level,
            "rate": lambda *states: rate_function(-level)(*states),
        }[name]
        found_on_all_grids(self.ephemeris, lambda grid: pair_windows(grid, PAIR, function), top_s)


@pytest.mark.parametrize("name", ["range", "sight", "rate"])
@few
@given(two=pairs(), half_s=half_length, by_sgp4=st.booleans())
def test_short_links_are_found_on_all_grids(name: str, two: list[Elements], half_s: float, by_sgp4: bool) -> None:
    PairValues(flown(two, by_sgp4)).check(name, half_s)


@st.composite
def perigee_passes(draw: st.DrawFn) -> tuple[list[Elements], float]:
    """Two satellites, and when the first one passes its perigee: e from 0 to 0.7, as low as 370 km."""
    first = Elements(draw(st.floats(6_750e3, 7_400e3)), draw(st.floats(0.0, 0.7)), *(draw(angle) for _ in range(4)))
    perigee_s = draw(st.floats(1_000.0, HORIZON_S - 1_000.0))
    first = replace(first, anomaly=-perigee_s * first.mean_motion_rad_s)
    two = [first, draw(elements())]
    r_m, _ = flown(two, by_sgp4=False).states(np.arange(0.0, HORIZON_S, 5.0))
    assume(np.linalg.norm(r_m[0] - r_m[1], axis=-1).min() > 2e3)
    return two, perigee_s


# Windows of the tracked rate that would differ by 0.35 to 0.47 s on a grid whose step is really 120 s.
GRAZING_HIGH = [
    Elements(7_812_451.0, 0.4192, 1.3283, 4.818, 4.7146, 2.6862),
    Elements(42_145_229.0, 0.0003, 2.8172, 4.9004, 5.3113, 5.6619),
]
GRAZING_LOW = [
    Elements(7_433_873.0, 0.2988, 2.2328, 0.8655, 3.4614, 1.7494),
    Elements(6_796_489.0, 0.552, 1.2784, 5.9082, 3.3883, 0.4755),
]
GRAZING_TRANSFER = [
    Elements(6_772_310.0, 0.6916, 0.4902, 2.4577, 2.1539, 3.9823),
    Elements(6_760_600.0, 0.6938, 0.3841, 5.1117, 4.3437, 2.5618),
]


@pytest.mark.parametrize("name", ["range", "sight", "rate"])
@few
@example(passing=(GRAZING_HIGH, 358.0), half_s=3.1, by_sgp4=True)
@example(passing=(GRAZING_LOW, 5_412.0), half_s=17.2, by_sgp4=True)
@example(passing=(GRAZING_TRANSFER, 12_655.0), half_s=5.7, by_sgp4=False)
@given(passing=perigee_passes(), half_s=half_length, by_sgp4=st.booleans())
def test_short_links_at_perigee_are_found_on_all_grids(
    name: str, passing: tuple[list[Elements], float], half_s: float, by_sgp4: bool
) -> None:
    two, perigee_s = passing
    PairValues(flown(two, by_sgp4)).check(name, half_s, around_s=perigee_s)


@few
@given(elements(), st.floats(-90.0, 90.0), st.floats(-180.0, 180.0), half_length, st.booleans())
def test_short_passes_are_found_on_all_grids(
    orbit: Elements, latitude_deg: float, longitude_deg: float, half_s: float, by_sgp4: bool
) -> None:
    site = GroundSite("g", latitude_deg, longitude_deg)
    both = joined(flown([orbit], by_sgp4), SiteEphemeris((site,), START))

    def elevation_deg(t_s: np.ndarray) -> np.ndarray:
        (satellite_m, site_m), _ = both.states(t_s)
        latitude = np.radians(latitude_deg)
        east = np.arctan2(site_m[:, 1], site_m[:, 0])
        across = np.cos(latitude)
        normal = np.stack([across * np.cos(east), across * np.sin(east), np.full(t_s.shape, np.sin(latitude))], axis=-1)
        d_m = satellite_m - site_m
        return np.degrees(np.arcsin((d_m * normal).sum(-1) / np.linalg.norm(d_m, axis=-1)))

    top_s, mask_deg = peak_s(elevation_deg, half_s)
    assume(mask_deg > 0)
    found_on_all_grids(both, over(site, mask_deg), top_s)


@few
@given(elements(), st.integers(0, 364), half_length, st.booleans())
def test_short_eclipses_are_found_on_all_grids(orbit: Elements, day: int, half_s: float, by_sgp4: bool) -> None:
    """The Earth is as large as it takes."""
    ephemeris = flown([orbit], by_sgp4)

    def minus_distance_m(t_s: np.ndarray) -> np.ndarray:
        """Of the satellite from the line through Earth and Sun, negative, behind the Earth."""
        r_m, sun_m = ephemeris.states(t_s)[0][0], sun(day)(t_s)
        to_sun = sun_m / np.linalg.norm(sun_m, axis=-1, keepdims=True)
        along_m = (r_m * to_sun).sum(-1)
        across_m = np.linalg.norm(r_m - along_m[:, None] * to_sun, axis=-1)
        return np.where(along_m < 0, -across_m, -np.linalg.norm(r_m, axis=-1))

    top_s, level_m = peak_s(minus_distance_m, half_s)
    assume(-0.9 * orbit.perigee_m < level_m < -1_000e3)
    occulter = Occulter(radius_m=-level_m, flattening=0.0)
    found_on_all_grids(ephemeris, lambda grid: find_shadows(grid, sun(day), occulter).penumbra, top_s)


# Against the states themselves, a second apart.

DENSE = {
    "low": Elements(EARTH_RADIUS_M + 400e3, 0.001, 0.9, 1.0, 2.0, 0.5),
    "e = 0.3": Elements(EARTH_RADIUS_M + 500e3, 0.3, 1.1, 4.0, 0.3, 3.0),
    "e = 0.7": Elements(EARTH_RADIUS_M + 350e3, 0.7, 0.5, 0.2, 3.0, 0.1),
    "Molniya": Elements(EARTH_RADIUS_M + 1_600e3, 0.7, 1.107, 2.0, 4.71, 5.9),
    "geostationary": Elements(42_164e3, 0.0, 0.02, 0.0, 0.0, 1.9),
}


@pytest.mark.parametrize("by_sgp4", [False, True])
@pytest.mark.parametrize("name", DENSE)
def test_nothing_is_lost_that_the_states_show_a_second_apart(name: str, by_sgp4: bool) -> None:
    """At every second of 11 hours the windows of the 120 s grid say what the states say, but 0.1 s beside an edge."""
    horizon_s = 40_000.0
    site = GroundSite("g", 10.0, 30.0)
    others = [DENSE[name], DENSE["low"] if name != "low" else DENSE["e = 0.3"]]
    both = joined(flown(others, by_sgp4), SiteEphemeris((site,), START))
    coarse = sample(both, horizon_s, 120.0)
    t_s = np.arange(1.0, horizon_s)
    r_m, v_mps = both.states(t_s)
    if by_sgp4:  # whose velocities are not the derivative of its positions
        v_mps = (both.states(t_s + 0.05)[0] - both.states(t_s - 0.05)[0]) / 0.1
    fine = StateGrid(t_s, r_m, v_mps)
    states = (t_s, r_m[0], v_mps[0], r_m[1], v_mps[1])
    shadows = find_shadows(StateGrid(coarse.t_s, coarse.r_m[:1], coarse.v_mps[:1]), sun(0), Occulter())
    angle_rad = shadow_angles_rad(fine.r_m[0], sun(0)(t_s))
    checks = [
        (shadows.umbra, angle_rad[0] - angle_rad[1] - angle_rad[2]),
        (shadows.penumbra, angle_rad[0] + angle_rad[1] - angle_rad[2]),
        (LINK_FINDERS["sight"](coarse), sight_function(80e3)(*states)),
        (LINK_FINDERS["range"](coarse), range_function(6_000e3)(*states)),
        (LINK_FINDERS["rate"](coarse), rate_function(np.radians(0.1))(*states)),
    ]
    for windows, value in checks:
        edges_s = np.sort(np.concatenate([windows.start_s, windows.end_s, [-1.0, horizon_s + 1.0]]))
        after = np.searchsorted(edges_s, t_s)
        clear = np.minimum(t_s - edges_s[after - 1], edges_s[after] - t_s) > 0.1
        assert (is_open(windows, t_s) == (value > 0))[clear].all()


def shadow_angles_rad(r_m: np.ndarray, sun_m: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Radii of Earth and Sun and their distance on the sky, written down afresh: arc cosines in stretched axes."""
    stretch = np.array([1.0, 1.0, 1.0 / (1.0 - 1.0 / 298.257223563)])
    r_m, sun_m = r_m * stretch, sun_m * stretch
    d_m, range_m = sun_m - r_m, np.linalg.norm(r_m, axis=-1)
    far_m = np.linalg.norm(d_m, axis=-1)
    apart = np.arccos(-(d_m * r_m).sum(-1) / far_m / range_m)
    return np.arcsin(EARTH_RADIUS_M / range_m), np.arcsin(695_700e3 / far_m), apart
