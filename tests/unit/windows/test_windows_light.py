from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from orbital_train.errors import InputError
from orbital_train.orbit.constants import ASTRONOMICAL_UNIT_M, EARTH_RADIUS_M, SUN_RADIUS_M
from orbital_train.orbit.ephemeris import Ephemeris, GroundSite, KeplerEphemeris, Sgp4Ephemeris, SiteEphemeris, joined
from orbital_train.orbit.fleet import SunSynchronousSpec, WalkerSpec, build_fleet
from orbital_train.orbit.grid import StateGrid, sample
from orbital_train.orbit.sun import sun_path, sun_positions_m
from orbital_train.windows.light import LightSpec
from orbital_train.windows.plan import Illumination
from orbital_train.windows.shadow import Occulter, find_shadows, shadow_windows, sunlit_fraction
from tests.sampled import illuminate

START = datetime(2026, 3, 20, 14, 46, tzinfo=UTC)  # an equinox: the Sun is in the equator
SPHERE = Occulter(flattening=0.0)
MU = 3.986004418e14


def fixed_sun(t_s: np.ndarray) -> np.ndarray:
    return np.tile([ASTRONOMICAL_UNIT_M, 0.0, 0.0], (t_s.size, 1))


def circle(altitude_m: float, beta_deg: float) -> KeplerEphemeris:
    """A circular orbit whose plane is this far from the Sun's direction (x), starting on the terminator's side."""
    radius_m, beta = EARTH_RADIUS_M + altitude_m, np.radians(beta_deg)
    out = np.array([np.cos(beta), 0.0, np.sin(beta)])
    speed_mps = np.sqrt(MU / radius_m)
    return KeplerEphemeris(("s",), radius_m * out[None], speed_mps * np.array([[0.0, 1.0, 0.0]]), MU)


def eclipse_min(altitude_m: float) -> tuple[float, float]:
    found = shadow_windows(circle(altitude_m, 0.0), fixed_sun, 6000.0, SPHERE)
    return tuple(float(w.end_s[0] - w.start_s[0]) / 60 for w in (found.umbra, found.penumbra))  # type: ignore[return-value]


def test_longest_eclipses_of_the_table_of_default_figures() -> None:
    """550 km: umbra 35.47 min, with penumbra 35.75; 325 km: 36.45 with penumbra."""
    umbra, penumbra = eclipse_min(550e3)
    assert umbra == pytest.approx(35.47, abs=0.01)
    assert penumbra == pytest.approx(35.75, abs=0.01)
    assert pytest.approx(np.mean(eclipse_min(325e3)), abs=0.15) == 36.45


@pytest.mark.parametrize(("altitude_m", "limit_deg"), [(325e3, 72.1), (550e3, 67.0), (800e3, 62.7)])
def test_no_eclipse_above_the_limit_of_beta(altitude_m: float, limit_deg: float) -> None:
    def penumbras(beta_deg: float) -> int:
        return len(shadow_windows(circle(altitude_m, beta_deg), fixed_sun, 6000.0, SPHERE).penumbra)

    # The table is for a cylinder; the penumbra's cone reaches 0.3 degrees further.
    assert penumbras(limit_deg - 0.1) == 1
    assert penumbras(limit_deg + 0.5) == 0


def test_grazing_eclipses_shorter_than_the_step_are_found() -> None:
    """From long to none: umbras down to a second are found on the 60 s grid as on a 5 s grid."""
    lengths_s = []
    for beta_deg in np.linspace(66.0, 66.9, 37):
        orbit = circle(550e3, beta_deg)
        coarse, fine = (shadow_windows(orbit, fixed_sun, 6000.0, SPHERE, h).umbra for h in (60.0, 5.0))
        assert coarse.start_s == pytest.approx(fine.start_s, abs=0.2)
        assert coarse.end_s == pytest.approx(fine.end_s, abs=0.2)
        lengths_s.append(float((fine.end_s - fine.start_s).sum()))
    assert lengths_s[0] > 300
    assert lengths_s[-1] == 0
    assert sum(0 < length_s < 120 for length_s in lengths_s) >= 1


