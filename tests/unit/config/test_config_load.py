import re
from collections.abc import Callable
from pathlib import Path

import pytest

from orbital_train.config.load import changed_keys, dump_recipe, load_plan, load_recipe, with_values
from orbital_train.config.recipe import Recipe, SkyRecipe
from orbital_train.errors import InputError
from tests import small

RECIPES = sorted((Path(__file__).resolve().parents[3] / "recipes").glob("*.toml"))
LAYERED = (
    'fleet={kind="layered", shells=[{planes=3, satellites_per_plane=2, altitude_km=500.0, '
    "inclination_deg=INCLINATION}]}"
)


def refused(folder: Path, *overrides: str, text: str = small.RECIPE) -> InputError:
    with pytest.raises(InputError) as caught:
        load_recipe(small.write_recipe(folder, text), overrides)
    return caught.value


def test_a_default_gives_way_to_the_file_and_the_file_to_an_override(tmp_path: Path):
    path = small.write_recipe(tmp_path)
    recipe = load_recipe(path, ["links.terminals=3"])
    assert (recipe.links.acquisition_s, recipe.links.rate_gbps, recipe.links.terminals) == (30.0, 1.0, 3)
    assert load_recipe(path, ["links.terminals=3", "links.terminals=4"]).links.terminals == 4


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_a_shipped_recipe_is_the_same_after_writing_it_out(path: Path, tmp_path: Path):
    recipe = load_plan(path)
    (tmp_path / "again.toml").write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_plan(tmp_path / "again.toml") == recipe


def test_recipes_ship():
    assert len(RECIPES) >= 2


def test_every_kind_of_fleet_is_the_same_after_writing_it_out(tmp_path: Path):
    fleets = [
        'fleet={kind="walker_star", satellites=6, planes=2, altitude_km=800, inclination_deg=86.4}',
        'fleet={kind="sun_synchronous", satellites=6, altitude_km=500.0, local_time_h=10.5}',
        'fleet={kind="omm", path="elements.json.gz", names=["A*", "B"], limit=3, allow_old=true}',
        'fleet={kind="omm", path="https://celestrak.org/NORAD/elements/gp.php?GROUP=starlink&FORMAT=csv"}',
        'fleet={kind="cluster", altitude_km=650.0, local_time_h=18.0}',
        LAYERED.replace("INCLINATION", '"sun_synchronous"'),
        LAYERED.replace("INCLINATION", "30"),
    ]
    for fleet in fleets:
        recipe = small.recipe(tmp_path, fleet, 'ground_sites=[{name="Oslo", latitude_deg=59.9, longitude_deg=10.8}]')
        (tmp_path / "again.toml").write_text(dump_recipe(recipe), encoding="utf-8")
        assert load_recipe(tmp_path / "again.toml") == recipe


def test_paths_are_taken_from_the_recipes_folder(tmp_path: Path):
    assert small.recipe(tmp_path).data.corpus == str(tmp_path / "corpus.txt")
    assert small.recipe(tmp_path, "data.corpus=plain").data.corpus == str(tmp_path / "plain")
    assert small.recipe(tmp_path, "data.corpus=python-stdlib").data.corpus == "python-stdlib"
    fleet = 'fleet={kind="tle", path="a/b.tle"}'
    assert small.recipe(tmp_path, fleet).fleet.path == str(tmp_path / "a" / "b.tle")
    url = "https://celestrak.org/NORAD/elements/gp.php?GROUP=starlink&FORMAT=tle"
    assert small.recipe(tmp_path, f'fleet={{kind="tle", path="{url}"}}').fleet.path == url
    assert small.recipe(tmp_path, "compare.tuning=grid.json").compare.tuning == str(tmp_path / "grid.json")


