from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from sgp4.api import WGS72, Satrec
from skyfield.api import load, wgs84
from skyfield.sgp4lib import TEME

from orbital_train.errors import InputError
from orbital_train.orbit.ephemeris import GroundSite, KeplerEphemeris, Sgp4Ephemeris, SiteEphemeris, joined
from orbital_train.orbit.mean_elements import circular_satrec

START = datetime(2026, 3, 20, tzinfo=UTC)
MU = 3.986004418e14


def falling_satrec() -> Satrec:
    """288 km and so much drag that it is below 100 km, with SGP4 content, after 3.4 days."""
    satrec = Satrec()
    satrec.sgp4init(WGS72, "i", 1, 27838.0, 0.01, 0.0, 0.0, 0.001, 0.0, 0.9, 0.0, 0.0695, 0.0)
    return satrec


def steady_satrec() -> Satrec:
    return circular_satrec(START, 0.066, 0.9, 0.0, 0.0)


def test_kepler_returns_after_one_period_and_keeps_energy_and_momentum() -> None:
    r0, v0 = np.array([[7000e3, 0.0, 0.0]]), np.array([[0.0, 6000.0, 6000.0]])
    a = 1 / (2 / 7000e3 - 72e6 / MU)
    period_s = 2 * np.pi * np.sqrt(a**3 / MU)
    t_s = np.linspace(0, period_s, 50)
    r, v = KeplerEphemeris(("s",), r0, v0, MU).states(t_s)
    assert np.abs(r[0, -1] - r0[0]).max() < 1e-3
    energy = (v**2).sum(-1) / 2 - MU / np.linalg.norm(r, axis=-1)
    assert energy[0] == pytest.approx(np.full(50, energy[0, 0]), rel=1e-12)
    assert np.cross(r, v)[0] == pytest.approx(np.tile(np.cross(r0, v0), (50, 1)), rel=1e-12)


def test_kepler_velocity_is_the_derivative_of_position_on_an_eccentric_orbit() -> None:
    ephemeris = KeplerEphemeris(("s",), np.array([[6600e3, 0.0, 0.0]]), np.array([[0.0, 10.2e3, 0.0]]), MU)
    t_s = np.linspace(100.0, 30_000.0, 40)
    ahead, _ = ephemeris.states(t_s + 0.5)
    behind, _ = ephemeris.states(t_s - 0.5)
    _, v = ephemeris.states(t_s)
    assert v == pytest.approx(ahead - behind, abs=2e-3)


def test_sites_match_skyfield_in_teme_axes() -> None:
    """Within 450 m: UTC stands in for UT1 (up to 0.9 s) and polar motion is left out."""
    site = GroundSite("kiruna", 67.8558, 20.2253, 390.0)
    t_s = np.array([0.0, 3600.0, 80_000.0])
    r, v = SiteEphemeris((site,), START).states(t_s)
    scale = load.timescale(builtin=True)
    place = wgs84.latlon(site.latitude_deg, site.longitude_deg, site.altitude_m)
    for k, t in enumerate(t_s):
        expected = place.at(scale.utc(2026, 3, 20, 0, 0, t)).frame_xyz(TEME).m
        assert np.linalg.norm(r[0, k] - expected) < 450.0
    assert np.linalg.norm(v[0], axis=-1) == pytest.approx(np.hypot(r[0, :, 0], r[0, :, 1]) * 7.292115e-5, rel=1e-5)


def test_site_velocity_is_the_derivative_of_position() -> None:
    sites = SiteEphemeris((GroundSite("a", -33.0, 151.0), GroundSite("pole", 90.0, 0.0)), START)
    t_s = np.array([5000.0])
    slope = sites.states(t_s + 1)[0] - sites.states(t_s - 1)[0]
    assert sites.states(t_s)[1] == pytest.approx(slope / 2, abs=1e-5)


