"""From a recipe to the plain dataclasses that each layer owns. Units become SI here, and only here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orbital_train.config.faults import screened
from orbital_train.config.policies import POLICIES, Setting, fragments, warn_of_ignored
from orbital_train.config.recipe import Recipe, SkyRecipe
from orbital_train.config.tables.base import Table
from orbital_train.config.tables.data import Tokens
from orbital_train.config.tables.fleet import Choice, ElementFile, Formation, Layered, Shell, SunSynchronous, Walker
from orbital_train.config.tables.links import Links
from orbital_train.config.tables.named import Other
from orbital_train.config.tables.power import Power
from orbital_train.config.tables.sites import Site
from orbital_train.errors import InputError
from orbital_train.orbit.cluster import ClusterSpec
from orbital_train.orbit.download import is_url
from orbital_train.orbit.ephemeris import GroundSite
from orbital_train.orbit.fleet import ElementFileSpec, FleetSpec
from orbital_train.orbit.shells import LayeredSpec, ShellSpec, SunSynchronousSpec, WalkerSpec
from orbital_train.schedule.known import Policy
from orbital_train.schedule.power import PowerSpec
from orbital_train.schedule.radiator import RadiatorSpec, training_limit_w
from orbital_train.schedule.throttle import refuse_low_cap, step_time_factor
from orbital_train.schedule.wire import sums_have_feedback
from orbital_train.schedule.workload import Workload
from orbital_train.train.spec import WHOLE_TENSOR_OPTIMIZERS, InnerSpec, Named, OuterSpec, ScreeningSpec, TrainSpec
from orbital_train.windows.field_of_regard import FieldOfRegard
from orbital_train.windows.incidence import ArrayMount
from orbital_train.windows.light import LightSpec
from orbital_train.windows.links import LinkSpec
from orbital_train.windows.rates import PhotonBudget, RateLaw, RateTable
from orbital_train.windows.sites import GROUND_MASK_DEG, SiteLinkSpec

ZERO_CELSIUS_K = 273.15
USUAL_CONTEXT = 64


def fleet_spec(recipe: SkyRecipe) -> FleetSpec:
    """The constellation."""
    fleet = recipe.fleet
    chosen: dict[str, Any] = fleet.model_dump(include=set(Choice.model_fields))
    match fleet:
        case Walker():
            return WalkerSpec(
                **chosen,
                pattern="delta" if fleet.kind == "walker_delta" else "star",
                satellites=fleet.satellites,
                planes=fleet.planes,
                phasing=fleet.phasing,
                altitude_m=fleet.altitude_km * 1e3,
                inclination_deg=fleet.inclination_deg,
                raan_deg=fleet.raan_deg,
                minimum_separation_m=fleet.minimum_separation_km * 1e3,
            )
        case SunSynchronous():
            return SunSynchronousSpec(
                **chosen,
                satellites=fleet.satellites,
                altitude_m=fleet.altitude_km * 1e3,
                local_time_h=fleet.local_time_h,
                minimum_separation_m=fleet.minimum_separation_km * 1e3,
            )
        case Layered():
            return LayeredSpec(
                **chosen,
                shells=tuple(_shell_spec(shell) for shell in fleet.shells),
                minimum_separation_m=fleet.minimum_separation_km * 1e3,
            )
        case Formation():
            return ClusterSpec(
                **chosen,
                satellites=fleet.satellites,
                spacing_m=fleet.spacing_m,
                altitude_m=fleet.altitude_km * 1e3,
                local_time_h=fleet.local_time_h,
                minimum_separation_m=fleet.minimum_separation_m,
            )
        case ElementFile():
            return ElementFileSpec(
                **chosen,
                path=fleet.path if is_url(fleet.path) else Path(fleet.path),
                format=fleet.kind,
                cache_s=fleet.cache_h * 3600.0,
                allow_old=fleet.allow_old,
                drop_failing=fleet.drop_failing,
            )


def _shell_spec(shell: Shell) -> ShellSpec:
    return ShellSpec(
        planes=shell.planes,
        satellites_per_plane=shell.satellites_per_plane,
        altitude_m=shell.altitude_km * 1e3,
        altitude_step_m=shell.altitude_step_km * 1e3,
        inclination_deg=None if isinstance(shell.inclination_deg, str) else shell.inclination_deg,
        phasing=shell.phasing,
        node_spread_deg=shell.node_spread_deg,
        raan_deg=shell.raan_deg or 0.0,
        local_time_h=shell.local_time_h,
    )


def ground_sites(recipe: SkyRecipe) -> tuple[GroundSite, ...]:
    """The ground sites."""
    names = {"name", "latitude_deg", "longitude_deg", "altitude_m", "terminals"}
    return tuple(GroundSite(**site.model_dump(include=names)) for site in recipe.ground_sites)


def light_spec(recipe: SkyRecipe) -> LightSpec:
    """The shadow of the Earth."""
    return LightSpec(shadow_margin_m=recipe.light.shadow_margin_km * 1e3)


def link_spec(recipe: SkyRecipe) -> LinkSpec:
    """The links.

    Raises:
        InputError: the rate is given by a table and by photons.
    """
    links = recipe.links
    return LinkSpec(
        topology=links.topology,
        pairs=links.pairs,
        max_range_m=links.maximum_range_km * 1e3,
        grazing_altitude_m=links.grazing_altitude_km * 1e3,
        terminals=links.terminals,
        acquisition_s=links.acquisition_s,
        neighbours=links.neighbours,
        minimum_life_s=links.minimum_life_s,
        max_rate_deg_s=links.maximum_rate_deg_s,
        rate_bps=links.rate_gbps * 1e9,
        rate_law=_rate_law(links),
        fields_of_regard=tuple(FieldOfRegard(**field.model_dump()) for field in links.fields_of_regard),
        sun_exclusion_deg=links.sun_exclusion_deg,
        ground_rate_bps=links.ground_rate_gbps * 1e9,
        terrestrial_bps=None if links.terrestrial_gbps is None else links.terrestrial_gbps * 1e9,
        site_links={site.name: _site_links(site, links) for site in recipe.ground_sites},
    )


def _rate_law(links: Links) -> RateLaw | None:
    if links.photons is not None and links.rate_table:
        raise InputError("links.rate_table", f"{len(links.rate_table)} rows", "give this or links.photons, not both")
    if links.photons is not None:
        return PhotonBudget(
            transmit_w=links.photons.transmit_w,
            transmit_aperture_m=links.photons.aperture_cm / 100.0,
            receive_aperture_m=links.photons.aperture_cm / 100.0,
            wavelength_m=links.photons.wavelength_nm / 1e9,
            loss_db=links.photons.loss_db,
            photons_per_bit=links.photons.photons_per_bit,
        )
    if not links.rate_table:
        return None
    range_km, rate_gbps = zip(*links.rate_table, strict=True)
    return RateTable(range_m=tuple(r * 1e3 for r in range_km), rate_bps=tuple(r * 1e9 for r in rate_gbps))


def _site_links(site: Site, links: Links) -> SiteLinkSpec:
    usual_deg = links.ground_mask_deg if links.ground_mask_deg is not None else GROUND_MASK_DEG[site.medium]
    down_gbps = site.rate_gbps or links.ground_rate_gbps
    return SiteLinkSpec(
        medium=site.medium,
        mask_deg=usual_deg if site.mask_deg is None else site.mask_deg,
        down_bps=down_gbps * 1e9,
        up_bps=(site.uplink_gbps or down_gbps) * 1e9,
    )


def contact_plan_path(recipe: SkyRecipe) -> Path | None:
    """The file with the contact plan, if links are not computed."""
    return None if recipe.links.plan is None else Path(recipe.links.plan)


def array_mount(recipe: SkyRecipe) -> ArrayMount:
    """Where arrays face; without a power system that is of no consequence."""
    return recipe.power.array_mount if isinstance(recipe, Recipe) else "tracking"


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
        InputError: the duration of a step is given twice or not at all, nothing is left to train with (see
            :func:`power_spec`), or the run cannot go on without lost workers.
    """
    table = recipe.workload
    if recipe.cluster.on_worker_loss == "dropout":
        _check_dropout(recipe)
    by_device = (table.device_tflops, table.mfu)
    if (table.step_s is None) == (None in by_device) or (table.step_s is not None and by_device != (None, None)):
        given = {
            k: v for k, v in table.model_dump(exclude_none=True).items() if k in ("device_tflops", "mfu", "step_s")
        }
        raise InputError("workload", given, "give either step_s, or both device_tflops and mfu")
    return Workload(
        parameters=table.parameters,
        tokens_per_step=table.tokens_per_step,
        codec=table.codec,
        partial_sums=table.partial_sums,
        device_flops=None if table.device_tflops is None else table.device_tflops * 1e12,
        mfu=table.mfu,
        step_s=table.step_s,
        fragments=fragments(recipe.schedule),
        step_time_factor=step_time_factor(
            full_w=recipe.power.train_w,
            static_w=recipe.power.train_w * recipe.power.train_static_fraction,
            drawn_w=_train_w(recipe.power),
        ),
    )


