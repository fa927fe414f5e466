from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from orbital_train.orbit.ephemeris import KeplerEphemeris, Sgp4Ephemeris
from orbital_train.orbit.fleet import WalkerSpec, build_fleet
from orbital_train.orbit.grid import StateGrid, sample
from orbital_train.windows import ranges
from orbital_train.windows.links import LinkSpec
from orbital_train.windows.ranges import LinkTimes, largest_range_m, range_m
from orbital_train.windows.rates import PhotonBudget, RateLaw, RateTable, rate_at_bps
from orbital_train.windows.slices import Slices, rate_slices
from tests.sampled import contact_plan

START = datetime(2026, 3, 20, tzinfo=UTC)
MU = 3.986004418e14
MODEM_BPS = 400e9
TABLE = RateTable(range_m=(1500e3, 3000e3, 1e8), rate_bps=(200e9, 100e9, 25e9))


def states() -> StateGrid:
    """Four planes of a Walker star: cross-plane ranges go from hundreds to thousands of kilometres."""
    spec = WalkerSpec(pattern="star", satellites=24, planes=4, phasing=1, altitude_m=1200e3, inclination_deg=87.0)
    fleet = build_fleet(spec, START)
    return sample(Sgp4Ephemeris(fleet.names, fleet.satrecs, START), 20_000.0, 60.0)


def some_links(count: int = 60) -> LinkTimes:
    rng = np.random.default_rng(4)
    start_s = rng.uniform(0.0, 12_000.0, count)
    a = rng.integers(0, 23, count)
    b = rng.integers(a + 1, 24)
    return LinkTimes(a=a, b=b, start_s=start_s, end_s=start_s + rng.uniform(40.0, 7000.0, count))


def fine_bps(grid: StateGrid, links: LinkTimes, law: RateLaw, link: int, t_s: np.ndarray) -> np.ndarray:
    return rate_at_bps(law, MODEM_BPS, range_m(grid, links, np.full(t_s.size, link), t_s))


def rows_of(found: Slices, link: int) -> slice:
    return slice(*np.searchsorted(found.link, [link, link + 1]))


@pytest.mark.parametrize("law", [PhotonBudget(), TABLE])
def test_slices_keep_the_volume_and_the_spread(law: RateLaw) -> None:
    """Volumes to 1e-6 against 4,000 midpoints a slice, rates within 10 % of each other."""
    grid, links = states(), some_links()
    found = rate_slices(grid, links, law, MODEM_BPS, 2e7)
    assert len(found.link) > 80
    midpoints = (np.arange(4000) + 0.5) / 4000
    for k in range(0, len(found.link), 3):
        length_s = found.end_s[k] - found.start_s[k]
        rates_bps = fine_bps(grid, links, law, int(found.link[k]), found.start_s[k] + midpoints * length_s)
        # The midpoints beside a table's step are uncertain by one of 4,000 points.
        assert found.rate_bps[k] == pytest.approx(rates_bps.mean(), rel=1e-6)
        assert rates_bps.max() / rates_bps.min() <= 1.1 + 1e-4


def test_slices_tile_their_link() -> None:
    grid, links = states(), some_links()
    found = rate_slices(grid, links, PhotonBudget(), MODEM_BPS, 2e7)
    for link in range(60):
        rows = rows_of(found, link)
        start_s, end_s = found.start_s[rows], found.end_s[rows]
        assert (start_s[0], end_s[-1]) == (links.start_s[link], links.end_s[link])
        assert (start_s[1:] == end_s[:-1]).all()
        assert (end_s > start_s).all()


def test_a_link_at_the_modems_rate_is_one_slice_at_exactly_that() -> None:
    grid, links = states(), some_links()
    found = rate_slices(grid, links, PhotonBudget(), 1e9, 2e7)
    assert found.link.tolist() == list(range(60))
    assert found.rate_bps == pytest.approx(np.full(60, 1e9), rel=1e-12)
    assert found.range_m == pytest.approx(largest_range_m(grid, links), abs=1.0)