def test_geodetic_altitude_is_along_the_normal() -> None:
    low, _ = SiteEphemeris((GroundSite("a", 45.0, 10.0, 0.0),), START).states(np.zeros(1))
    high, _ = SiteEphemeris((GroundSite("a", 45.0, 10.0, 5000.0),), START).states(np.zeros(1))
    assert np.linalg.norm(high - low) == pytest.approx(5000.0)
    assert np.linalg.norm(low) == pytest.approx(6367.489e3, abs=10)  # Vallado: geocentric radius at 45 degrees


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"latitude_deg": 91.0}, "sites.latitude_deg"),
        ({"longitude_deg": 361.0}, "sites.longitude_deg"),
        ({"altitude_m": 1e5}, "sites.altitude_m"),
        ({"terminals": 0}, "sites.terminals"),
    ],
)
def test_bad_sites_are_refused(change: dict[str, float], key: str) -> None:
    with pytest.raises(InputError, match="kiruna") as caught:
        GroundSite(**{"name": "kiruna", "latitude_deg": 67.0, "longitude_deg": 20.0, **change})  # type: ignore[arg-type]
    assert caught.value.key == key


def test_joined_keeps_the_order() -> None:
    satellites = Sgp4Ephemeris(("s",), (steady_satrec(),), START)
    sites = SiteEphemeris((GroundSite("g", 0.0, 0.0), GroundSite("h", 10.0, 0.0)), START)
    both = joined(satellites, sites)
    assert both.names == ("s", "g", "h")
    r, v = both.states(np.array([0.0, 60.0]))
    assert r.shape == v.shape == (3, 2, 3)
    assert (r[1:] == sites.states(np.array([0.0, 60.0]))[0]).all()


def test_first_sgp4_error_names_satellite_and_time() -> None:
    ephemeris = Sgp4Ephemeris(("fine", "falling"), (steady_satrec(), falling_satrec()), START)
    ephemeris.states(np.array([0.0]))
    with pytest.raises(InputError) as caught:
        ephemeris.states(np.arange(0.0, 20 * 86400.0, 600.0))
    assert caught.value.key == "fleet.path"
    assert caught.value.value == "falling"
    assert "SGP4 at 2026-03-23T" in caught.value.problem
    assert "it has decayed" in caught.value.problem
    assert "s after the start" in caught.value.problem


def test_the_earliest_error_is_reported_even_if_times_are_not_sorted() -> None:
    ephemeris = Sgp4Ephemeris(("falling",), (falling_satrec(),), START)
    t_s = np.arange(0.0, 20 * 86400.0, 600.0)
    with pytest.raises(InputError) as forward:
        ephemeris.states(t_s)
    with pytest.raises(InputError) as backward:
        ephemeris.states(t_s[::-1].copy())
    assert forward.value.problem == backward.value.problem


def test_every_satellite_has_a_first_failure_of_its_own() -> None:
    ephemeris = Sgp4Ephemeris(("fine", "a", "b"), (steady_satrec(), falling_satrec(), falling_satrec()), START)
    failures, lowest_m = ephemeris.failures(np.arange(0.0, 20 * 86400.0, 600.0))
    assert [(f.node, f.t_s) for f in failures] == [(1, 294_000.0), (2, 294_000.0)]
    assert {f.why for f in failures} == {"altitude 98 km, it has decayed"}
    assert lowest_m[0] > 500e3
    assert not (lowest_m[1:] > 100e3).any()


def test_states_are_metres_and_asking_again_gives_the_same() -> None:
    ephemeris = Sgp4Ephemeris(("s",), (steady_satrec(),), START)
    r, v = ephemeris.states(np.array([0.0, 60.0]))
    again, _ = ephemeris.states(np.array([0.0, 60.0]))
    assert (r == again).all()
    _, r_km, v_kmps = steady_satrec().sgp4(ephemeris.satrecs[0].jdsatepoch, ephemeris.satrecs[0].jdsatepochF)
    assert r[0, 0] == pytest.approx(np.array(r_km) * 1e3, abs=1e-3)
    assert v[0, 0] == pytest.approx(np.array(v_kmps) * 1e3, abs=1e-6)
