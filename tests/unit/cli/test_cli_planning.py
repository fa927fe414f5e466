from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from sgp4.io import fix_checksum

from orbital_train.cli.planning import check_scenario, fly, ideal_survey, scenario_of, survey, survey_alone
from orbital_train.errors import InputError, InputWarning
from orbital_train.schedule.faults import NO_FAULTS
from orbital_train.windows.exchange.files import plan_text
from orbital_train.windows.plan import LinkKind
from tests import small

SITE = 'ground_sites=[{name="Canberra", latitude_deg=-35.4, longitude_deg=148.98}]'


def test_a_survey_has_satellites_then_sites(tmp_path: Path):
    sky = survey(small.recipe(tmp_path, SITE))
    assert sky.contacts.node_names == ("p0s0", "p1s0", "p2s0", "p3s0", "p4s0", "p5s0", "Canberra")
    assert (sky.satellites, sky.ideal, sky.notes) == (6, False, ())
    assert set(sky.contacts.kind) == {LinkKind.ISL, LinkKind.GROUND}
    assert sky.period_s == pytest.approx(6052, rel=2e-3)  # 2 pi sqrt(a^3 / mu) at 800 km
    assert sky.contacts.horizon_s == sky.light.horizon_s == 43_200.0


@pytest.mark.parametrize(
    ("fleet", "names"),
    [
        (
            'kind="layered", shells=[{planes=2, satellites_per_plane=10, altitude_km=900, altitude_step_km=5.0, '
            'inclination_deg="sun_synchronous", node_spread_deg=20.0, local_time_h=6.0}], only_planes=[1]',
            [f"p1s{k}" for k in range(10)],
        ),
        (
            'kind="cluster", satellites=5, altitude_km=650.0, local_time_h=18.0',
            ["r0c1", "r1c0", "r1c1", "r1c2", "r2c1"],
        ),
    ],
)
def test_layers_and_clusters_fly(tmp_path: Path, fleet: str, names: list[str]):
    sky = survey(small.recipe(tmp_path, f"fleet={{{fleet}}}", "time.horizon_h=2.0"))
    assert sky.contacts.node_names == tuple(names)
    assert len(sky.contacts) > 0


def test_the_ideal_survey_lasts_for_the_budget(tmp_path: Path):
    recipe = small.recipe(tmp_path, SITE)
    sky = ideal_survey(survey(recipe), recipe)
    assert sky.ideal
    assert sky.contacts.node_names == ("p0s0", "p1s0", "p2s0", "p3s0", "p4s0", "p5s0")
    assert sky.contacts.horizon_s == (100 + 2 * 10) * 30.0 + 1.0
    assert len(sky.contacts) == 30
    assert np.all(sky.contacts.kind == LinkKind.IDEAL)
    assert all(np.all(f == 1.0) for f in sky.light.fraction)


def test_one_satellite_alone_has_its_light_for_longer_and_no_links(tmp_path: Path):
    recipe = small.recipe(tmp_path)
    sky, alone = survey(recipe), survey_alone(recipe, 6)
    assert (alone.satellites, len(alone.contacts), alone.ideal) == (1, 0, False)
    assert alone.light.horizon_s == alone.contacts.horizon_s == 6 * 43_200.0
    ours, its = sky.light.edge_s[0][:-1], alone.light.edge_s[0]
    np.testing.assert_allclose(its[: ours.size], ours, atol=1e-3)
    flight = fly(small.recipe(tmp_path, "schedule.policy=fixed_period"), alone)
    assert (flight.trace.fleet_nodes, flight.trace.merged_steps, flight.trace.transfers) == ((0,), 600, ())


# Its epoch is 2026-03-20T12, 36 hours of horizon for each of 34 satellites make 51 days.
ELEMENT_SET = (
    "ISS",
    fix_checksum("1 25544U 98067A   26079.50000000  .00000000  00000-0  00000-0 0  9990"),
    fix_checksum("2 25544  51.6400 100.0000 0005000  90.0000 270.0000 15.50000000    00"),
)


def test_one_satellite_alone_is_not_flown_on_elements_that_get_too_old(tmp_path: Path):
    (tmp_path / "elements").write_text("\n".join(ELEMENT_SET), encoding="utf-8")
    fleet, horizon = 'fleet={kind="tle", path="elements"}', "time.horizon_h=36.0"
    with pytest.raises(InputError, match=r"ISS is flown 50\.5 days from its epoch.*accepted is 30 days") as caught:
        survey_alone(small.recipe(tmp_path, fleet, horizon), 34)
    assert caught.value.key == "fleet.path"
    allowed = small.recipe(tmp_path, fleet.replace("}", ", allow_old=true}"), horizon)
    with pytest.warns(InputWarning, match=r"ISS is flown 50\.5 days from its epoch"):
        alone = survey_alone(allowed, 34)
    assert len(alone.notes) == 1


def test_the_fully_connected_policy_flies_in_the_ideal_world(tmp_path: Path):
    flight = fly(small.recipe(tmp_path, "schedule.policy=fully_connected"))
    assert flight.survey.ideal
    assert flight.trace.end_us == 100 * 30_000_000


