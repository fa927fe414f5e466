from datetime import UTC, datetime
from pathlib import Path

import pytest

from orbital_train.config import build
from orbital_train.config.policies import POLICIES
from orbital_train.errors import InputError, InputWarning
from orbital_train.orbit.cluster import ClusterSpec
from orbital_train.orbit.ephemeris import GroundSite
from orbital_train.orbit.fleet import ElementFileSpec
from orbital_train.orbit.shells import LayeredSpec, ShellSpec, SunSynchronousSpec, WalkerSpec
from orbital_train.schedule.policies.fixed_period import FixedPeriod
from orbital_train.schedule.policies.gossip import Gossip
from orbital_train.schedule.policies.hierarchical import Hierarchical
from orbital_train.schedule.policies.link_aware import LinkAware
from orbital_train.train.spec import Named
from tests import small

NODES = ("p0s0", "p1s0", "Oslo")
FIXED = "schedule.policy=fixed_period"


def test_units_become_si(tmp_path: Path):
    recipe = small.recipe(tmp_path, "links.ground_rate_gbps=1.5", "light.shadow_margin_km=20", "links.terminals=5")
    links = build.link_spec(recipe)
    assert (links.max_range_m, links.rate_bps, links.ground_rate_bps) == (5.4e6, 1e9, 1.5e9)
    assert (links.grazing_altitude_m, links.terminals, links.max_rate_deg_s) == (80e3, 5, 0.3)
    assert build.light_spec(recipe).shadow_margin_m == 20e3
    assert recipe.time.start == datetime(2026, 3, 20, tzinfo=UTC)


def test_every_kind_of_fleet(tmp_path: Path):
    walker = build.fleet_spec(small.recipe(tmp_path))
    assert walker == WalkerSpec(
        pattern="delta", satellites=6, planes=6, phasing=5, altitude_m=800e3, inclination_deg=53.0, raan_deg=0.0
    )
    star = build.fleet_spec(small.recipe(tmp_path, "fleet.kind=walker_star"))
    assert isinstance(star, WalkerSpec)
    assert star.pattern == "star"
    plane = 'fleet={kind="sun_synchronous", satellites=6, altitude_km=500.0, local_time_h=10.5}'
    assert build.fleet_spec(small.recipe(tmp_path, plane)) == SunSynchronousSpec(
        satellites=6, altitude_m=500e3, local_time_h=10.5
    )
    file = 'fleet={kind="omm", path="a.json", names=["A*"], limit=3, spread=true, allow_old=true, drop_failing=true}'
    assert build.fleet_spec(small.recipe(tmp_path, file)) == ElementFileSpec(
        path=tmp_path / "a.json",
        format="omm",
        names=("A*",),
        limit=3,
        spread=True,
        allow_old=True,
        drop_failing=True,
        cache_s=86_400.0,
    )
    url = "https://celestrak.org/NORAD/elements/gp.php?GROUP=starlink&FORMAT=json"
    fetched = f'fleet={{kind="omm", path="{url}", cache_h=6.0, only_planes=[0, 3]}}'
    assert build.fleet_spec(small.recipe(tmp_path, fetched)) == ElementFileSpec(
        path=url, format="omm", only_planes=(0, 3), cache_s=21_600.0
    )


def test_layers_and_clusters(tmp_path: Path):
    high = (
        "{planes=100, satellites_per_plane=300, altitude_km=500.0, altitude_step_km=7.5, local_time_h=6.0, "
        'inclination_deg="sun_synchronous", phasing=0.5, node_spread_deg=180.0}'
    )
    low = "{planes=2, satellites_per_plane=3, altitude_km=600, inclination_deg=30, raan_deg=12.0}"
    fleet = f'fleet={{kind="layered", shells=[{high}, {low}], minimum_separation_km=0.5, limit=8}}'
    assert build.fleet_spec(small.recipe(tmp_path, fleet)) == LayeredSpec(
        shells=(
            ShellSpec(
                planes=100,
                satellites_per_plane=300,
                altitude_m=500e3,
                altitude_step_m=7.5e3,
                inclination_deg=None,
                phasing=0.5,
                node_spread_deg=180.0,
                local_time_h=6.0,
            ),
            ShellSpec(planes=2, satellites_per_plane=3, altitude_m=600e3, inclination_deg=30.0, raan_deg=12.0),
        ),
        minimum_separation_m=500.0,
        limit=8,
    )
    cluster = 'fleet={kind="cluster", altitude_km=650.0, local_time_h=18.0, minimum_separation_m=80.0}'
    assert build.fleet_spec(small.recipe(tmp_path, cluster)) == ClusterSpec(
        satellites=81, spacing_m=100.0, altitude_m=650e3, local_time_h=18.0, minimum_separation_m=80.0
    )


def test_sites(tmp_path: Path):
    site = 'ground_sites=[{name="Oslo", latitude_deg=59.9, longitude_deg=10.8, terminals=2}]'
    assert build.ground_sites(small.recipe(tmp_path, site)) == (
        GroundSite(name="Oslo", latitude_deg=59.9, longitude_deg=10.8, altitude_m=0.0, terminals=2),
    )


