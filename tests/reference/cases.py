"""What outside references say, and how far we are from it: tests hold each to its tolerance, a script prints them.

Published values are those that docs/physics/truth.md names; brahe and Skyfield are computed side by side.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files

import brahe
import numpy as np
from sgp4.api import Satrec
from skyfield.api import EarthSatellite, load, wgs84
from skyfield.jpllib import SpiceKernel
from skyfield.timelib import Time

from orbital_train.errors import InputError
from orbital_train.orbit.constants import EARTH_RADIUS_M
from orbital_train.orbit.ephemeris import GroundSite, KeplerEphemeris, Sgp4Ephemeris, SiteEphemeris, joined
from orbital_train.orbit.grid import sample
from orbital_train.orbit.sun import sun_path
from orbital_train.windows.geometry import sight_function
from orbital_train.windows.ground import ground_windows
from orbital_train.windows.shadow import Occulter, ShadowWindows, shadow_windows, sunlit_fraction

ISS = (
    "1 25544U 98067A   18184.80969102  .00001614  00000-0  31745-4 0  9993",
    "2 25544  51.6414 295.8524 0003435 262.6267 204.2868 15.54005638121106",
)
ISS_START = datetime(2018, 7, 3, tzinfo=UTC)
OREKIT_MU = 3.9860047e14
OREKIT_R = np.array([[-6142438.668, 3492467.560, -25767.25680]])
OREKIT_V = np.array([[505.8479685, 942.7809215, 7435.922231]])


def sun_in_icrs(clock: Time) -> Callable[[np.ndarray], np.ndarray]:
    """The geometric Sun in the axes in which the published states are given."""
    path = importlib.util.find_spec("skyfield_data").origin.replace("__init__.py", "data/de421.bsp")

    def positions_m(t_s: np.ndarray) -> np.ndarray:
        kernel = SpiceKernel(path)
        time = Time(clock.ts, clock.whole, clock.tt_fraction + t_s / 86400.0)
        relative = kernel["sun"].at(time).xyz.m - kernel["earth"].at(time).xyz.m
        kernel.close()
        return relative.T

    return positions_m


def state_of_elements(
    a_m: float, e: float, i_deg: float, raan_deg: float, argument_deg: float, anomaly_deg: float, mu: float
) -> tuple[np.ndarray, np.ndarray]:
    """Position and velocity of Keplerian elements, each of shape (1, 3)."""
    i, node, w, nu = np.radians([i_deg, raan_deg, argument_deg, anomaly_deg])
    to_node = np.array([[np.cos(node), -np.sin(node), 0], [np.sin(node), np.cos(node), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(i), -np.sin(i)], [0, np.sin(i), np.cos(i)]])
    p = a_m * (1 - e * e)
    at, rate = np.array([np.cos(w + nu), np.sin(w + nu), 0]), np.array([-np.sin(w + nu), np.cos(w + nu), 0])
    apse = e * np.array([-np.sin(w), np.cos(w), 0])
    r_m = p / (1 + e * np.cos(nu)) * (to_node @ tilt @ at)
    v_mps = np.sqrt(mu / p) * (to_node @ tilt @ (rate + apse))
    return r_m[None], v_mps[None]


def farthest(found: np.ndarray, published: list[float]) -> float:
    """Largest difference; infinite if there are not as many."""
    return float(np.abs(found - published).max()) if len(found) == len(published) else np.inf


# Published values.


def orekit_detector_s(step_s: float) -> float:
    """Orekit EclipseDetectorTest: umbra entry and penumbra exit."""
    ephemeris = KeplerEphemeris(("s",), OREKIT_R, OREKIT_V, OREKIT_MU)
    sun = sun_in_icrs(load.timescale(builtin=True).tt(1969, 7, 28, 4))
    sphere = Occulter(radius_m=6_400e3, flattening=0.0, sun_radius_m=696_000e3)
    found = shadow_windows(ephemeris, sun, 6000.0, sphere, step_s)
    return max(farthest(found.umbra.start_s, [2303.1835]), farthest(found.penumbra.end_s, [4388.155852]))


def orekit_polar(flattening: float) -> ShadowWindows:
    """Orekit testPolar: the same size of orbit, over the poles."""
    mu = OREKIT_MU
    r, v = OREKIT_R[0], OREKIT_V[0]
    a_m = 1 / (2 / np.linalg.norm(r) - v @ v / mu)
    e = float(np.linalg.norm(np.cross(v, np.cross(r, v)) / mu - r / np.linalg.norm(r)))
    r_m, v_mps = state_of_elements(a_m, e, 90.0, 150.3483, 13.7431, -13.9542, mu)
    sun = sun_in_icrs(load.timescale(builtin=True).tt(1969, 7, 28, 4))
    occulter = Occulter(radius_m=EARTH_RADIUS_M, flattening=flattening, sun_radius_m=696_000e3)
    return shadow_windows(KeplerEphemeris(("s",), r_m, v_mps, mu), sun, 6000.0, occulter)


def orekit_polar_s(flattening: float, entry_s: float, exit_s: float) -> float:
    """Against these times of umbra entry and exit."""
    umbra = orekit_polar(flattening).umbra
    return max(farthest(umbra.start_s, [entry_s]), farthest(umbra.end_s, [exit_s]))


def hapsira_s() -> float:
    """hapsira test_events: penumbra and umbra entry."""
    mu = 3.986004418e14
    r_m, v_mps = state_of_elements(6828.137e3, 0.0073, 87.0, 20.0, 10.0, 0.0, mu)
    sun = sun_in_icrs(load.timescale(builtin=True).utc(2020, 1, 1))
    sphere = Occulter(radius_m=6_378_136.6, flattening=0.0, sun_radius_m=695_700e3)
    found = shadow_windows(KeplerEphemeris(("s",), r_m, v_mps, mu), sun, 3000.0, sphere)
    penumbra, umbra = found.penumbra.start_s[:1], found.umbra.start_s[:1]
    return max(farthest(penumbra, [4 * 60 + 26.060]), farthest(umbra, [4 * 60 + 51.328]))


def sunlit_every_10_min(flattening: float) -> list[list[bool]]:
    """Skyfield test_is_sunlit: six moments by umbra, then by penumbra."""
    ephemeris = Sgp4Ephemeris(("ISS",), (Satrec.twoline2rv(*ISS),), ISS_START)
    found = shadow_windows(ephemeris, sun_path(ISS_START, 3600.0), 3600.0, Occulter(flattening=flattening))
    t_s = np.arange(0.0, 3600.0, 600.0)
    dark = [((t_s[:, None] >= w.start_s) & (t_s[:, None] < w.end_s)).any(axis=1) for w in (found.umbra, found.penumbra)]
    return [(~d).tolist() for d in dark]


def verification_lines() -> list[tuple[str, str]]:
    """The element sets of SGP4-VER.TLE."""
    lines = files("sgp4").joinpath("SGP4-VER.TLE").read_text().splitlines()
    first = [line for line in lines if line.startswith("1 ")]
    return list(zip(first, [line[:69] for line in lines if line.startswith("2 ")], strict=True))


def published_states() -> list[np.ndarray]:
    """Of every satellite of tcppver.out: rows of minutes, position [km] and velocity [km/s]."""
    blocks: list[list[list[float]]] = []
    for line in files("sgp4").joinpath("tcppver.out").read_text().splitlines():
        if line.rstrip().endswith("xx"):
            blocks.append([])
        else:
            blocks[-1].append([float(x) for x in line.split()[:7]])
    return [np.array(block) for block in blocks]


@dataclass(frozen=True)
class Verification:
    """How the published states of SGP4 are met."""

    sgp4_km: np.ndarray  # miss of every state, of the library
    ours_km: np.ndarray  # of every state that our ephemeris gives
    without: list[int]  # satellites that have no state at some moment, in SGP4's own words
    refused: list[float]  # altitudes [km] of the states that our ephemeris refuses


def verify_sgp4() -> Verification:
    """All states of tcppver.out."""
    result = Verification(np.empty(0), np.empty(0), [], [])
    sgp4_km, ours_km = [], []
    for lines, rows in zip(verification_lines(), published_states(), strict=True):
        satrec = Satrec.twoline2rv(*lines)
        # The epoch is not a whole microsecond: times are counted from the midnight before it.
        midnight = datetime(1950, 1, 1, tzinfo=UTC) + timedelta(days=satrec.jdsatepoch - 2433282.5)
        ephemeris = Sgp4Ephemeris((satrec.satnum_str,), (satrec,), midnight)
        for minutes, *state in rows:
            code, r_km, _ = satrec.sgp4_tsince(minutes)
            if code:
                result.without.append(satrec.satnum)
                continue
            sgp4_km.append(np.abs(np.array(r_km) - state[:3]).max())
            try:
                r_m, _ = ephemeris.states(np.array([(minutes + satrec.jdsatepochF * 1440.0) * 60.0]))
            except InputError:
                result.refused.append(float(np.linalg.norm(r_km)) - EARTH_RADIUS_M / 1e3)
                continue
            ours_km.append(np.abs(r_m[0, 0] / 1e3 - state[:3]).max())
    return replace(result, sgp4_km=np.array(sgp4_km), ours_km=np.array(ours_km))


VALLADO_M = np.array([[0.0, -4464.696e3, -5102.509e3], [0.0, 5740.323e3, 3189.068e3]])


def vallado_clearance(grazing_altitude_m: float) -> float:
    """Vallado, example 5-6: below zero, which is blocked."""
    still = np.zeros(3)
    return float(sight_function(grazing_altitude_m)(still[0], VALLADO_M[0], still, VALLADO_M[1], still))


# Other programs, side by side.

SITES = (
    GroundSite("madrid", 40.43, -4.25, 700.0),
    GroundSite("punta", -53.0, -70.85, 30.0),
    GroundSite("svalbard", 78.23, 15.4, 450.0),
    GroundSite("quito", -0.2, -78.5, 2800.0),
)
# Of the verification set: a low Sun-synchronous, a Molniya, a transfer orbit, a navigation satellite; and the ISS.
FLOWN = {"28057": "CBERS 2", "08195": "Molniya", "23177": "Ariane transfer orbit", "28129": "Navstar"}
MASK_DEG = 10.0
HORIZON_S = 2 * 86400.0


@cache
def flown() -> dict[str, tuple[tuple[str, str], datetime]]:
    """Element sets by name, each with the midnight that follows its epoch."""
    table = {lines[0][2:7]: lines for lines in verification_lines()}
    sets = {name: table[number] for number, name in FLOWN.items()} | {"ISS": ISS}
    return {name: (lines, _midnight_after(Satrec.twoline2rv(*lines))) for name, lines in sets.items()}


def _midnight_after(satrec: Satrec) -> datetime:
    return datetime(1950, 1, 1, tzinfo=UTC) + timedelta(days=satrec.jdsatepoch + 1 - 2433282.5)


def all_flown(misses: Callable[[str], np.ndarray]) -> np.ndarray:
    """These misses of all element sets."""
    return np.concatenate([misses(name) for name in flown()])


def our_passes(name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rise and set times over each site."""
    lines, start = flown()[name]
    satellite = Sgp4Ephemeris((name,), (Satrec.twoline2rv(*lines),), start)
    grid = sample(joined(satellite, SiteEphemeris(SITES, start)), HORIZON_S, 60.0)
    found = ground_windows(grid, SITES, 1, np.full(len(SITES), MASK_DEG))
    return [found.of(site) for site in range(len(SITES))]