def policy(recipe: Recipe, node_names: tuple[str, ...]) -> Policy[Any] | None:
    """The sync policy; None is the fully connected baseline, which is not event-driven.

    Of sites that a policy has no use for there is an InputWarning.

    Raises:
        InputError: ``schedule.home`` is not a node or site, there are no ground sites to hold the model, or the quorum
            is above the fleet.
    """
    schedule, build = recipe.schedule, POLICIES[recipe.schedule.policy].build
    if build is None:
        return None
    if schedule.home is not None and schedule.home not in node_names:
        raise InputError("schedule.home", schedule.home, f"must be one of {', '.join(node_names)}")
    warn_of_ignored(schedule)
    ground = {site.name for site in recipe.ground_sites}
    setting = Setting(
        schedule=schedule,
        satellites=sum(name not in ground for name in node_names),
        home=None if schedule.home is None else node_names.index(schedule.home),
        holding=_holding_sites(recipe, node_names),
        joined=recipe.links.terrestrial_gbps is not None,
        pairs_seed=recipe.seeds.pairs,
        apart=recipe.outer.merging != "mean",
    )
    return build(setting)


def _holding_sites(recipe: Recipe, node_names: tuple[str, ...]) -> tuple[int, ...]:
    """Ground sites that hold the global model; none: the fleet does, as where all is ideal and there are no sites."""
    ground = {site.name for site in recipe.ground_sites}
    if recipe.schedule.holders == "ground_sites" and not ground:
        raise InputError("schedule.holders", "ground_sites", "there are none; give ground_sites, or accepted is fleet")
    usual = "ground_sites" if recipe.links.topology == "ground_relay" else "fleet"
    if (recipe.schedule.holders or usual) == "fleet":
        return ()
    return tuple(i for i, name in enumerate(node_names) if name in ground)


