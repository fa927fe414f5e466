"""From a recipe to the plain dataclasses that each layer owns. Units become SI here, and only here."""

from __future__ import annotations

from pathlib import Path

from orbital_train.config.recipe import ElementFile, Recipe, SunSynchronous, Walker
from orbital_train.errors import InputError
from orbital_train.orbit.ephemeris import GroundSite
from orbital_train.orbit.fleet import ElementFileSpec, FleetSpec, SunSynchronousSpec, WalkerSpec
from orbital_train.schedule.known import Policy
from orbital_train.schedule.policies.fixed_period import FixedPeriod, FixedPeriodMemory
from orbital_train.schedule.policies.link_aware import LinkAware, LinkAwareMemory
from orbital_train.schedule.power import PowerSpec
from orbital_train.schedule.workload import CODECS, Workload
from orbital_train.train.spec import DataSpec, InnerSpec, ModelSpec, OuterSpec, TrainSpec
from orbital_train.windows.light import LightSpec
from orbital_train.windows.links import LinkSpec


def fleet_spec(recipe: Recipe) -> FleetSpec:
    """The constellation."""
    match recipe.fleet:
        case Walker() as walker:
            return WalkerSpec(
                pattern="delta" if walker.kind == "walker_delta" else "star",
                satellites=walker.satellites,
                planes=walker.planes,
                phasing=walker.phasing,
                altitude_m=walker.altitude_km * 1e3,
                inclination_deg=walker.inclination_deg,
                raan_deg=walker.raan_deg,
            )
        case SunSynchronous() as plane:
            return SunSynchronousSpec(
                satellites=plane.satellites, altitude_m=plane.altitude_km * 1e3, local_time_h=plane.local_time_h
            )
        case ElementFile() as file:
            return ElementFileSpec(
                path=Path(file.path), format=file.kind, names=file.names, limit=file.limit, allow_old=file.allow_old
            )


def ground_sites(recipe: Recipe) -> tuple[GroundSite, ...]:
    """The ground sites."""
    return tuple(GroundSite(**site.model_dump()) for site in recipe.ground_sites)


def light_spec(recipe: Recipe) -> LightSpec:
    """The shadow of the Earth."""
    return LightSpec(shadow_margin_m=recipe.light.shadow_margin_km * 1e3)


def link_spec(recipe: Recipe) -> LinkSpec:
    """The links."""
    links = recipe.links
    return LinkSpec(
        topology=links.topology,
        max_range_m=links.maximum_range_km * 1e3,
        grazing_altitude_m=links.grazing_altitude_km * 1e3,
        terminals=links.terminals,
        acquisition_s=links.acquisition_s,
        neighbours=links.neighbours,
        minimum_life_s=links.minimum_life_s,
        max_rate_deg_s=links.maximum_rate_deg_s,
        rate_bps=links.rate_gbps * 1e9,
        ground_mask_deg=links.ground_mask_deg,
        ground_rate_bps=links.ground_rate_gbps * 1e9,
    )


def contact_plan_path(recipe: Recipe) -> Path | None:
    """The file with the contact plan, if links are not computed."""
    return None if recipe.links.plan is None else Path(recipe.links.plan)


def power_spec(recipe: Recipe) -> PowerSpec:
    """The power system of a satellite."""
    return PowerSpec(**recipe.power.model_dump())


def workload(recipe: Recipe) -> Workload:
    """The flown work.

    Raises:
        InputError: the duration of a step is given twice or not at all, or there is no codec of that many bits.
    """
    table = recipe.workload
    by_device = (table.device_tflops, table.mfu)
    if (table.step_s is None) == (None in by_device) or (table.step_s is not None and by_device != (None, None)):
        given = {
            k: v for k, v in table.model_dump(exclude_none=True).items() if k in ("device_tflops", "mfu", "step_s")
        }
        raise InputError("workload", given, "give either step_s, or both device_tflops and mfu")
    if table.bits_per_parameter not in CODECS:
        accepted = " or ".join(f"{bits:g} ({codec})" for bits, codec in CODECS.items())
        raise InputError("workload.bits_per_parameter", table.bits_per_parameter, f"must be {accepted}")
    return Workload(
        parameters=table.parameters,
        tokens_per_step=table.tokens_per_step,
        bits_per_parameter=table.bits_per_parameter,
        device_flops=None if table.device_tflops is None else table.device_tflops * 1e12,
        mfu=table.mfu,
        step_s=table.step_s,
    )


def policy(recipe: Recipe, node_names: tuple[str, ...]) -> Policy[LinkAwareMemory] | Policy[FixedPeriodMemory] | None:
    """The sync policy; None is the fully connected baseline, which is not event-driven.

    Raises:
        InputError: ``schedule.home`` is not a node or site.
    """
    schedule = recipe.schedule
    if schedule.policy == "fully_connected":
        return None
    if schedule.policy == "link_aware":
        return LinkAware(
            min_inner_steps=schedule.inner_steps,
            max_staleness=schedule.max_staleness,
            drift_steps=schedule.drift_steps,
            lookahead_s=schedule.lookahead_h * 3600.0,
            adoption=schedule.adoption,
            weights=schedule.weights,
        )
    if schedule.home is not None and schedule.home not in node_names:
        raise InputError("schedule.home", schedule.home, f"must be one of {', '.join(node_names)}")
    return FixedPeriod(
        inner_steps=schedule.inner_steps if schedule.policy == "fixed_period" else None,
        home=0 if schedule.home is None else node_names.index(schedule.home),
        form=schedule.form if schedule.policy == "fixed_period" else "blocking",
        timeout_s=schedule.timeout_s,
        weights=schedule.weights,
        name=schedule.policy,
    )


def train_spec(recipe: Recipe) -> TrainSpec:
    """What is trained.

    Raises:
        InputError: the width is not a multiple of the heads.
    """
    if recipe.model.width % recipe.model.heads:
        raise InputError("model.width", recipe.model.width, f"must be a multiple of the {recipe.model.heads} heads")
    inner = recipe.inner.model_dump(exclude={"batch_size", "dtype"})
    return TrainSpec(
        model=ModelSpec(**recipe.model.model_dump()),
        data=DataSpec(**recipe.data.model_dump()),
        inner=InnerSpec(**inner),
        outer=OuterSpec(**recipe.outer.model_dump()),
        batch_size=recipe.inner.batch_size,
        init_seed=recipe.seeds.init,
        data_seed=recipe.seeds.data,
        dtype=recipe.inner.dtype,
        deterministic=recipe.cluster.deterministic,
        threads_per_worker=recipe.cluster.threads_per_worker,
        device=recipe.cluster.device,
    )
