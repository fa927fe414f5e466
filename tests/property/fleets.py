"""Random small fleets, what may fail in them, and every policy that a recipe can name: what properties are held on."""

from __future__ import annotations

import itertools
import math
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from orbital_train.config import build
from orbital_train.config.policies import POLICIES, fragments
from orbital_train.config.recipe import Recipe
from orbital_train.config.tables.schedule import Schedule
from orbital_train.config.tables.sites import Site
from orbital_train.errors import InputWarning
from orbital_train.schedule.faults import BitFlip, Fault, FaultPlan, LinkOutage, Outage, SlowDown
from orbital_train.schedule.known import Policy
from orbital_train.schedule.scenario import Scenario, StagingSpec
from orbital_train.windows.plan import ContactPlan, Illumination, LinkKind
from tests import small
from tests.unit.schedule.scenarios import POWER, WORKLOAD

S = 1_000_000
HORIZON_S = 7200
FEEBLE = (replace(POWER, array_m2=1.9), replace(POWER, battery_wh=20.0), replace(POWER, array_m2=0.7, battery_wh=60.0))

Arm = tuple[str, str]
ARMS: list[Arm] = [
    (name, form) for name, entry in POLICIES.items() if entry.build for form in entry.forms or ("blocking",)
]


def _each(arms: list[Arm]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("arm", arms, ids=[" ".join(arm) if arm[1] != "blocking" else arm[0] for arm in arms])


every_policy = _each(ARMS)
every_policy_of_one_model = _each([arm for arm in ARMS if arm[0] not in ("gossip", "hierarchical")])


def few(examples: int) -> settings:
    """Always the same examples."""
    return settings(max_examples=examples, deadline=None, derandomize=True)


# -- fleets ---


@st.composite
def fleets(draw: st.DrawFn) -> Scenario:
    """Two to five nodes over two hours, up to two of them relays; some short of power, of links or of terminals."""
    nodes = draw(st.integers(2, 5))
    relays = draw(st.sampled_from([(), (), (1,), (nodes - 1,), (nodes - 2, nodes - 1)][: 2 * nodes - 2]))
    step_s, codec = draw(st.sampled_from([10.0, 7.3, 33.333333])), draw(st.sampled_from(["fp32", "bf16", "int8"]))
    return Scenario(
        contacts=draw(contact_plans(nodes)),
        light=draw(lights(nodes)),
        power=draw(st.sampled_from([POWER, *FEEBLE, None])),
        workload=replace(WORKLOAD, step_s=step_s, codec=codec),
        training_nodes=tuple(i for i in range(nodes) if i not in relays),
        budget_steps=draw(st.integers(1, 900)),
        evaluate_every_steps=draw(st.integers(1, 200)),
        staging=draw(st.sampled_from([None, None, _staging(relays)])),
    )


def _staging(relays: tuple[int, ...]) -> StagingSpec:
    """Up from relays and down to the first, or up from the first node, with data."""
    return StagingSpec(sources=relays or (0,), data_bits=0 if relays else 20_000_000, deliver_to=relays[:1])


@st.composite
def contact_plans(draw: st.DrawFn, nodes: int) -> ContactPlan:
    """Two-way links, for a while or all the time, in slices of their own rates; every terminal has one at a time."""
    rates_bps = st.sampled_from(draw(st.sampled_from([(1e6,), (1e7,), (1e6, 3.3e6, 1e7), (math.inf,)])))
    owlts_s = st.sampled_from(draw(st.sampled_from([(0.02,), (0.0,), (0.001, 0.6)])))
    terminals = range(draw(st.integers(1, 3)))
    free_s: dict[tuple[int, int], int] = {}
    rows: list[tuple[float, ...]] = []
    for link, (start_s, end_s, a, b) in enumerate(sorted(draw(st.lists(_passes(nodes), min_size=1, max_size=14)))):
        ends = [next((t for t in terminals if free_s.get((i, t), 0) <= start_s), None) for i in (a, b)]
        if None in ends:
            continue
        free_s |= {(a, ends[0]): end_s, (b, ends[1]): end_s}
        cuts_s = sorted({start_s, end_s, *draw(st.lists(st.integers(start_s, end_s), max_size=1))})
        for from_s, to_s in itertools.pairwise(cuts_s):
            shared = (link, start_s, draw(rates_bps), draw(owlts_s))
            rows += [(from_s, to_s, a, b, *ends, *shared), (from_s, to_s, b, a, *ends[::-1], *shared)]
    return contact_plan(nodes, rows)


def _passes(nodes: int) -> st.SearchStrategy[tuple[int, int, int, int]]:
    """(start_s, end_s, node, other node)."""
    pairs = st.sampled_from(list(itertools.permutations(range(nodes), 2)))
    times_s = st.tuples(st.integers(0, 6900), st.integers(5, 2500)).map(lambda w: (w[0], min(HORIZON_S, sum(w))))
    return st.tuples(st.one_of(times_s, times_s, st.just((0, HORIZON_S))), pairs).map(lambda p: (*p[0], *p[1]))


def contact_plan(nodes: int, rows: Sequence[tuple[float, ...]]) -> ContactPlan:
    """From rows of (start_s, end_s, source, dest, their terminals, link, its start_s, rate_bps, owlt_s)."""
    columns = np.array(sorted(rows, key=lambda row: row[0]), dtype=np.float64).T
    source, dest, source_terminal, dest_terminal, link = columns[2:7].astype(np.int64)
    return ContactPlan(
        node_names=tuple(f"n{i}" for i in range(nodes)),
        horizon_s=float(HORIZON_S),
        contact_id=np.arange(len(rows)),
        link_id=link,
        source=source,
        dest=dest,
        source_terminal=source_terminal,
        dest_terminal=dest_terminal,
        acquire_start_s=columns[7],
        start_s=columns[0],
        end_s=columns[1],
        rate_bps=columns[8],
        owlt_s=columns[9],
        kind=np.full(len(rows), int(LinkKind.ISL)),
    )


@st.composite
def lights(draw: st.DrawFn, nodes: int) -> Illumination:
    """Up to two nights or twilights a node."""
    cuts = [sorted(draw(st.sets(st.integers(1, HORIZON_S - 1), max_size=4))) for _ in range(nodes)]
    edges = [np.array([0.0, *own, HORIZON_S]) for own in cuts]
    dark = draw(st.sampled_from([0.0, 0.0, 0.3]))
    return Illumination(
        node_names=tuple(f"n{i}" for i in range(nodes)),
        horizon_s=float(HORIZON_S),
        edge_s=tuple(edges),
        fraction=tuple(np.array([dark if k % 2 else 1.0 for k in range(len(edge) - 1)]) for edge in edges),
        sun_distance_au=1.0,
    )


def irregular(fleet: Scenario, seed: int) -> Scenario:
    """The same with odd times and rates, and nodes that start training one after the other: nothing is simultaneous.

    They begin in the dark, with too little in their batteries for one step.
    """
    rng, plan, nodes = np.random.default_rng(seed), fleet.contacts, len(fleet.contacts.node_names)
    later_s, sooner_s, slower, farther_s = rng.uniform(0.0, 0.4, (4, len(plan)))
    nights_s = np.cumsum(np.stack([rng.uniform(*between, nodes) for between in ((5, 900), (900, 4000), (90, 2000))]), 0)
    return replace(
        fleet,
        contacts=replace(
            plan,
            start_s=plan.start_s + later_s,
            end_s=plan.end_s - sooner_s,
            rate_bps=plan.rate_bps * (1.0 - slower),
            owlt_s=plan.owlt_s + 0.1 * farther_s,
        ),
        light=replace(
            fleet.light,
            edge_s=tuple(np.array([0.0, 0.001, *own, HORIZON_S]) for own in nights_s.T),
            fraction=(np.array([1.0, 0.0, 1.0, 0.0, 1.0]),) * nodes,
        ),
        power=replace(POWER, battery_wh=5.0),
        workload=replace(fleet.workload, step_s=3 * fleet.workload.step_s),  # a few hundred steps, not thousands
    )


def reordered(fleet: Scenario, order: Sequence[int]) -> Scenario:
    """The same fleet, with node i in place ``order[i]``, its name and its faults with it."""
    new, old = np.array(order), np.argsort(order)
    plan, light, faults, staging = fleet.contacts, fleet.light, fleet.faults, fleet.staging
    names = tuple(plan.node_names[i] for i in old)
    return replace(
        fleet,
        contacts=replace(plan, node_names=names, source=new[plan.source], dest=new[plan.dest]),
        light=replace(
            light,
            node_names=names,
            edge_s=tuple(light.edge_s[i] for i in old),
            fraction=tuple(light.fraction[i] for i in old),
        ),
        training_nodes=tuple(sorted(order[i] for i in fleet.training_nodes)),
        staging=staging
        and replace(
            staging,
            sources=tuple(order[i] for i in staging.sources),
            deliver_to=tuple(order[i] for i in staging.deliver_to),
        ),
        faults=FaultPlan(
            outages=tuple(replace(o, node=order[o.node]) for o in faults.outages),
            link_outages=tuple(
                replace(o, a=order[o.a], b=None if o.b is None else order[o.b]) for o in faults.link_outages
            ),
            slow_downs=tuple(replace(s, node=order[s.node]) for s in faults.slow_downs),
        ),
    )


# -- policies ---


@st.composite
def schedules(draw: st.DrawFn, arm: Arm, fleet: Scenario) -> Schedule:
    """What a recipe may say."""
    names, inner_steps = fleet.contacts.node_names, draw(st.integers(1, 40))
    relays = len(names) > len(fleet.training_nodes)
    return Schedule(
        policy=arm[0],  # type: ignore[arg-type]
        form=arm[1],  # type: ignore[arg-type]
        budget_steps=fleet.budget_steps,
        inner_steps=inner_steps,
        between_steps=draw(st.sampled_from([None, 1, 7, 40, 90])),
        fragments=draw(st.sampled_from([None, *range(1, min(3, inner_steps) + 1)])),
        weights=draw(st.sampled_from(["tokens", "uniform"])),
        home=draw(st.sampled_from([None, *names])),
        holders=draw(st.sampled_from([None, "ground_sites"] if relays else [None])),
        timeout_s=draw(st.sampled_from([0.0, 75.3, 600.0])),
        overlap_steps=draw(st.integers(0, 12)),
        alpha=draw(st.sampled_from([0.5, 1.0])),
        quorum=draw(st.sampled_from([None, *range(1, len(fleet.training_nodes) + 1)])),
        grace=draw(st.sampled_from([0.0, 0.5, 2.0])),
        adoption=draw(st.sampled_from(["keep", "replace"])),
        max_staleness=draw(st.integers(1, 8)),
        drift_steps=draw(st.sampled_from([20.0, 500.0])),
        lookahead_h=draw(st.sampled_from([0.2, 1.0, 6.0])),
    )


def flown(fleet: Scenario, schedule: Schedule) -> tuple[Scenario, Policy[Any]]:
    """The policy of a schedule, and the fleet with a model in its fragments; who does not train is a ground site."""
    names = fleet.contacts.node_names
    sites = tuple(
        Site(name=name, latitude_deg=0.0, longitude_deg=0.0)
        for i, name in enumerate(names)
        if i not in fleet.training_nodes
    )
    recipe = _recipe()
    links = recipe.links.model_copy(update={"terrestrial_gbps": 10.0})  # all sites may hold what one does
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)  # of sites that the policy has no use for
        policy = build.policy(
            recipe.model_copy(update={"schedule": schedule, "ground_sites": sites, "links": links}), names
        )
    assert policy is not None
    return replace(fleet, workload=replace(fleet.workload, fragments=fragments(schedule))), policy


