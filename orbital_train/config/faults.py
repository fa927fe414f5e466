"""From the recipe's faults, and the clouds over its sites, to the fault plan."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any

from orbital_train.config.recipe import Recipe
from orbital_train.config.tables.faults import Faults, ListedOutage
from orbital_train.errors import InputError
from orbital_train.schedule.fault_draw import YEAR_S, FaultSpec, draw_faults, whole_us
from orbital_train.schedule.faults import BitFlip, FaultPlan, FlipTarget, LinkOutage, Outage, SlowDown
from orbital_train.schedule.radiation import Radiation
from orbital_train.schedule.spells import Spells, clouds
from orbital_train.schedule.wire import encoded_bytes
from orbital_train.windows.plan import ContactPlan

# Of each parameter, as float32: itself, AdamW's two moments, its gradient, the version adopted last; in the store
# itself and the moments.
BITS: dict[FlipTarget, int] = {"parameters": 32, "optimizer": 64, "gradient": 32, "version": 32, "checkpoint": 96}
MOST_FLIPS = 1_000_000


def fault_plan(recipe: Recipe, contacts: ContactPlan, satellites: int, radiation: Radiation | None = None) -> FaultPlan:
    """The faults that are drawn, and those that are listed, of the nodes that are in the contact plan.

    Satellites are the first so many of its nodes. A satellite alone has the faults that it has in its fleet.
    ``radiation`` weighs the bit flips.

    Raises:
        InputError: too many bits would be flipped (``faults.upsets.per_bit_hour``).
    """
    spec = fault_spec(recipe)
    _refuse_too_many_flips(recipe, spec, contacts.horizon_s * satellites)
    drawn = draw_faults(spec, contacts, satellites, radiation)
    listed = _listed(recipe.faults, contacts.node_names)
    return FaultPlan(
        outages=drawn.outages + listed.outages,
        link_outages=drawn.link_outages + listed.link_outages,
        slow_downs=drawn.slow_downs + listed.slow_downs,
        bit_flips=drawn.bit_flips + listed.bit_flips,
    )


def fault_spec(recipe: Recipe) -> FaultSpec:
    """What fails how often."""
    faults = recipe.faults
    return FaultSpec(
        seed=recipe.seeds.faults,
        outages=_spells(faults, faults.outages_per_node_hour, faults.outage_min),
        state_loss_fraction=faults.state_loss_fraction,
        mean_life_s=YEAR_S / faults.losses_per_node_year if faults.losses_per_node_year else float("inf"),
        late_fraction=faults.late_fraction,
        late_within_s=faults.late_within_h * 3600.0,
        link_outages=_spells(faults, faults.link_outages_per_link_hour, faults.link_outage_min),
        missed_acquisition_fraction=faults.missed_acquisition_fraction,
        slow_downs=_spells(faults, faults.slow_downs_per_node_hour, faults.slow_down_min),
        slow_down_factor=faults.slow_down_factor,
        clouds={
            site.name: clouds(site.cloud_fraction, site.cloudy_h * 3600.0)
            for site in recipe.ground_sites
            if site.cloud_fraction > 0
        },
        cloud_seed=recipe.seeds.clouds,
        flips_per_s=flips_per_s(recipe),
    )


def flips_per_s(recipe: Recipe) -> dict[FlipTarget, float]:
    """Of each satellite, by what is hit; of messages while one of the whole model is under way."""
    upsets, parameters = recipe.faults.upsets, exposed_parameters(recipe)
    message_bits = 8 * encoded_bytes(recipe.workload.codec, math.ceil(parameters))
    bits = {target: message_bits if target == "message" else BITS[target] * parameters for target in upsets.targets}
    return {target: upsets.per_bit_hour * bits[target] / 3600.0 for target in bits if upsets.per_bit_hour > 0}


def screened(recipe: Recipe) -> bool:
    """Whether nodes look for corruption of their replicas."""
    upsets, told = recipe.faults.upsets, recipe.screening.enabled
    return bool(upsets.per_bit_hour or upsets.flip) if told is None else told


def exposed_parameters(recipe: Recipe) -> float:
    """Parameters whose bits can be flipped, of each satellite."""
    return recipe.faults.upsets.parameters or recipe.workload.parameters


def _refuse_too_many_flips(recipe: Recipe, spec: FaultSpec, node_s: float) -> None:
    expected = sum(spec.flips_per_s.values()) * node_s
    if expected > MOST_FLIPS:
        problem = f"flips about {expected:.0e} bits of {exposed_parameters(recipe):.2g} parameters in a run"
        problem += f"; accepted are up to {MOST_FLIPS:,}"
        raise InputError("faults.upsets.per_bit_hour", recipe.faults.upsets.per_bit_hour, problem)


def refuse_unknown_nodes(faults: Faults, node_names: Sequence[str]) -> None:
    """Refuse listed faults of nodes that are not there.

    Raises:
        InputError: key ``faults.outage.0.node`` and so on.
    """
    names = {
        **{f"outage.{k}.node": outage.node for k, outage in enumerate(faults.outage)},
        **{f"link_outage.{k}.a": outage.a for k, outage in enumerate(faults.link_outage)},
        **{f"link_outage.{k}.b": outage.b for k, outage in enumerate(faults.link_outage)},
        **{f"slow_down.{k}.node": slow.node for k, slow in enumerate(faults.slow_down)},
        **{f"upsets.flip.{k}.node": flip.node for k, flip in enumerate(faults.upsets.flip)},
    }
    there = {*node_names, None}
    for key, name in names.items():
        if name is not None and name not in there:
            near = sorted(difflib.get_close_matches(name, node_names, n=3)) or node_names[:3]
            problem = f"is no satellite or ground site; accepted is one of {len(node_names)}, as {', '.join(near)}"
            raise InputError(f"faults.{key}", name, problem)


def _spells(faults: Faults, per_hour: float, length_min: float) -> Spells | None:
    if per_hour == 0:
        return None
    fixed = faults.lengths == "fixed"
    return Spells(mean_good_s=3600.0 / per_hour, mean_bad_s=length_min * 60.0, fixed=fixed)


def _listed(faults: Faults, node_names: Sequence[str]) -> FaultPlan:
    node = {name: i for i, name in enumerate(node_names)}
    return FaultPlan(
        outages=tuple(_outage(o, node[o.node]) for o in faults.outage if o.node in node),
        link_outages=tuple(
            LinkOutage(
                a=node[o.a], b=None if o.b is None else node[o.b], **_times_us(o.start_h, o.end_h), cause="listed"
            )
            for o in faults.link_outage
            if o.a in node and (o.b is None or o.b in node)
        ),
        slow_downs=tuple(
            SlowDown(node=node[s.node], **_times_us(s.start_h, s.end_h), factor=s.factor)
            for s in faults.slow_down
            if s.node in node
        ),
        bit_flips=tuple(
            BitFlip(node=node[f.node], at_us=math.floor(f.at_h * 3.6e9), target=f.target, place=f.place, bit=f.bit)
            for f in faults.upsets.flip
            if f.node in node
        ),
    )


def _outage(outage: ListedOutage, node: int) -> Outage:
    late = outage.start_h == 0 and outage.loses_state and outage.end_h is not None
    times: dict[str, Any] = _times_us(outage.start_h, outage.end_h or outage.start_h)
    if outage.end_h is None:
        times["end_us"] = None
    return Outage(node=node, **times, loses_state=outage.loses_state, cause="late" if late else "listed")


def _times_us(start_h: float, end_h: float) -> dict[str, int]:
    return whole_us(start_h * 3600.0, end_h * 3600.0)
