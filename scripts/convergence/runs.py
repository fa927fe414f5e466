"""From an arm to its trace, and from a trace, a point of the grid and a seed to a loss."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from orbital_train.cli import planning
from orbital_train.config import build
from orbital_train.config.load import load_recipe, with_values
from orbital_train.config.recipe import Recipe
from orbital_train.errors import InputWarning
from orbital_train.schedule.faults import FaultPlan, SlowDown
from orbital_train.schedule.measures import measure
from orbital_train.schedule.ops.base import Op
from orbital_train.schedule.ops.merging import Merge, Snapshot
from orbital_train.schedule.ops.nodes import Adopt
from orbital_train.schedule.ops.run import Evaluate
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.validate import validate
from scripts.convergence.arms import ROOT, Arm

HALF_SPEED = 2.0
DROP_SEED = 0  # of which contributions are dropped; the same ones with every seed of the training


def recipe_of(arm: Arm) -> Recipe:
    """Its recipe; InputError where there is no such thing yet."""
    return with_values(load_recipe(ROOT / arm.recipe), {"compare.arms": {}, "compare.tuning": None, **arm.values})


def trace_of(arm: Arm) -> Trace:
    """When its nodes train and merge; the same for all points and seeds."""
    recipe = recipe_of(arm)
    sky = planning.survey(recipe)
    if arm.sky == "ideal":
        budget = recipe.schedule.budget_steps * (HALF_SPEED if arm.slow_nodes else 1)
        sky = planning.ideal_survey(sky, with_values(recipe, {"schedule.budget_steps": int(budget)}))
    scenario = planning.scenario_of(recipe, sky)
    if arm.slow_nodes:
        slow = scenario.training_nodes[-arm.slow_nodes :]
        faults = (SlowDown(node=i, start_us=0, end_us=scenario.horizon_us, factor=HALF_SPEED) for i in slow)
        scenario = replace(scenario, faults=FaultPlan(slow_downs=tuple(faults)))
    trace = planning.simulated(recipe, scenario)
    validate(trace, scenario)
    return dropping(trace, arm.dropped) if arm.dropped else trace


def dropping(trace: Trace, fraction: float) -> Trace:
    """The trace of rounds in which contributions are lost at random; one of each round at least gets through.

    As in DiLoCo (arXiv 2311.08105): a node that is not heard goes on from its own parameters in place of the new ones,
    and its next outer gradient leads from the global model of that time to where it is then; all weigh the same.
    """
    lost, missed = _drawn(trace, fraction)
    ops: list[Op] = []
    for op in trace.ops:
        if isinstance(op, Snapshot) and op.value in lost:
            continue
        if isinstance(op, Adopt) and (op.node, op.version) in missed:
            continue
        heard = _without(op, lost) if isinstance(op, Merge) else op
        ops.append(replace(heard, id=len(ops)))
    return replace(trace, ops=tuple(ops))


def _drawn(trace: Trace, fraction: float) -> tuple[set[str], set[tuple[int, int]]]:
    """The outer gradients that are lost, and who is not told of which version."""
    generator = np.random.Generator(np.random.Philox(DROP_SEED))
    lost: set[str] = set()
    missed: set[tuple[int, int]] = set()
    for merge in trace.of_kind(Merge):
        gone = generator.random(len(merge.contributions)) < fraction
        gone[generator.integers(gone.size)] &= not gone.all()
        for contribution, is_gone in zip(merge.contributions, gone, strict=True):
            if is_gone:
                lost.add(contribution.snapshot)
                missed.add((contribution.node, merge.to_version))
    return lost, missed


def _without(merge: Merge, lost: set[str]) -> Merge:
    """The merge of what gets through."""
    heard = [c for c in merge.contributions if c.snapshot not in lost]
    weight = 1.0 / len(heard)
    return replace(
        merge,
        contributions=tuple(replace(c, weight=weight) for c in heard),
        inputs=tuple(c.snapshot for c in heard),
        input_weights=(weight,) * len(heard),
    )


@lru_cache(maxsize=2)
def _prepared(arm: Arm) -> tuple[Recipe, Trace]:
    return recipe_of(arm), trace_of(arm)


def run(arm: Arm, point: dict[str, float], seed: int) -> dict[str, Any]:
    """One run: its validation losses by simulated hours, what it sent in the simulation, and how long it took."""
    from orbital_train.train.run import run_local

    begin_s = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        recipe, trace = _prepared(arm)
        seeded = with_values(recipe, {**point, "seeds.init": seed, "seeds.data": seed})
        result = run_local(trace, build.train_spec(seeded))
    return {
        "point": point,
        "seed": seed,
        "loss": result.losses[-1],
        "curve": [[op.end_us / 3.6e9, loss] for op, loss in zip(trace.of_kind(Evaluate), result.losses, strict=True)],
        "link_bytes": measure(trace).link_bytes,
        "wall_s": round(time.perf_counter() - begin_s, 1),
    }
