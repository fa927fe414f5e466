"""From a recipe to the plain dataclasses that each layer owns. Units become SI here, and only here."""

from __future__ import annotations

from pathlib import Path

from orbital_train.config.recipe import ElementFile, Power, Recipe, SunSynchronous, Walker
from orbital_train.errors import InputError
from orbital_train.orbit.ephemeris import GroundSite
from orbital_train.orbit.fleet import ElementFileSpec, FleetSpec, SunSynchronousSpec, WalkerSpec
from orbital_train.schedule.known import Policy
from orbital_train.schedule.policies.fixed_period import FixedPeriod, FixedPeriodMemory
from orbital_train.schedule.policies.link_aware import LinkAware, LinkAwareMemory
from orbital_train.schedule.power import PowerSpec
from orbital_train.schedule.radiator import RadiatorSpec, training_limit_w
from orbital_train.schedule.throttle import refuse_low_cap, step_time_factor
from orbital_train.schedule.workload import CODECS, Workload
from orbital_train.train.spec import DataSpec, InnerSpec, ModelSpec, OuterSpec, TrainSpec
from orbital_train.windows.light import LightSpec
from orbital_train.windows.links import LinkSpec

ZERO_CELSIUS_K = 273.15


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


def power_spec(recipe: Recipe) -> PowerSpec:
    """The power system of a satellite; its training load is what cap and radiator leave of it.

    Raises:
        InputError: battery thresholds too close to each other, or a cap or a radiator that leaves nothing for training.
    """
    power = recipe.power
    return PowerSpec(
        array_m2=power.array_m2,
        array_efficiency=power.array_efficiency,
        battery_wh=power.battery_wh,
        idle_w=power.idle_w,
        train_w=_train_w(power),
        transmit_w=power.transmit_w,
        depth_of_discharge=power.depth_of_discharge,
        resume_fraction=power.resume_fraction,
        charge_efficiency=power.charge_efficiency,
        discharge_efficiency=power.discharge_efficiency,
    )


def _train_w(power: Power) -> float:
    """What training draws: as given, under its cap, and within what the radiator sheds."""
    static_w = power.train_w * power.train_static_fraction
    drawn_w = power.train_w
    if power.train_cap_w is not None:
        refuse_low_cap(power.train_cap_w, static_w)
        drawn_w = min(drawn_w, power.train_cap_w)
    if power.radiator is not None:
        table = power.radiator
        radiator = RadiatorSpec(
            area_m2=table.area_m2,
            faces=table.faces,
            emissivity=table.emissivity,
            temperature_k=table.temperature_c + ZERO_CELSIUS_K,
            absorbed_w=table.absorbed_w,
        )
        drawn_w = min(drawn_w, training_limit_w(radiator, power.idle_w, static_w))
    return drawn_w


def workload(recipe: Recipe) -> Workload:
    """The flown work.

    Raises:
        InputError: the duration of a step is given twice or not at all, there is no codec of that many bits, or nothing
            is left to train with (see :func:`power_spec`).
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
        step_time_factor=step_time_factor(
            full_w=recipe.power.train_w,
            static_w=recipe.power.train_w * recipe.power.train_static_fraction,
            drawn_w=_train_w(recipe.power),
        ),
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