def brahe_pass_misses_s(name: str) -> np.ndarray:
    """Differences of all edges from brahe's ``location_accesses``, with UT1 = UTC and no polar motion on both sides."""
    brahe.set_global_eop_provider(brahe.StaticEOPProvider.from_zero())
    lines, start = flown()[name]
    begin = brahe.Epoch(start.year, start.month, start.day)
    propagator = brahe.SGPPropagator.from_tle(*lines)
    config = brahe.AccessSearchConfig(initial_time_step=20.0, parallel=False)
    mask = brahe.ElevationConstraint(MASK_DEG)
    misses = []
    for site, (start_s, end_s) in zip(SITES, our_passes(name), strict=True):
        place = brahe.PointLocation(site.longitude_deg, site.latitude_deg, site.altitude_m)
        found = brahe.location_accesses(place, propagator, begin, begin + HORIZON_S, mask, config=config)
        edges = np.array([(w.window_open - begin, w.window_close - begin) for w in found]).reshape(-1, 2)
        misses.append(_differences(edges, np.stack([start_s, end_s], axis=1)))
    return np.concatenate(misses)


def skyfield_pass_misses_s(name: str) -> tuple[np.ndarray, np.ndarray]:
    """From each event of Skyfield's ``find_events`` (good to half a second) to our nearest edge, and the other way.

    The way back is what Skyfield's elevation lacks to the mask at each of our edges, over its rate: ``find_events``
    itself takes one culmination an orbit for granted and joins passes of eccentric orbits. UT1 = UTC on both sides.
    """
    lines, start = flown()[name]
    real = load.timescale(builtin=True).from_datetime(start)
    scale = load.timescale(delta_t=float(real.delta_t + real.dut1), builtin=True)
    t0, t1 = (scale.from_datetime(start + timedelta(seconds=s)) for s in (0.0, HORIZON_S))
    satellite = EarthSatellite(*lines, ts=scale)
    of_events, of_elevation = [], []
    for site, (start_s, end_s) in zip(SITES, our_passes(name), strict=True):
        place = wgs84.latlon(site.latitude_deg, site.longitude_deg, site.altitude_m)
        when, kind = satellite.find_events(place, t0, t1, altitude_degrees=MASK_DEG)
        seconds = (when.tt - t0.tt) * 86400.0
        for ours, theirs in ((start_s, seconds[kind == 0]), (end_s, seconds[kind == 2])):
            edge_s = ours[(ours > 0) & (ours < HORIZON_S)]  # a pass that is cut by the scenario is no event
            of_events.append(np.abs(np.append(edge_s, np.inf) - theirs[:, None]).min(axis=1))
            if edge_s.size:
                high_deg, low_deg = (_elevation_deg(satellite, place, t0, edge_s + dt) for dt in (0.5, -0.5))
                of_elevation.append(((high_deg + low_deg) / 2 - MASK_DEG) / (high_deg - low_deg))
    return np.concatenate(of_events), np.concatenate(of_elevation)


