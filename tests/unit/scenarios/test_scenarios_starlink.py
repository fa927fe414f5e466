"""Scenario 5: the file of satellites that do not exist, and what forty of them see of each other."""

from __future__ import annotations

import json
from datetime import datetime

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from orbital_train.config import build
from orbital_train.orbit.fleet import Fleet, build_fleet
from orbital_train.windows.measures import eclipses, open_links_at
from orbital_train.windows.plan import ContactPlan
from tests.scenarios import SNAPSHOT, make_starlink, scenario
from tests.unit.scenarios.skies import DAY_S, sky

RECORDS = json.loads(make_starlink.PATH.read_text(encoding="utf-8"))
EVERY_600_S = np.arange(300.0, DAY_S, 600.0)
REAL = pytest.mark.skipif(not SNAPSHOT.exists(), reason="the Starlink snapshot is not here")
SKIES = ["starlink_40", pytest.param("real_starlink", marks=REAL)]


def field(name: str) -> np.ndarray:
    return np.array([float(record[name]) for record in RECORDS])


def whole_file() -> Fleet:
    recipe = scenario("starlink_40", "fleet.only_planes=[]", "fleet.limit=999", "fleet.spread=false")
    return build_fleet(build.fleet_spec(recipe), recipe.time.start)


def largest_group(plan: ContactPlan, satellites: int, t_s: float) -> int:
    """How many satellites can reach each other at a moment."""
    rows = (plan.start_s <= t_s) & (t_s < plan.end_s)
    ends = plan.source[rows], plan.dest[rows]
    graph = coo_array((np.ones(rows.sum()), ends), shape=(satellites, satellites))
    return int(np.bincount(connected_components(graph)[1]).max())


def test_the_file_is_what_its_generator_makes() -> None:
    assert make_starlink.PATH.read_text(encoding="utf-8") == make_starlink.text()


def test_its_element_sets_have_the_spread_of_real_ones() -> None:
    """Quantiles of CelesTrak's list of May 2024 in brackets, for the upper of the two shells."""
    start = make_starlink.START.replace(tzinfo=None)
    age_h = [(start - datetime.fromisoformat(r["EPOCH"])).total_seconds() / 3600.0 for r in RECORDS]
    assert np.quantile(age_h, [0.0, 0.5, 1.0]) == pytest.approx([4.0, 14.7, 40.0], abs=4.0)  # [4, 15, 40]
    upper = np.abs(field("MEAN_MOTION") - 15.06391) < 0.001
    assert upper.sum() == 151
    assert np.quantile(field("MEAN_MOTION")[upper], [0.05, 0.95]) - 15.06391 == pytest.approx(
        [-1.6e-4, 1.6e-4], abs=5e-5  # [-1.7e-4, 2.7e-4]
    )  # fmt: skip
    assert np.quantile(field("ECCENTRICITY"), [0.05, 0.5, 0.95]) == pytest.approx([1e-4, 1.4e-4, 1.8e-4], abs=1e-5)
    assert field("ARG_OF_PERICENTER").mean() == pytest.approx(92.0, abs=3.0)  # [92]
    assert (field("BSTAR") < 0).mean() == pytest.approx(0.25, abs=0.05)  # [0.2]
    assert field("INCLINATION")[upper].std() == pytest.approx(0.0011, abs=2e-4)  # [0.0011]


def test_its_planes_are_found_with_their_gaps_beside_satellites_on_their_way_up() -> None:
    fleet = whole_file()
    sizes = np.bincount(fleet.plane)
    assert len(fleet) == len(RECORDS) == 312
    assert sizes[:6].tolist() == [1] * 6
    assert sizes[6:14].tolist() == [20, 20, 20, 19, 18, 18, 20, 20]
    assert sizes[14:].tolist() == [19, 18, 21, 20, 18, 19, 20, 16]


@pytest.mark.parametrize("name", SKIES)
def test_forty_satellites_hold_up_to_four_links_and_hand_them_over(name: str) -> None:
    seen = sky(name)
    assert seen.satellites == 40
    opened = open_links_at(seen.contacts, EVERY_600_S)
    assert opened.max() == 4
    assert opened.mean() > 3.75
    lasts_s = seen.contacts.end_s - seen.contacts.start_s
    assert lasts_s.min() >= 60.0
    assert len(lasts_s) > 700
    assert (lasts_s < 300.0).sum() > 50
    assert 1_800.0 < np.median(lasts_s) < 2_400.0
    assert (lasts_s == DAY_S - 30.0).sum() > 50


@pytest.mark.parametrize("name", SKIES)
def test_forty_satellites_are_nearly_always_one_network(name: str) -> None:
    sizes = [largest_group(sky(name).contacts, 40, t_s) for t_s in EVERY_600_S]
    assert min(sizes) >= 34
    assert np.mean(sizes) > 39.9


@pytest.mark.parametrize(
    ("name", "least", "most"), [("starlink_40", 0.22, 0.35), pytest.param("real_starlink", 0.35, 0.38, marks=REAL)]
)
def test_forty_satellites_are_dark_a_third_of_the_time(name: str, least: float, most: float) -> None:
    umbra = eclipses(sky(name).light).umbra
    assert least < umbra.min() < umbra.max() < most