@pytest.mark.parametrize(
    ("override", "key", "value", "problem"),
    [
        ("schedule.inner_stepz=5", "schedule.inner_stepz", 5, "unknown key; did you mean inner_steps?"),
        ("fleet.planez=3", "fleet.planez", 3, "unknown key; did you mean planes?"),
        ("modle.width=3", "modle", "a table", "unknown key; did you mean model?"),
        ("seeds.weather=3", "seeds.weather", 3, "unknown key; accepted: init, data, clouds, faults"),
        ("compare.arms.link_aware.inner=1", "compare.arms.link_aware.inner", 1, "unknown key; did you mean inner_lr?"),
        ('ground_sites=[{nam="x"}]', "ground_sites.0.nam", "x", "unknown key; did you mean name?"),
        ("links.terminals=many", "links.terminals", "many", "must be a valid integer"),
        ("links.terminals=2.0", "links.terminals", 2.0, "must be a valid integer"),
        ("links.terminals=true", "links.terminals", True, "must be a valid integer"),
        ('time.horizon_h="12"', "time.horizon_h", "12", "must be a valid number"),
        ("time=12", "time", 12, "must be a table"),
        ("fleet=6", "fleet", 6, "must be a table"),
        ("ground_sites=Oslo", "ground_sites", "Oslo", "must be an array"),
        ("time.horizon_h=0", "time.horizon_h", 0, "must be greater than 0"),
        ("power.battery_wh=nan", "power.battery_wh", None, "must be a finite number"),
        (
            "fleet.spread=true",
            "fleet.spread",
            True,
            "needs a limit: how many satellites are to be spread over the fleet",
        ),
        ("fleet.satellites=100000000", "fleet.satellites", 100_000_000, "must be less than or equal to 10000000"),
        ("fleet.altitude_km=199", "fleet.altitude_km", 199, "must be greater than or equal to 200"),
        ("power.train_w=1e13", "power.train_w", 1e13, "must be less than or equal to 1000000000000"),
        ("workload.step_s=1e-9", "workload.step_s", 1e-9, "must be greater than or equal to 0.000001"),
        ("inner.lr=1e9", "inner.lr", 1e9, "must be less than or equal to 1000"),
        ("links.grazing_altitude_km=201", "links.grazing_altitude_km", 201, "must be less than or equal to 200"),
        ("light.shadow_margin_km=100", "light.shadow_margin_km", 100, "must be less than 100"),
        ("outer.pull=0.4", "outer.pull", 0.4, "must be below 2 (1 - momentum^2) = 0.38, or nodes drive each other"),
        ("schedule.policy=gosip", "schedule.policy", "gosip", "must be 'link_aware', 'fixed_period', "),
        (
            "fleet.kind=ring",
            "fleet.kind",
            "ring",
            "must be one of walker_delta, walker_star, sun_synchronous, layered, cluster, tle, omm",
        ),
        (
            LAYERED.replace("INCLINATION", "181.0"),
            "fleet.shells.0.inclination_deg",
            181.0,
            "must be 0 to 180, or 'sun_synchronous'",
        ),
        (
            LAYERED.replace("INCLINATION", '"polar"'),
            "fleet.shells.0.inclination_deg",
            "polar",
            "must be 0 to 180, or 'sun_synchronous'",
        ),
        (
            LAYERED.replace("INCLINATION", "90, step_km=5.0"),
            "fleet.shells.0.step_km",
            5.0,
            "unknown key; did you mean altitude_step_km?",
        ),
        (
            LAYERED.replace("INCLINATION", "90.0, raan_deg=0.0, local_time_h=6.0"),
            "fleet.shells.0",
            "a table",
            "must give raan_deg or local_time_h, and not both",
        ),
        ('fleet={kind="layered", shells=[]}', "fleet.shells", None, "must not be empty"),
        (
            'fleet={kind="tle", path="a", cache_h=1.0}',
            "fleet.cache_h",
            1.0,
            "must be greater than or equal to 2",
        ),
        ("compare.arms.x.inner_lr=1", "compare.arms.x", "x", "must be 'link_aware', "),
        ("time.start=2026-03-20T00:00:00", "time.start", "2026-03-20T00:00:00", "must be an instant in UTC"),
        (
            "time.start=2026-03-20T00:00:00+02:00",
            "time.start",
            "2026-03-20T00:00:00+02:00",
            "must be an instant in UTC",
        ),
        ("time.start=2026-03-20", "time.start", "2026-03-20", "must be an instant in UTC"),
        ("time.start=0", "time.start", 0, "must be an instant in UTC"),
        ("horizon", "--set", "horizon", "must be key=value"),
        ("=3", "--set", "=3", "must be key=value"),
        ("name.first=3", "--set", "name.first", "name is a value and not a table"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, override: str, key: str, value: object, problem: str):
    error = refused(tmp_path, override)
    assert error.key == key
    assert value is None or (error.value, type(error.value)) == (value, type(value))
    assert error.problem.startswith(problem)
    assert "\n" not in str(error)


def test_what_is_missing_is_named(tmp_path: Path):
    error = refused(tmp_path, text=small.RECIPE.replace("budget_steps = 600\n", ""))
    assert (error.key, error.problem) == ("schedule.budget_steps", "is required and missing")
    error = refused(tmp_path, text=small.RECIPE.replace('kind = "walker_delta"\n', ""))
    assert error.key == "fleet.kind"
    assert error.problem.startswith("is required: one of walker_delta,")
    error = refused(tmp_path, text=re.sub(r"\[power\][^\[]*", "", small.RECIPE))
    assert (error.key, error.problem) == ("power", "is required and missing")


def test_a_sky_alone_can_be_planned_and_not_trained(tmp_path: Path):
    path = small.write_recipe(tmp_path, small.SKY_RECIPE)
    recipe = load_plan(path, ["links.terminals=3"])
    assert type(recipe) is SkyRecipe
    assert (recipe.fleet, recipe.links.terminals) == (small.recipe(tmp_path).fleet, 3)
    assert type(load_plan(small.write_recipe(tmp_path))) is Recipe
    error = refused(tmp_path, text=small.SKY_RECIPE)
    what = "a recipe without it and the other tables of training is for `orbital-train plan` alone"
    assert (error.key, error.value, error.problem) == ("schedule", None, f"is required and missing; {what}")


@pytest.mark.parametrize("load", [load_plan, load_recipe])
@pytest.mark.parametrize(
    ("override", "key", "problem"),
    [
        ("inner.lr=1.0", "power", "is required and missing"),  # a table of training makes it a whole recipe
        ("workload.step_s=1.0", "power", "is required and missing"),
        ("shedule.inner_steps=5", "shedule", "unknown key; did you mean schedule?"),
        ("links.terminals=0", "links.terminals", "must be greater than or equal to 1"),
    ],
)
def test_what_is_wrong_with_a_sky_is_named(
    tmp_path: Path, load: Callable[..., object], override: str, key: str, problem: str
):
    path = small.write_recipe(tmp_path, small.SKY_RECIPE)
    with pytest.raises(InputError) as caught:
        load(path, [override])
    assert caught.value.key == key
    assert caught.value.problem.startswith(problem)


def test_a_misspelt_key_is_named_before_the_key_that_is_missing_for_it(tmp_path: Path):
    error = refused(tmp_path, text=small.RECIPE.replace("budget_steps", "budget_step"))
    assert (error.key, error.problem) == ("schedule.budget_step", "unknown key; did you mean budget_steps?")


def test_files_that_are_no_recipes(tmp_path: Path):
    (tmp_path / "broken.toml").write_text("[time\n", encoding="utf-8")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    problems = {
        tmp_path / "none.toml": "no such file",
        tmp_path: "must be a TOML file",
        tmp_path / "binary.toml": "must be a TOML file",
        tmp_path / "broken.toml" / "x.toml": "must be a TOML file",
        tmp_path / "broken.toml": "is not valid TOML: ",
    }
    for path, problem in problems.items():
        with pytest.raises(InputError) as caught:
            load_recipe(path)
        assert (caught.value.key, caught.value.value) == ("RECIPE", str(path))
        assert caught.value.problem.startswith(problem)


def test_changed_values_are_validated(tmp_path: Path):
    recipe = small.recipe(tmp_path)
    assert with_values(recipe, {"inner.lr": 0.5, "schedule.home": "p0s0"}).schedule.home == "p0s0"
    with pytest.raises(InputError, match=r"inner\.lr"):
        with_values(recipe, {"inner.lr": -0.5})


def test_changed_keys_are_the_leaves_that_differ(tmp_path: Path):
    old = small.recipe(tmp_path)
    new = small.recipe(tmp_path, "inner.lr=0.5", "schedule.home=p0s0", "compare.arms.link_aware.outer_lr=1.0")
    assert changed_keys(old, old) == []
    assert changed_keys(old, new) == [
        ("compare.arms.link_aware.outer_lr", None, 1.0),
        ("inner.lr", 4e-3, 0.5),
        ("schedule.home", None, "p0s0"),
    ]