def _elevation_deg(satellite: EarthSatellite, place: object, t0: Time, t_s: np.ndarray) -> np.ndarray:
    time = t0.ts.tt_jd(np.full(t_s.shape, t0.whole), t0.tt_fraction + t_s / 86400.0)
    return np.asarray((satellite - place).at(time).altaz()[0].degrees)


def _differences(theirs: np.ndarray, ours: np.ndarray) -> np.ndarray:
    """All differences; one that is infinite if they have not found the same passes."""
    return (ours - theirs).ravel() if ours.shape == theirs.shape else np.array([np.inf])


def brahe_eclipse_misses(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Differences from brahe's ``eclipse_conical`` (a sphere): of the visible part every 20 s, and of edges [s]."""
    lines, start = flown()[name]
    ephemeris = Sgp4Ephemeris((name,), (Satrec.twoline2rv(*lines),), start)
    sun = sun_path(start, HORIZON_S)
    sphere = Occulter(radius_m=brahe.R_EARTH, flattening=0.0, sun_radius_m=brahe.R_SUN)
    t_s = np.arange(0.0, HORIZON_S, 20.0)
    r_m, sun_m = ephemeris.states(t_s)[0][0], sun(t_s)
    theirs = np.array([brahe.eclipse_conical(r, s) for r, s in zip(r_m, sun_m, strict=True)])
    grid = sample(ephemeris, HORIZON_S, 60.0)
    found = shadow_windows(ephemeris, sun, HORIZON_S, sphere)
    visible = lambda t: brahe.eclipse_conical(grid.at(np.zeros(1, dtype=int), t)[0][0], sun(t)[0])  # noqa: E731
    return sunlit_fraction(r_m, sun_m, sphere) - theirs, _edge_misses_s(found, visible)


def _edge_misses_s(found: ShadowWindows, visible: Callable[[np.ndarray], float]) -> np.ndarray:
    """How far from each of our edges the other program's answer changes, by bisection within a second of it."""
    misses = []
    for windows, is_in in ((found.umbra, lambda x: x <= 0.0), (found.penumbra, lambda x: x < 1.0)):
        for edges_s, enters in ((windows.start_s, True), (windows.end_s, False)):
            for edge_s in edges_s[(edges_s > 1.0) & (edges_s < HORIZON_S - 1.0)]:
                low, high = edge_s - 1.0, edge_s + 1.0
                if is_in(visible(np.array([low]))) is enters or is_in(visible(np.array([high]))) is not enters:
                    misses.append(np.inf)
                    continue
                while high - low > 1e-5:
                    middle = (low + high) / 2
                    low, high = (low, middle) if is_in(visible(np.array([middle]))) is enters else (middle, high)
                misses.append((low + high) / 2 - edge_s)
    return np.array(misses)
