"""The light on arrays that do not track the Sun: energy against fine integration, and closed forms."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from orbital_train.orbit.beta import beta_rad, orbit_normals
from orbital_train.orbit.ephemeris import Ephemeris, GroundSite, Sgp4Ephemeris, SiteEphemeris, joined
from orbital_train.orbit.fleet import FleetSpec, SunSynchronousSpec, WalkerSpec, build_fleet
from orbital_train.orbit.grid import sample
from orbital_train.orbit.sun import sun_path, sun_positions_m
from orbital_train.windows.incidence import SLICE_S, ArrayMount, light_on_arrays
from orbital_train.windows.light import LightSpec
from orbital_train.windows.plan import Illumination
from orbital_train.windows.shadow import Occulter, sunlit_fraction
from tests.sampled import illuminate

START = datetime(2026, 3, 20, 14, 46, tzinfo=UTC)
HORIZON_S = 20_000.0
WALKER = WalkerSpec(pattern="delta", satellites=2, planes=2, phasing=0, altitude_m=550e3, inclination_deg=53.0)
DAWN_DUSK = SunSynchronousSpec(satellites=2, altitude_m=650e3, local_time_h=18.0)


def flown(spec: FleetSpec) -> Ephemeris:
    fleet = build_fleet(spec, START)
    return Sgp4Ephemeris(fleet.names, fleet.satrecs, START)


def lights(ephemeris: Ephemeris, mount: ArrayMount, satellites: int = 2) -> tuple[Illumination, Illumination]:
    light = illuminate(ephemeris, satellites, START, HORIZON_S, LightSpec())
    return light, light_on_arrays(sample(ephemeris, light.horizon_s, 60.0), satellites, START, light, mount)


def fine_levels(ephemeris: Ephemeris, mount: ArrayMount, t_s: np.ndarray) -> np.ndarray:
    """Sunlit fraction times cosine at these times, straight from states and Sun, shape (N, T)."""
    r_m, v_mps = ephemeris.states(t_s)
    sun_m = sun_path(START, HORIZON_S)(t_s)
    to_sun = sun_m - r_m
    to_sun /= np.linalg.norm(to_sun, axis=-1, keepdims=True)
    facing = r_m / np.linalg.norm(r_m, axis=-1, keepdims=True) if mount == "zenith" else orbit_normals(r_m, v_mps)
    cosine = (facing * to_sun).sum(-1)
    cosine = np.maximum(cosine, 0.0) if mount == "zenith" else np.abs(cosine)
    return sunlit_fraction(r_m, sun_m, Occulter()) * cosine


@pytest.mark.parametrize("mount", ["zenith", "orbit_normal"])
@pytest.mark.parametrize("spec", [WALKER, DAWN_DUSK], ids=["walker", "dawn-dusk"])
def test_energy_agrees_with_a_fine_integration(spec: FleetSpec, mount: ArrayMount) -> None:
    """Up to every edge of the steps to 0.004 s of full sun, 2e-7 of all. Achieved: 0.002 s (zenith 0.0002)."""
    ephemeris = flown(spec)
    _, light = lights(ephemeris, mount)
    t_s = np.linspace(0.0, HORIZON_S, 20_001)
    level = fine_levels(ephemeris, mount, t_s)
    area_s = np.concatenate([np.zeros((2, 1)), np.cumsum((level[:, 1:] + level[:, :-1]) / 2, axis=1) * t_s[1]], axis=1)
    for i in range(2):
        sliced_s = np.concatenate([[0.0], np.cumsum(light.fraction[i] * np.diff(light.edge_s[i]))])
        assert sliced_s == pytest.approx(np.interp(light.edge_s[i], t_s, area_s[i]), abs=0.004)


def test_a_zenith_array_averages_cos_beta_over_pi() -> None:
    """Half an orbit the Sun is before it, none of it in shadow; the mean of the positive half of a cosine is 1 / pi."""
    ephemeris = flown(WALKER)
    _, light = lights(ephemeris, "zenith")
    r_m, v_mps = ephemeris.states(np.zeros(1))
    cos_beta = np.cos(beta_rad(orbit_normals(r_m, v_mps)[:, 0], sun_positions_m(START, np.zeros(1))))
    for i in range(2):
        night_s = light.edge_s[i][:-1][light.fraction[i] == 0]
        first_s, last_s = night_s[night_s > 0][[0, -1]]  # whole cycles
        inside = (light.edge_s[i][:-1] >= first_s) & (light.edge_s[i][:-1] < last_s)
        mean = (light.fraction[i] * np.diff(light.edge_s[i]))[inside].sum() / (last_s - first_s)
        assert mean == pytest.approx(cos_beta[i] / np.pi, rel=2e-3)  # SGP4's orbit is not quite a circle


def test_an_array_along_the_normal_gets_sin_beta() -> None:
    ephemeris = flown(DAWN_DUSK)
    sunlight, light = lights(ephemeris, "orbit_normal")
    r_m, v_mps = ephemeris.states(np.zeros(1))
    beta = beta_rad(orbit_normals(r_m, v_mps)[:, 0], sun_positions_m(START, np.zeros(1)))
    for i in range(2):
        assert sunlight.fraction[i].tolist() == [1.0]
        assert light.fraction[i] == pytest.approx(np.abs(np.sin(beta[i])), abs=1e-3)
        assert np.diff(light.edge_s[i]).max() <= SLICE_S["orbit_normal"]


def test_a_tracking_array_gets_the_light_as_it_is() -> None:
    light, same = lights(flown(WALKER), "tracking")
    assert same is light


def test_nights_are_one_step_and_sunlight_is_cut() -> None:
    _, light = lights(flown(WALKER), "zenith")
    for edge_s, fraction in zip(light.edge_s, light.fraction, strict=True):
        assert (edge_s[0], edge_s[-1]) == (0.0, HORIZON_S)
        assert (np.diff(edge_s) > 0).all()
        assert not ((fraction[1:] == 0) & (fraction[:-1] == 0)).any()
        lit_s = np.diff(edge_s)[fraction > 0]
        assert lit_s.max() <= SLICE_S["zenith"] + 1e-9
        assert np.diff(edge_s)[fraction == 0].max() > 2500.0  # half an orbit, though the eclipse is shorter
        assert 0 <= fraction.min() <= fraction.max() <= 1


def test_ground_sites_keep_their_light() -> None:
    site = SiteEphemeris((GroundSite("Oslo", 59.9, 10.8),), START)
    _, light = lights(joined(flown(WALKER), site), "zenith")
    assert light.fraction[2].tolist() == [1.0]
    assert light.edge_s[2].tolist() == [0.0, HORIZON_S]