@cache
def _recipe() -> Recipe:
    with tempfile.TemporaryDirectory() as folder:
        return small.recipe(Path(folder))


# -- faults ---


@st.composite
def fault(draw: st.DrawFn, nodes: int, starts_us: st.SearchStrategy[int], lengths_us: st.SearchStrategy[int]) -> Fault:
    """One of any kind: an outage or the end of a node, a link or all links of a node (clouds), a slow node."""
    node, *others = draw(st.permutations(range(nodes)))
    start_us = draw(starts_us)
    end_us = start_us + draw(lengths_us)
    match draw(st.sampled_from(["outage", "link", "slow"])):
        case "outage":
            for_ever, loses_state, cause = draw(st.booleans()), draw(st.booleans()), draw(st.sampled_from("xy"))
            end = None if for_ever and draw(st.booleans()) else end_us
            return Outage(node=node, start_us=start_us, end_us=end, loses_state=loses_state, cause=cause)
        case "link":
            other = draw(st.sampled_from([others[0], None]))
            return LinkOutage(a=node, b=other, start_us=start_us, end_us=end_us, cause="x")
        case _:
            return SlowDown(node=node, start_us=start_us, end_us=end_us, factor=draw(st.floats(1.0, 4.0)))


def faults(fleet: Scenario, since_s: int = 0) -> st.SearchStrategy[Fault]:
    """One that begins from some time on: at any time, or as a contact does (an acquisition that is missed)."""
    starts_us = st.integers(since_s, HORIZON_S - 100).map(lambda s: s * S)
    opening = sorted({math.ceil(s * S) for s in fleet.contacts.start_s.tolist() if s >= since_s})
    if opening:
        starts_us = st.one_of(starts_us, starts_us, st.sampled_from(opening))
    return fault(len(fleet.contacts.node_names), starts_us, st.integers(1, 2500).map(lambda s: s * S))