def test_light_time_of_a_slice_is_that_of_its_largest_range() -> None:
    grid, links = states(), some_links(20)
    found = rate_slices(grid, links, PhotonBudget(), MODEM_BPS, 2e7)
    for k in range(len(found.link)):
        t_s = np.linspace(found.start_s[k], found.end_s[k], 1000)
        ranges_m = range_m(grid, links, np.full(1000, found.link[k]), t_s)
        assert found.range_m[k] == pytest.approx(ranges_m.max(), abs=10.0)
        assert found.range_m[k] > ranges_m.max() - 3.0


def test_results_do_not_depend_on_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    grid, links = states(), some_links()
    whole, range_whole_m = rate_slices(grid, links, PhotonBudget(), MODEM_BPS, 2e7), largest_range_m(grid, links)
    monkeypatch.setattr(ranges, "_POINTS", 50)
    parts = rate_slices(grid, links, PhotonBudget(), MODEM_BPS, 2e7)
    assert parts.link.tolist() == whole.link.tolist()
    assert parts.rate_bps == pytest.approx(whole.rate_bps, rel=1e-12)
    assert largest_range_m(grid, links).tolist() == range_whole_m.tolist()


def test_a_close_pass_between_grid_points_is_seen() -> None:
    """Over the pole at 1,200 km, turning at 0.5 degrees a second: the peak lies between points 60 s apart."""
    radius_m = 7078e3
    lag = 1700e3 / radius_m
    speed_mps = np.sqrt(MU / radius_m)
    r_m = radius_m * np.array([[1.0, 0.0, 0.0], [0.0, np.cos(lag), -np.sin(lag)]])
    v_mps = speed_mps * np.array([[0.0, 0.0, 1.0], [0.0, np.sin(lag), np.cos(lag)]])
    grid = sample(KeplerEphemeris(("a", "b"), r_m, v_mps, MU), 3000.0, 60.0)
    links = LinkTimes(a=np.array([0]), b=np.array([1]), start_s=np.array([1000.0]), end_s=np.array([2000.0]))
    found = rate_slices(grid, links, PhotonBudget(), 1e15, 2e7)
    t_s = np.linspace(1000.0, 2000.0, 200_001)
    ranges_m = range_m(grid, links, np.zeros(t_s.size, dtype=np.int64), t_s)
    peak_s = t_s[ranges_m.argmin()]
    assert 1100e3 < ranges_m.min() < 1300e3
    best = int(found.rate_bps.argmax())
    assert found.start_s[best] <= peak_s <= found.end_s[best]
    volume_bits = float((found.rate_bps * (found.end_s - found.start_s)).sum())
    assert volume_bits == pytest.approx(float(PhotonBudget().rate_bps(ranges_m).mean() * 1000.0), rel=1e-5)


def test_contacts_of_a_sliced_link_share_it_and_pay_acquisition_once() -> None:
    spec = WalkerSpec(pattern="star", satellites=24, planes=4, phasing=1, altitude_m=1200e3, inclination_deg=87.0)
    fleet = build_fleet(spec, START)
    links = LinkSpec(
        topology="all_visible", max_range_m=6e6, rate_bps=MODEM_BPS, rate_law=PhotonBudget(), ground_rate_bps=1e9
    )
    plan = contact_plan(fleet, Sgp4Ephemeris(fleet.names, fleet.satrecs, START), (), links, 20_000.0)
    assert len(plan) > 4 * np.unique(plan.link_id).size
    assert (np.diff(plan.start_s) >= 0).all()
    for link in np.unique(plan.link_id).tolist():
        rows = np.flatnonzero(plan.link_id == link)
        one_way, back = rows[plan.source[rows] < plan.dest[rows]], rows[plan.source[rows] > plan.dest[rows]]
        assert plan.start_s[one_way[0]] - plan.acquire_start_s[one_way[0]] == pytest.approx(30.0)
        assert (plan.acquire_start_s[one_way[1:]] == plan.start_s[one_way[1:]]).all()
        assert (plan.start_s[one_way[1:]] == plan.end_s[one_way[:-1]]).all()
        assert (plan.rate_bps[one_way] == plan.rate_bps[back]).all()
        assert np.unique(plan.source_terminal[one_way]).size == 1