def test_a_steps_time_is_given_or_follows_from_the_device(tmp_path: Path):
    assert build.workload(small.recipe(tmp_path)).step_us == 30_000_000
    device = "workload={parameters=1e9, tokens_per_step=1000, device_tflops=100.0, mfu=0.5}"
    assert build.workload(small.recipe(tmp_path, device)).step_us == 120_000  # 6e12 FLOP at 50 TFLOP/s


def test_partial_sums_are_encoded_unless_they_are_to_be_wide(tmp_path: Path):
    assert build.workload(small.recipe(tmp_path)).sum_codec == "bf16"
    assert build.workload(small.recipe(tmp_path, "workload.partial_sums='wide'")).sum_codec == "fp32"


@pytest.mark.parametrize(
    "given",
    [", step_s=1.0, mfu=0.5", ", step_s=1.0, device_tflops=9.0, mfu=0.5", "", ", mfu=0.5", ", device_tflops=9.0"],
)
def test_a_steps_time_is_given_once(tmp_path: Path, given: str):
    recipe = small.recipe(tmp_path, "workload={parameters=1e9, tokens_per_step=1000" + given + "}")
    with pytest.raises(InputError, match="give either step_s, or both device_tflops and mfu") as caught:
        build.workload(recipe)
    assert caught.value.key == "workload"


def test_policies(tmp_path: Path):
    aware = build.policy(small.recipe(tmp_path), NODES)
    assert isinstance(aware, LinkAware)
    assert (aware.min_inner_steps, aware.lookahead_s, aware.adopt) == (10, 21_600.0, "keep")
    fixed = build.policy(small.recipe(tmp_path, FIXED, "schedule.form=skipping", "schedule.home=Oslo"), NODES)
    assert isinstance(fixed, FixedPeriod)
    assert (fixed.inner_steps, fixed.site, fixed.form, fixed.name) == (10, 2, "skipping", "fixed_period")
    once = build.policy(small.recipe(tmp_path, "schedule.policy=local_then_average"), NODES)
    assert isinstance(once, FixedPeriod)
    assert (once.inner_steps, once.site, once.form) == (None, 0, "blocking")
    assert build.policy(small.recipe(tmp_path, "schedule.policy=fully_connected"), NODES) is None


def test_gossip_has_a_seed_of_its_own(tmp_path: Path):
    recipe = small.recipe(tmp_path, "schedule.policy=gossip", "seeds.pairs=3", "schedule.weights=uniform")
    assert build.policy(recipe, NODES) == Gossip(inner_steps=10, seed=3, weights="uniform")


def test_between_groups_a_node_trains_five_times_as_long(tmp_path: Path):
    recipe = small.recipe(tmp_path, "schedule.policy=hierarchical", "schedule.drift_steps=90")
    assert build.policy(recipe, NODES) == Hierarchical(inner_steps=10, between_steps=50, drift_steps=90.0)
    recipe = small.recipe(tmp_path, "schedule.policy=hierarchical", "schedule.between_steps=20")
    assert build.policy(recipe, NODES) == Hierarchical(inner_steps=10, between_steps=20)


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ("gossip", "every node has a model of its own, and there is no global one"),
        ("hierarchical", "all nodes hold the global model, and it chooses where groups meet"),
    ],
)
@pytest.mark.parametrize(("key", "value"), [("home", "p1s0"), ("holders", "fleet")])
def test_sites_that_a_policy_ignores_are_warned_of(tmp_path: Path, policy: str, why: str, key: str, value: str):
    recipe = small.recipe(tmp_path, f"schedule.policy={policy}", f"schedule.{key}={value}")
    with pytest.warns(InputWarning) as caught:
        build.policy(recipe, NODES)
    assert [str(warning.message) for warning in caught] == [f"schedule.{key} = {value!r}: {policy} ignores it: {why}"]


def test_sites_that_are_of_use_or_not_given_are_not_warned_of(tmp_path: Path, recwarn: pytest.WarningsRecorder):
    for policy in POLICIES:
        build.policy(small.recipe(tmp_path, f"schedule.policy={policy}"), NODES)
    build.policy(small.recipe(tmp_path, "schedule.policy=quorum", "schedule.home=p1s0"), NODES)
    assert not recwarn.list


def test_an_unknown_home(tmp_path: Path):
    with pytest.raises(InputError) as caught:
        build.policy(small.recipe(tmp_path, FIXED, "schedule.home=Bergen"), NODES)
    assert str(caught.value) == "schedule.home = 'Bergen': must be one of p0s0, p1s0, Oslo"