def _check_dropout(recipe: Recipe) -> None:
    """Whether the others can do without what goes with a lost worker."""
    codec, policy = recipe.workload.codec, recipe.schedule.policy
    problem = None
    if sums_have_feedback(codec):
        problem = f"loses with a worker what {codec} left out of sums, which others need; take another workload.codec"
    elif policy in ("gossip", "hierarchical"):
        problem = f"is not for {policy}, whose nodes or groups have models of their own; accepted: replay"
    elif recipe.cluster.devices_per_node > 1:
        problem = "is for nodes of one device (cluster.devices_per_node); accepted: replay"
    elif screened(recipe):
        problem = "is not for runs with flipped bits (faults.upsets, screening); accepted: replay"
    if problem is not None:
        raise InputError("cluster.on_worker_loss", "dropout", problem)


def train_spec(recipe: Recipe, imports: tuple[str, ...] = ()) -> TrainSpec:
    """What is trained; ``imports`` are the modules whose functions the recipe may name.

    Raises:
        InputError: the batch is not one of the micro-batches, or of the devices of a node, the inner optimizer needs
            more than a device has, or the policy does not bring contributions apart, as they are to be merged.
    """
    if recipe.inner.batch_size % recipe.inner.micro_batches:
        problem = f"must divide the batch of {recipe.inner.batch_size} evenly"
        raise InputError("inner.micro_batches", recipe.inner.micro_batches, problem)
    if recipe.outer.merging != "mean" and POLICIES[recipe.schedule.policy].sums:
        problem = f"needs every contribution by itself, and {recipe.schedule.policy} adds them up on their way"
        raise InputError("outer.merging", recipe.outer.merging, f"{problem}; accepted: mean, or another policy")
    _check_within_node(recipe)
    inner = recipe.inner.model_dump(exclude={"batch_size", "dtype"})
    return TrainSpec(
        model=model_named(recipe),
        data=data_named(recipe),
        inner=InnerSpec(**inner),
        outer=OuterSpec(**{**recipe.outer.model_dump(), "delay_merges": _delay_merges(recipe)}),
        batch_size=recipe.inner.batch_size,
        init_seed=recipe.seeds.init,
        data_seed=recipe.seeds.data,
        dtype=recipe.inner.dtype,
        screening=ScreeningSpec(norm_factor=recipe.screening.norm_factor) if screened(recipe) else None,
        deterministic=recipe.cluster.deterministic,
        threads_per_worker=recipe.cluster.threads_per_worker,
        device=recipe.cluster.device,
        devices_per_node=recipe.cluster.devices_per_node,
        within_node=recipe.cluster.within_node,
        imports=imports,
    )