def test_what_is_warned_of_is_noted(tmp_path: Path):
    with pytest.warns(InputWarning) as caught:
        flight = fly(small.recipe(tmp_path, "time.horizon_h=3.0"))
    assert flight.notes == tuple(str(warning.message) for warning in caught)
    assert flight.notes[0] == "time.horizon_h = 3.0: is under two orbits of 1.68 h: few windows change"


def test_faults_belong_to_the_scenario_and_not_to_the_sky(tmp_path: Path):
    cloudy = SITE.replace("}", ", cloud_fraction=0.5, cloudy_h=2.0}")
    listed = 'faults.outage=[{node="p2s0", start_h=1}, {node="p0s0", start_h=2, end_h=3}]'
    clear, recipe = survey(small.recipe(tmp_path, SITE)), small.recipe(tmp_path, cloudy, listed)
    sky = survey(recipe)
    assert sky.contacts.start_s.tolist() == clear.contacts.start_s.tolist()
    assert sky.notes == ()
    faults = scenario_of(recipe, sky).faults
    assert [(o.node, o.cause) for o in faults.outages] == [(2, "listed"), (0, "listed")]
    assert {(o.a, o.b, o.cause) for o in faults.link_outages} == {(6, None, "cloud")}
    assert scenario_of(recipe, ideal_survey(sky, recipe)).faults == NO_FAULTS
    alone = scenario_of(recipe, survey_alone(recipe, 6)).faults
    assert (alone.outages, alone.link_outages) == (faults.outages[1:], ())


def test_faults_of_unknown_nodes_are_refused_with_a_new_survey_and_with_a_kept_one(tmp_path: Path):
    recipe = small.recipe(tmp_path, 'faults.outage=[{node="p9s9", start_h=1}]')
    told = []
    for known in (False, True):
        if known:
            survey(small.recipe(tmp_path))
        with pytest.raises(InputError) as caught:
            survey(recipe)
        told.append(str(caught.value))
    near = "is no satellite or ground site; accepted is one of 6, as p0s0, p1s0, p2s0"
    assert told == [f"faults.outage.0.node = 'p9s9': {near}"] * 2


def test_a_stress_test_is_called_one(tmp_path: Path):
    recipe = small.recipe(tmp_path, "faults.outages_per_node_hour=0.1666666667", "faults.losses_per_node_year=0.2")
    sky = survey(recipe)
    scenario = scenario_of(recipe, sky)
    rates = "1461 outages and 0.2 losses of a satellite a year"
    with pytest.warns(InputWarning) as caught:
        check_scenario(recipe, sky, scenario)
    stress = "is a stress test: a chip in orbit resets about once in three years"
    assert [str(warning.message) for warning in caught] == [f"faults = '{rates}': {stress}"]
    usual = small.recipe(tmp_path, "faults.outages_per_node_hour=4e-5")
    check_scenario(usual, sky, scenario_of(usual, sky))


def test_a_node_without_energy_is_named(tmp_path: Path):
    sky = survey(small.recipe(tmp_path))
    with pytest.raises(InputError, match="never has the energy for one inner step") as caught:
        fly(small.recipe(tmp_path, "power.array_m2=1.0", "workload.step_s=3000.0"), sky)
    assert (caught.value.key, caught.value.value) == ("power", "the whole fleet")


@pytest.mark.parametrize("form", ["ion", "json", "parquet"])
def test_a_plan_from_a_file_is_flown(tmp_path: Path, form: str):
    real = survey(small.recipe(tmp_path, SITE))
    path = tmp_path / f"plan.{form}"
    if form == "parquet":
        real.contacts.write(path)
    else:
        path.write_text(plan_text("ion" if form == "ion" else "hdtn", real.contacts, real_start(tmp_path)))
    recipe = small.recipe(tmp_path, SITE, f"links.plan=plan.{form}", "links.maximum_range_km=1.0")
    flight = fly(recipe)
    contacts = flight.survey.contacts
    assert contacts.node_names == real.contacts.node_names
    assert (contacts.horizon_s, flight.survey.opportunities, flight.notes) == (43_200.0, None, ())
    assert contacts.source.tolist() == real.contacts.source.tolist()
    assert (contacts.kind == real.contacts.kind).all()
    np.testing.assert_allclose(contacts.start_s, real.contacts.start_s, atol=0.0 if form == "parquet" else 1.0)
    assert flight.trace.merged_steps == 600
    assert len(flight.trace.transfers) > 0


def real_start(folder: Path) -> datetime:
    return small.recipe(folder).time.start


def test_a_plan_of_other_nodes_is_told_in_the_recipes_words(tmp_path: Path):
    survey(small.recipe(tmp_path)).contacts.write(tmp_path / "plan.parquet")
    with pytest.raises(InputError) as caught:
        survey(small.recipe(tmp_path, SITE, "links.plan=plan.parquet"))
    assert caught.value.key == "links.plan"
    (tmp_path / "plan.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError) as caught:
        survey(small.recipe(tmp_path, "links.plan=plan.parquet"))
    problem = "is not a whole Parquet file: truncated, damaged or of another kind"
    assert str(caught.value) == f"links.plan = '{tmp_path / 'plan.parquet'}': {problem}"