def flips(fleet: Scenario, since_s: int = 0) -> st.SearchStrategy[BitFlip]:
    """A bit of a satellite that is flipped from some time on: of a message, if it sends one, more often than others."""
    return st.builds(
        BitFlip,
        node=st.sampled_from(fleet.training_nodes),
        at_us=st.integers(since_s, HORIZON_S - 100).map(lambda s: s * S),
        target=st.sampled_from(["message", "message", "checkpoint", "parameters", "optimizer", "gradient", "version"]),
        place=st.sampled_from([0.0, 0.3, 0.99]),
        bit=st.integers(0, 31),
    )


@st.composite
def fault_plans(draw: st.DrawFn, fleet: Scenario) -> FaultPlan:
    """A few faults; some nodes join late."""
    late = draw(st.sets(st.sampled_from(fleet.training_nodes), max_size=len(fleet.training_nodes) - 1))
    joins = [
        Outage(node=i, start_us=0, end_us=draw(st.integers(1, 4000)) * S, loses_state=True, cause="late")
        for i in sorted(late if draw(st.booleans()) else ())
    ]
    flipped = draw(st.one_of(st.just([]), st.lists(flips(fleet), max_size=30)))
    return plan_of([*joins, *draw(st.lists(faults(fleet), max_size=8)), *flipped])


def plan_of(given: Sequence[Fault]) -> FaultPlan:
    """The plan of these faults."""
    return FaultPlan(
        outages=tuple(f for f in given if isinstance(f, Outage)),
        link_outages=tuple(f for f in given if isinstance(f, LinkOutage)),
        slow_downs=tuple(f for f in given if isinstance(f, SlowDown)),
        bit_flips=tuple(f for f in given if isinstance(f, BitFlip)),
    )


@st.composite
def failing_flights(draw: st.DrawFn, arm: Arm) -> tuple[Scenario, Policy[Any]]:
    """A fleet in which something may fail, and a policy."""
    fleet = draw(fleets())
    return flown(replace(fleet, faults=draw(fault_plans(fleet))), draw(schedules(arm, fleet)))