def _check_within_node(recipe: Recipe) -> None:
    """Whether the devices of a node can share its work."""
    inner, devices = recipe.inner, recipe.cluster.devices_per_node
    if inner.batch_size % (inner.micro_batches * devices):
        parts = f" of {inner.micro_batches} micro-batches each" if inner.micro_batches > 1 else ""
        problem = f"must divide evenly among the {devices} devices of a node (cluster.devices_per_node){parts}"
        raise InputError("inner.batch_size", inner.batch_size, problem)
    if devices > 1 and recipe.cluster.within_node == "fsdp2" and inner.optimizer in WHOLE_TENSOR_OPTIMIZERS:
        told = "needs whole tensors, and with fsdp2 a device has rows of them"
        problem = f"{told}; accepted: others, or cluster.within_node = data_parallel"
        raise InputError("inner.optimizer", inner.optimizer, problem)
    if devices > 1 and screened(recipe):
        problem = "must be 1 where bits are flipped or nodes look for flipped bits (faults.upsets, screening)"
        raise InputError("cluster.devices_per_node", devices, problem)


def _delay_merges(recipe: Recipe) -> int | None:
    if recipe.outer.delay_merges is None and POLICIES[recipe.schedule.policy].one_by_one:
        return None
    return recipe.outer.delay_merges or 1


def model_named(recipe: Recipe) -> Named:
    """The model's name and arguments."""
    return _named(recipe.model)


def data_named(recipe: Recipe) -> Named:
    """The data's name and arguments; sequences are as long as the model's context if nothing else is said."""
    data = recipe.data
    if isinstance(data, Tokens) and data.context is None:
        data = data.model_copy(update={"context": getattr(recipe.model, "context", USUAL_CONTEXT)})
    return _named(data)


def _named(table: Table) -> Named:
    arguments = table.arguments if isinstance(table, Other) else table.model_dump(exclude={"kind"}, exclude_none=True)
    return Named(kind=table.kind, arguments=arguments)  # type: ignore[attr-defined]