def test_what_is_trained(tmp_path: Path):
    spec = build.train_spec(small.recipe(tmp_path, "seeds.init=3", "seeds.data=4", "cluster.threads_per_worker=2"))
    assert (spec.init_seed, spec.data_seed, spec.threads_per_worker, spec.device) == (3, 4, 2, "cpu")
    assert (spec.batch_size, spec.imports) == (2, ())
    assert spec.model == Named(kind="gpt", arguments={"layers": 1, "heads": 2, "width": 16, "context": 16})
    assert spec.data.kind == "text"
    assert spec.data.arguments == {
        "corpus": str(tmp_path / "corpus.txt"),
        "sha256": small.CORPUS_SHA256,
        "validation_fraction": 0.1,
        "validation_batches": 2,
        "shards": "interleaved",
        "context": 16,
    }
    with pytest.raises(InputError, match="must be a multiple of the 2 heads") as caught:
        small.recipe(tmp_path, "model.width=17")
    assert (caught.value.key, caught.value.value) == ("model.width", 17)


def test_sequences_are_as_long_as_the_context_unless_data_says_so(tmp_path: Path):
    def context(*overrides: str) -> int:
        return build.train_spec(small.recipe(tmp_path, *overrides)).data.arguments["context"]

    assert context() == 16
    assert context("data.context=8") == 8
    assert context('model={kind="own.module:function"}') == 64


def test_what_is_not_built_in_has_arguments_of_its_own(tmp_path: Path):
    recipe = small.recipe(
        tmp_path, 'data={kind="own.data:points", arguments={count=3}}', 'model={kind="own.models:line"}'
    )
    spec = build.train_spec(recipe, imports=("own.models",))
    assert spec.model == Named(kind="own.models:line")
    assert spec.data == Named(kind="own.data:points", arguments={"count": 3})
    assert spec.imports == ("own.models",)


def test_optimizers(tmp_path: Path):
    spec = build.train_spec(small.recipe(tmp_path))
    assert (spec.inner.optimizer, spec.inner.schedule, spec.inner.micro_batches) == ("AdamW", "cosine", 1)
    assert (spec.outer.optimizer, spec.outer.delay_merges, spec.outer.merging, spec.outer.clip_norm) == (
        "sgd", 1, "mean", 0.0,
    )  # fmt: skip
    arguments = "inner.arguments={momentum=0.9, nesterov=true, betas=[0.9, 1], kind='a'}"
    spec = build.train_spec(small.recipe(tmp_path, "inner.optimizer=SGD", arguments, "inner.micro_batches=2"))
    assert spec.inner.arguments == {"momentum": 0.9, "nesterov": True, "betas": (0.9, 1), "kind": "a"}
    assert hash(spec) == hash(build.train_spec(small.recipe(tmp_path, "inner.optimizer=SGD", "inner.micro_batches=2")))


@pytest.mark.parametrize("policy", ["policy='fixed_period'", "policy='local_then_average'"])
def test_contributions_stay_apart_where_merging_needs_them_by_themselves(tmp_path: Path, policy: str):
    built = [
        build.policy(small.recipe(tmp_path, f"schedule.{policy}", f"outer.merging={merging}"), NODES)
        for merging in ("mean", "median", "trimmed_mean")
    ]
    assert [plan.apart for plan in built if isinstance(plan, FixedPeriod)] == [False, True, True]


def test_training_draws_what_cap_and_radiator_leave_and_its_steps_take_longer(tmp_path: Path):
    def drawn(*overrides: str) -> tuple[float, int]:
        recipe = small.recipe(tmp_path, *overrides)
        return build.power_spec(recipe).train_w, build.workload(recipe).step_us

    assert drawn() == (700.0, 30_000_000)
    assert drawn("power.train_cap_w=900.0", "power.radiator={area_m2=9.0}") == (700.0, 30_000_000)
    half_clock_w = 210.0 + 490.0 / 8
    assert drawn(f"power.train_cap_w={half_clock_w}") == (half_clock_w, 60_000_000)
    # 1 m2 of black plate at 20 C sheds 837.5 W from both faces, 150 of them idle
    black = "power.radiator={area_m2=1.0, emissivity=1.0, temperature_c=20.0}"
    train_w, step_us = drawn(black)
    assert train_w == pytest.approx(687.5, abs=0.1)
    assert step_us == pytest.approx(30e6 * (490.0 / (train_w - 210.0)) ** (1 / 3), abs=1)
    assert drawn(black, "power.train_cap_w=300.0")[0] == 300.0
    one_face = "power.radiator={area_m2=1.0, emissivity=1.0, temperature_c=40.0, faces=1, absorbed_w=50.0}"
    assert drawn(one_face)[0] == pytest.approx(5.670374e-8 * 313.15**4 - 50.0 - 150.0, abs=0.01)
    device = "workload={parameters=1e9, tokens_per_step=1000, device_tflops=100.0, mfu=0.5}"
    assert drawn(device, f"power.train_cap_w={half_clock_w}")[1] == 240_000


@pytest.mark.parametrize(
    ("policy", "given", "merges"), [("asynchronous", None, None), ("asynchronous", 2, 2), ("quorum", None, 1)]
)
def test_merges_of_one_contribution_each_are_an_outer_step_together(tmp_path, policy, given, merges):
    overrides = [f"schedule.policy={policy}", *([] if given is None else [f"outer.delay_merges={given}"])]
    outer = build.train_spec(small.recipe(tmp_path, *overrides)).outer
    assert outer.delay_merges == merges
    assert outer.of_fleet(6).delay_merges == (merges or 6)