def test_sunlit_fraction_of_a_straight_limb() -> None:
    """Half the disc is hidden when the limb crosses its centre; none and all at the contacts; monotonic between."""
    radius_m = EARTH_RADIUS_M + 550e3
    sun_rad, earth_rad = np.arcsin(SUN_RADIUS_M / ASTRONOMICAL_UNIT_M), np.arcsin(EARTH_RADIUS_M / radius_m)
    steps = np.linspace(-1.5, 1.5, 31)
    off_axis = earth_rad + steps * sun_rad
    r_m = radius_m * np.stack([-np.cos(off_axis), np.sin(off_axis), np.zeros_like(off_axis)], axis=-1)
    far_sun = r_m + ASTRONOMICAL_UNIT_M * np.array([1.0, 0.0, 0.0])
    lit = sunlit_fraction(r_m, far_sun, SPHERE)
    assert lit[15] == pytest.approx(0.5, abs=2e-3)
    assert lit[0] == 0.0
    assert lit[-1] == 1.0
    assert (np.diff(lit) >= 0).all()
    quarter = lit[20]  # half a solar radius beyond the limb: a cap of height r / 2 is hidden
    assert 1 - quarter == pytest.approx((np.arccos(0.5) - 0.5 * np.sqrt(0.75)) / np.pi, abs=2e-3)


def satellites(altitude_m: float = 550e3) -> tuple[Sgp4Ephemeris, int]:
    spec = WalkerSpec(pattern="delta", satellites=4, planes=2, phasing=1, altitude_m=altitude_m, inclination_deg=53.0)
    fleet = build_fleet(spec, START)
    return Sgp4Ephemeris(fleet.names, fleet.satrecs, START), len(fleet)


def test_illumination_covers_the_horizon_with_umbra_penumbra_and_sun() -> None:
    ephemeris, count = satellites()
    light = illuminate(ephemeris, count, START, 20_000.0, LightSpec())
    for edge_s, fraction in zip(light.edge_s, light.fraction, strict=True):
        assert edge_s[0] == 0.0
        assert edge_s[-1] == 20_000.0
        assert edge_s.size == fraction.size + 1
        assert (np.diff(edge_s) > 0).all()
        assert ((fraction >= 0) & (fraction <= 1)).all()
        assert (np.diff(fraction) != 0).all()
        # Between sunlight and umbra there is always a penumbra of about 8 s that is half lit on average.
        inner = [f for f, length in zip(fraction, np.diff(edge_s), strict=True) if 0 < f < 1 and length > 5]
        assert np.mean(inner) == pytest.approx(0.5, abs=0.1)
    assert light.sun_distance_au == pytest.approx(0.9960, abs=2e-4)


def test_mean_fraction_of_a_penumbra_is_its_integral() -> None:
    """Also over a slow grazing one. Achieved: 2e-5."""
    ephemeris = build_and_graze()
    light = illuminate(ephemeris, 1, START, 86400.0, LightSpec())
    sun = sun_path(START, 86400.0)
    checked = 0
    for k, fraction in enumerate(light.fraction[0]):
        start_s, end_s = light.edge_s[0][k : k + 2]
        if not 0 < fraction < 1:
            continue
        t_s = start_s + (end_s - start_s) * (np.arange(400) + 0.5) / 400
        r_m = ephemeris.states(t_s)[0][0]
        assert fraction == pytest.approx(sunlit_fraction(r_m, sun(t_s), Occulter()).mean(), abs=2e-4)
        checked += 1
    assert checked >= 10


def build_and_graze() -> Ephemeris:
    """A nearly dawn-dusk orbit at an equinox, whose eclipses are short."""
    fleet = build_fleet(SunSynchronousSpec(satellites=1, altitude_m=650e3, local_time_h=16.2), START)
    return Sgp4Ephemeris(fleet.names, fleet.satrecs, START)


def lit_seconds(light: Illumination) -> float:
    return float(np.diff(light.edge_s[0]) @ light.fraction[0])


def test_shadow_margin_moves_an_edge_by_6_7_s_at_550_km() -> None:
    ephemeris, count = satellites()
    bare, opaque = (illuminate(ephemeris, count, START, 6000.0, LightSpec(shadow_margin_m=m)) for m in (0.0, 20e3))
    assert lit_seconds(bare) - lit_seconds(opaque) == pytest.approx(2 * 6.7, abs=0.8)


def test_oblate_and_spherical_earth_differ_by_seconds() -> None:
    ephemeris, count = satellites()
    oblate, sphere = (illuminate(ephemeris, count, START, 6000.0, LightSpec(earth=e)) for e in ("oblate", "sphere"))  # type: ignore[arg-type]
    shift_s = np.abs(oblate.edge_s[0] - sphere.edge_s[0]).max()
    assert 0.5 < shift_s < 15.0


