from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from orbital_train.cli import compare as module
from orbital_train.cli.compare import _arms, _flights, arm_values, compare
from orbital_train.cli.work import check_work
from orbital_train.config.tables.cluster import Cluster
from orbital_train.config.tables.compare import BaselineName
from orbital_train.errors import InputError
from orbital_train.windows.plan import LinkKind
from tests import small

ALL: tuple[BaselineName, ...] = (
    "fully_connected",
    "ideal_diloco",
    "fixed_period_blocking",
    "fixed_period_skipping",
    "single_node",
    "local_then_average",
)


def test_seeds_are_paired_across_arms(tmp_path: Path):
    arms = list(_arms(small.recipe(tmp_path, "compare.seeds=3", "seeds.init=7", "seeds.data=20"), ALL))
    assert [arm.name for arm in arms] == ["link_aware", *ALL] * 3
    assert [arm.seed for arm in arms] == [7] * 7 + [8] * 7 + [9] * 7
    assert [(a.recipe.seeds.init, a.recipe.seeds.data) for a in arms[::7]] == [(7, 20), (8, 21), (9, 22)]
    assert all(a.recipe.seeds.data == a.seed + 13 for a in arms)
    assert arms[8].folder == "arms/fully_connected-s8"


def test_arms_differ_in_policy_and_tuned_rates_only(tmp_path: Path):
    tuned = ("compare.arms.ideal_diloco.outer_lr=0.9", "compare.arms.link_aware.inner_lr=0.002")
    recipe = small.recipe(tmp_path, *tuned, "schedule.home=p1s0")
    arms = {arm.name: arm.recipe for arm in _arms(recipe, ALL)}
    assert (arms["ideal_diloco"].outer.lr, arms["ideal_diloco"].inner.lr) == (0.9, 4e-3)
    assert (arms["link_aware"].outer.lr, arms["link_aware"].inner.lr) == (0.7, 2e-3)
    assert (arms["local_then_average"].outer.lr, arms["local_then_average"].outer.momentum) == (1.0, 0.0)
    assert arms["single_node"].cluster.workers == 1
    for other in arms.values():
        assert other.data == recipe.data
        assert other.model == recipe.model
        assert other.inner.model_copy(update={"lr": 0}) == recipe.inner.model_copy(update={"lr": 0})
        assert other.schedule.budget_steps == recipe.schedule.budget_steps
        assert other.workload == recipe.workload


def test_a_single_node_has_all_its_devices(tmp_path: Path):
    recipe = small.recipe(tmp_path, "cluster.workers=4", "cluster.devices_per_node=2")
    (arm,) = [arm for arm in _arms(recipe, ALL) if arm.name == "single_node"]
    assert (arm.recipe.cluster.workers, arm.recipe.cluster.devices_per_node) == (2, 2)


def test_the_recipes_own_arm_is_as_it_is(tmp_path: Path):
    recipe = small.recipe(tmp_path, "schedule.policy=local_then_average", "outer.lr=0.3")
    assert arm_values(recipe, "local_then_average") == {}
    assert [a.name for a in _arms(recipe, ("local_then_average",))] == ["local_then_average"]


def test_every_arm_merges_the_same_budget_in_the_sky_that_it_is_defined_for(tmp_path: Path):
    site = 'ground_sites=[{name="Canberra", latitude_deg=-35.4, longitude_deg=148.98}]'
    recipe = small.recipe(tmp_path, site, "schedule.home=Canberra", "links.ground_rate_gbps=10.0", "cluster.workers=2",
                          "schedule.budget_steps=60", "time.horizon_h=24.0")  # fmt: skip
    arms = list(_arms(recipe, ALL))
    flights = _flights(arms)
    assert list(flights) == ["link_aware", *ALL]
    assert {f.trace.merged_steps for f in flights.values()} == {60}
    assert {n for n, f in flights.items() if f.survey.ideal} == {"fully_connected", "ideal_diloco"}
    real = flights["link_aware"].survey
    for name in ("fixed_period_blocking", "fixed_period_skipping", "local_then_average"):
        assert flights[name].survey is real
    assert flights["single_node"].trace.fleet_nodes == (0,)
    for name in ("fully_connected", "ideal_diloco"):
        plan = flights[name].survey.contacts
        assert all(plan.kind[t.contact] == LinkKind.IDEAL for t in flights[name].trace.transfers)
    for arm in arms:
        check_work(arm.recipe, flights[arm.name].trace)


def test_a_directory_that_others_fill_before_it_is_locked_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out = tmp_path / "out"

    @contextmanager
    def others_are_faster(cluster: Cluster, cut_bytes: int) -> Iterator[None]:
        out.mkdir()
        (out / "comparison.json").write_text("theirs")
        yield

    monkeypatch.setattr(module, "cluster_for", others_are_faster)
    recipe = small.recipe(tmp_path, "schedule.policy=fully_connected")
    with pytest.raises(InputError, match="is not empty"):
        compare(recipe, (), out, resume=False, console=Console(quiet=True))
    assert (out / "comparison.json").read_text() == "theirs"
