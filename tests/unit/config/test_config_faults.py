"""The recipe's faults, in the units of the fault plan."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from orbital_train.config.faults import fault_plan, fault_spec, refuse_unknown_nodes
from orbital_train.config.load import dump_recipe, parse_recipe
from orbital_train.errors import InputError
from orbital_train.schedule.fault_draw import YEAR_S, FaultSpec
from orbital_train.schedule.faults import NO_FAULTS, FaultPlan, LinkOutage, Outage, SlowDown
from orbital_train.schedule.spells import Spells, clouds
from orbital_train.windows.plan import ContactPlan
from tests import small
from tests.unit.schedule.scenarios import contacts, ring

SITES = """ground_sites=[
  {name="n3", latitude_deg=59.9, longitude_deg=10.7},
  {name="Quito", latitude_deg=-0.2, longitude_deg=-78.5, cloud_fraction=0.6, cloudy_h=3.0},
]""".replace("\n", "")
LISTED = (
    'faults.outage=[{node="n1", start_h=1, end_h=2.5, loses_state=true}, {node="n2", start_h=0.5}, '
    '{node="n0", start_h=0, end_h=1, loses_state=true}]',
    'faults.link_outage=[{a="n1", b="n0", start_h=3, end_h=4}, {a="n3", start_h=0, end_h=0.25}]',
    'faults.slow_down=[{node="n0", start_h=2, end_h=3, factor=1.5}]',
)
HOUR_US = 3_600_000_000


def sky(nodes: int = 4) -> ContactPlan:
    return contacts(nodes, ring(nodes, 43_200.0), 43_200.0, 1e9, 0.01)


def test_nothing_fails_by_default(tmp_path: Path) -> None:
    recipe = small.recipe(tmp_path)
    spec = fault_spec(recipe)
    assert not spec.stress
    assert (spec.outages, spec.link_outages, spec.slow_downs, spec.clouds) == (None, None, None, {})
    assert fault_plan(recipe, sky(), 3) == NO_FAULTS


def test_rates_and_lengths_in_seconds(tmp_path: Path) -> None:
    recipe = small.recipe(
        tmp_path,
        SITES,
        "seeds={faults=3, clouds=4}",
        "faults.outages_per_node_hour=0.25",
        "faults.state_loss_fraction=0.5",
        "faults.losses_per_node_year=0.1",
        "faults.late_fraction=0.2",
        "faults.late_within_h=2",
        "faults.link_outages_per_link_hour=0.5",
        "faults.missed_acquisition_fraction=0.01",
        "faults.slow_downs_per_node_hour=1",
    )
    assert fault_spec(recipe) == FaultSpec(
        seed=3,
        outages=Spells(mean_good_s=14_400.0, mean_bad_s=600.0, fixed=True),
        state_loss_fraction=0.5,
        mean_life_s=YEAR_S * 10,
        late_fraction=0.2,
        late_within_s=7200.0,
        link_outages=Spells(mean_good_s=7200.0, mean_bad_s=300.0, fixed=True),
        missed_acquisition_fraction=0.01,
        slow_downs=Spells(mean_good_s=3600.0, mean_bad_s=1200.0, fixed=True),
        slow_down_factor=2.0,
        clouds={"Quito": clouds(0.6, 10_800.0)},
        cloud_seed=4,
    )
    lengths = small.recipe(tmp_path, "faults={lengths='exponential', slow_downs_per_node_hour=2, slow_down_min=3}")
    assert fault_spec(lengths).slow_downs == Spells(mean_good_s=1800.0, mean_bad_s=180.0)


def test_listed_faults(tmp_path: Path) -> None:
    recipe = small.recipe(tmp_path, *LISTED)
    assert fault_plan(recipe, sky(), 3) == FaultPlan(
        outages=(
            Outage(node=0, start_us=0, end_us=HOUR_US, loses_state=True, cause="late"),
            Outage(node=2, start_us=HOUR_US // 2, end_us=None, loses_state=False, cause="listed"),
            Outage(node=1, start_us=HOUR_US, end_us=5 * HOUR_US // 2, loses_state=True, cause="listed"),
        ),
        link_outages=(
            LinkOutage(a=3, b=None, start_us=0, end_us=HOUR_US // 4, cause="listed"),
            LinkOutage(a=0, b=1, start_us=3 * HOUR_US, end_us=4 * HOUR_US, cause="listed"),
        ),
        slow_downs=(SlowDown(node=0, start_us=2 * HOUR_US, end_us=3 * HOUR_US, factor=1.5),),
    )


def test_listed_faults_are_added_to_those_drawn_and_a_satellite_alone_has_its_own(tmp_path: Path) -> None:
    drawn = small.recipe(tmp_path, "faults.outages_per_node_hour=0.5", "faults.slow_downs_per_node_hour=0.5")
    both = small.recipe(tmp_path, "faults.outages_per_node_hour=0.5", "faults.slow_downs_per_node_hour=0.5", *LISTED)
    plan, listed = fault_plan(both, sky(), 3), fault_plan(small.recipe(tmp_path, *LISTED), sky(), 3)
    expected = fault_plan(drawn, sky(), 3)
    assert {o.node for o in expected.outages} == {0, 1, 2}
    for fault in (*listed.outages, *listed.link_outages, *listed.slow_downs):
        expected = expected.with_fault(fault)
    assert plan == expected
    alone = fault_plan(both, contacts(1, [], 43_200.0, 1e9, 0.0), 1)
    assert alone.outages == tuple(o for o in plan.outages if o.node == 0)
    assert alone.slow_downs == tuple(s for s in plan.slow_downs if s.node == 0)
    assert alone.link_outages == ()


def test_a_recipe_with_all_of_it_survives_being_written(tmp_path: Path) -> None:
    recipe = small.recipe(tmp_path, *LISTED, "faults.late_fraction=0.5", "seeds.faults=9")
    assert parse_recipe(tomllib.loads(dump_recipe(recipe))) == recipe


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        (
            'outage=[{node="p0s0", start_h=1}, {node="p0s9", start_h=1}]',
            "faults.outage.1.node = 'p0s9': is no satellite or ground site; accepted is one of 4, as p0s0, p0s1",
        ),
        (
            'link_outage=[{a="p0s0", b="Kiruna", start_h=1, end_h=2}]',
            "faults.link_outage.0.b = 'Kiruna': is no satellite or ground site; accepted is one of 4, as "
            "p0s0, p0s1, Oslo",
        ),
        (
            'link_outage=[{a="Olso", start_h=1, end_h=2}]',
            "faults.link_outage.0.a = 'Olso': is no satellite or ground site; accepted is one of 4, as Oslo",
        ),
        (
            'slow_down=[{node="", start_h=1, end_h=2, factor=2}]',
            "faults.slow_down.0.node = '': is no satellite or ground site; accepted is one of 4, as p0s0, p0s1, Oslo",
        ),
    ],
)
def test_nodes_that_are_not_there_are_refused(tmp_path: Path, listed: str, told: str) -> None:
    names = ("p0s0", "p0s1", "Oslo", "Quito")
    with pytest.raises(InputError) as caught:
        refuse_unknown_nodes(small.recipe(tmp_path, f"faults={{{listed}}}").faults, names)
    assert str(caught.value) == told


def test_nodes_that_are_there_are_not_refused(tmp_path: Path) -> None:
    refuse_unknown_nodes(small.recipe(tmp_path, *LISTED).faults, ("n0", "n1", "n2", "n3"))


@pytest.mark.parametrize(
    ("override", "told"),
    [
        (
            'faults.outage=[{node="a", start_h=2, end_h=2}]',
            "faults.outage.0.end_h = 2: must be after start_h = 2",
        ),
        (
            'faults.link_outage=[{a="a", start_h=2.5, end_h=1}]',
            "faults.link_outage.0.end_h = 1: must be after start_h = 2.5",
        ),
        (
            'faults.link_outage=[{a="a", b="a", start_h=0, end_h=1}]',
            "faults.link_outage.0.b = 'a': must be another node than a",
        ),
        ('faults.link_outage=[{a="a", start_h=1}]', "faults.link_outage.0.end_h = None: is required and missing"),
        (
            'faults.slow_down=[{node="a", start_h=0, end_h=1, factor=0.9}]',
            "faults.slow_down.0.factor = 0.9: must be greater than or equal to 1",
        ),
        (
            'faults.outage=[{node="a", start_h=-1}]',
            "faults.outage.0.start_h = -1: must be greater than or equal to 0",
        ),
        (
            'faults.outage=[{name="a", start_h=0}]',
            "faults.outage.0.name = 'a': unknown key; accepted: node, start_h, end_h, loses_state",
        ),
        ("faults.outages_per_node_hour=-1", "faults.outages_per_node_hour = -1: must be greater than or equal to 0"),
        ("faults.outage_min=0", "faults.outage_min = 0: must be greater than or equal to 0.01"),
        ("faults.losses_per_node_year=-2", "faults.losses_per_node_year = -2: must be greater than or equal to 0"),
        ("faults.state_loss_fraction=1.5", "faults.state_loss_fraction = 1.5: must be less than or equal to 1"),
        ("faults.missed_acquisition_fraction=1", "faults.missed_acquisition_fraction = 1: must be less than 1"),
        ("faults.slow_down_factor=0.5", "faults.slow_down_factor = 0.5: must be greater than or equal to 1"),
        ("faults.lengths=random", "faults.lengths = 'random': must be 'fixed' or 'exponential'"),
        ("seeds.faults=-1", "seeds.faults = -1: must be greater than or equal to 0"),
        ("seeds.clouds=-1", "seeds.clouds = -1: must be greater than or equal to 0"),
        (
            'ground_sites=[{name="O", latitude_deg=0, longitude_deg=0, cloud_fraction=1}]',
            "ground_sites.0.cloud_fraction = 1: must be less than 1",
        ),
        (
            'ground_sites=[{name="O", latitude_deg=0, longitude_deg=0, medium="radio", cloud_fraction=0.5}]',
            "ground_sites.0.cloud_fraction = 0.5: clouds stop only optical sites; leave it out",
        ),
    ],
)
def test_bad_values_are_told(tmp_path: Path, override: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        small.recipe(tmp_path, override)
    assert str(caught.value) == told