@pytest.mark.parametrize("margin_m", [-1.0, 100e3])
def test_bad_shadow_margins_are_refused(margin_m: float) -> None:
    ephemeris, count = satellites()
    with pytest.raises(InputError) as caught:
        illuminate(ephemeris, count, START, 6000.0, LightSpec(shadow_margin_m=margin_m))
    assert caught.value.key == "light.shadow_margin_m"


def test_sites_are_always_lit() -> None:
    ephemeris, count = satellites()
    both = joined(ephemeris, SiteEphemeris((GroundSite("g", 0.0, 0.0), GroundSite("h", 50.0, 0.0)), START))
    light = illuminate(both, count, START, 6000.0, LightSpec())
    assert light.node_names == both.names
    for site in (4, 5):
        assert light.edge_s[site].tolist() == [0.0, 6000.0]
        assert light.fraction[site].tolist() == [1.0]


def test_a_start_inside_the_umbra() -> None:
    """Noon-midnight orbit, half a revolution after its ascending node at noon."""
    fleet = build_fleet(SunSynchronousSpec(satellites=2, altitude_m=550e3, local_time_h=12.0), START)
    light = illuminate(Sgp4Ephemeris(fleet.names, fleet.satrecs, START), 2, START, 600.0, LightSpec())
    assert light.fraction[0].tolist() == [1.0]
    assert light.fraction[1].tolist() == [0.0]


@pytest.mark.parametrize(("local_time_h", "first_day"), [(18.0, "05-10"), (6.0, "01-01")])
def test_eclipse_season_of_a_dawn_dusk_orbit_at_650_km(local_time_h: float, first_day: str) -> None:
    """Known: 83 to 87 days a year, 3.49 to 3.65 % of the time, longest 19 to 20 minutes, around June or December.

    Found with the oblate Earth: 85 days and 3.55 % for either, longest 18.8 (18 h) and 19.0 minutes (6 h); a sphere of
    equatorial radius gives 88 to 89 days and 3.73 %.
    """
    start, year_s = datetime(2026, 1, 1, tzinfo=UTC), 365.25 * 86400.0
    fleet = build_fleet(SunSynchronousSpec(satellites=1, altitude_m=650e3, local_time_h=local_time_h), start)
    ephemeris = Sgp4Ephemeris(fleet.names, fleet.satrecs, start)
    umbra = shadow_windows(ephemeris, sun_path(start, year_s), year_s, Occulter()).umbra
    length_s, day = umbra.end_s - umbra.start_s, np.unique(umbra.start_s // 86400.0)
    assert day.size == 85
    assert length_s.sum() / year_s == pytest.approx(0.0355, abs=1e-4)
    assert length_s.max() / 60 == pytest.approx(18.9, abs=0.2)
    assert (start + timedelta(days=float(day[0]))).strftime("%m-%d") == first_day


def test_the_sun_path_is_the_sun() -> None:
    t_s = np.array([0.0, 4000.0])
    assert np.linalg.norm(sun_path(START, 5000.0)(t_s) - sun_positions_m(START, t_s), axis=-1).max() < 1.0


def test_a_fleet_of_several_blocks_has_the_shadows_of_each_satellite_alone() -> None:
    spec = WalkerSpec(pattern="delta", satellites=60, planes=6, phasing=1, altitude_m=550e3, inclination_deg=80.0)
    fleet = build_fleet(spec, START)
    grid = sample(Sgp4Ephemeris(fleet.names, fleet.satrecs, START), 86_400.0, 60.0)
    sun = sun_path(START, 86_400.0)
    found = find_shadows(grid, sun, Occulter())
    for node in (0, 44, 45, 59):
        rows = slice(node, node + 1)
        alone = find_shadows(StateGrid(grid.t_s, grid.r_m[rows], grid.v_mps[rows]), sun, Occulter())
        for all_of_them, own in ((found.umbra, alone.umbra), (found.penumbra, alone.penumbra)):
            assert all_of_them.of(node)[0] == pytest.approx(own.start_s, abs=1e-5)
            assert all_of_them.of(node)[1] == pytest.approx(own.end_s, abs=1e-5)
            assert len(own) > 5
