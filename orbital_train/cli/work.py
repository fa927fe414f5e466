"""What the training of a recipe will need, and whether it will do: found before any worker starts."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import psutil
import torch

from orbital_train.config import build
from orbital_train.config.faults import screened
from orbital_train.config.policies import fragments
from orbital_train.config.recipe import Recipe
from orbital_train.errors import InputError, InputWarning
from orbital_train.report import fmt
from orbital_train.schedule.ops.merging import Combine, Merge, Mix
from orbital_train.schedule.ops.nodes import SyncStep
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.wire import sums_have_feedback
from orbital_train.train import estimate
from orbital_train.train.bases import bases
from orbital_train.train.contributions import check_merging
from orbital_train.train.device import CPU, CUDA, Device, choose_device
from orbital_train.train.flat import refuse_too_many
from orbital_train.train.liveness import peak_own, peak_residuals, peak_states, peak_versions
from orbital_train.train.optimizers import check_optimizer
from orbital_train.train.parking import FEWEST
from orbital_train.train.placement import place
from orbital_train.train.problem import build_data
from orbital_train.train.spec import TrainSpec
from orbital_train.train.trial import Trial, shown, try_out

SPARSE_MOMENTUM = 0.5  # see docs/training-wire.md
Imports = tuple[str, ...]  # modules whose functions a recipe may name


def importable(modules: Iterable[str]) -> Imports:
    """Modules that a recipe may name; they are also looked for in the working directory, by Ray's workers too."""
    allowed = tuple(modules)
    if allowed and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return allowed


def check_problem(recipe: Recipe, imports: Imports = ()) -> Trial:
    """Try the recipe's model and data, one shard of it, on this machine.

    Raises:
        InputError: one of them is missing, cannot be built or does not fit the other, there is no such optimizer, or
            the model has fewer tensors than fragments.
    """
    spec = build.train_spec(recipe, imports)
    check_optimizer(spec.inner)
    trial = try_out(spec, timed=_is_local_cpu(recipe, spec))
    refuse_too_many(fragments(recipe.schedule), trial.tensors)
    return trial


def check_work(recipe: Recipe, trace: Trace, imports: Imports = ()) -> None:
    """What a worker would find only once it is started.

    Raises:
        InputError: there are more workers than training nodes, the data are too few for them, the outer optimizer or
            way of merging is not for the policy, or this machine has not the device.
    """
    if recipe.cluster.address is None:
        choose_device(recipe.cluster.device)
    _warn_of_momentum(recipe, trace)
    place(trace.fleet_nodes, recipe.cluster.workers, recipe.cluster.devices_per_node)
    spec = build.train_spec(recipe, imports)
    build_data(spec, trace.fleet_nodes)
    outer = spec.outer.of_fleet(len(trace.fleet_nodes))
    check_merging(outer, sums=any(trace.of_kind(Combine)), gossips=bool(trace.own))


def _warn_of_momentum(recipe: Recipe, trace: Trace) -> None:
    """Error feedback of a sparse codec sends progress again and again, and momentum multiplies it."""
    codec, outer = recipe.workload.codec, recipe.outer
    multiplied = outer.optimizer == "sgd" and outer.momentum > SPARSE_MOMENTUM
    if multiplied and sums_have_feedback(codec) and any(isinstance(op, Merge | Mix) for op in trace.ops):
        problem = (
            f"training may diverge with {codec}, whose error feedback acts as momentum; take 0 to {SPARSE_MOMENTUM}"
        )
        warnings.warn(f"outer.momentum = {outer.momentum!r}: {problem}", InputWarning, stacklevel=2)


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a run takes, by the formulas of ``train/estimate.py``."""

    worker_bytes: int  # of each worker's device
    cut_bytes: int  # of the state of the whole fleet at a cut
    parameters: int  # of the trained model
    nodes: int  # with a replica of their own, on a worker


def needs(recipe: Recipe, trace: Trace, imports: Imports = ()) -> Needs:
    """What the run will take."""
    trial, synchronous = check_problem(recipe, imports), any(trace.of_kind(SyncStep))
    fleet = 0 if synchronous else len(trace.fleet_nodes)
    spec = build.train_spec(recipe, imports)
    nodes = -(-fleet * spec.devices_per_node // recipe.cluster.workers)
    begins_anew, lasting = bases(trace) if screened(recipe) else None, recipe.cluster.on_worker_loss == "dropout"
    versions, own = peak_versions(trace, begins_anew, lasting=lasting), peak_own(trace, begins_anew)
    states, residuals = peak_states(trace), peak_residuals(trace)
    version_vectors = estimate.version_vectors(spec.outer)
    each = estimate.worker_bytes(
        trial.parameters,
        trial.activation_bytes,
        nodes=nodes,
        versions=versions + -(-own * spec.devices_per_node // recipe.cluster.workers),
        version_vectors=version_vectors,
        states=min(states, nodes),
        residuals=residuals,
        synchronous=synchronous,
        devices=spec.devices_per_node,
        sharded=spec.within_node == "fsdp2",
    )
    cut = estimate.checkpoint_bytes(
        trial.parameters,
        nodes=fleet,
        versions=versions + own,
        version_vectors=version_vectors,
        states=states,
        residuals=residuals,
        synchronous=synchronous,
        devices=spec.devices_per_node,
        sharded=spec.within_node == "fsdp2",
    )
    return Needs(worker_bytes=each, cut_bytes=cut, parameters=trial.parameters, nodes=nodes)


def places(recipe: Recipe, needed: Needs) -> int | None:
    """Replicas that a worker has on its GPU at once, since more do not fit; None: all that it hosts.

    On another machine's GPUs, or where nodes span several, it is all.
    """
    cluster = recipe.cluster
    if cluster.address is not None or cluster.devices_per_node > 1 or choose_device(cluster.device).kind == "cpu":
        return None
    fit = estimate.places(needed.worker_bytes, free_bytes(CUDA), needed.parameters, needed.nodes)
    return None if fit is None or needed.nodes <= FEWEST else max(FEWEST, fit)


def estimate_line(recipe: Recipe, trace: Trace, imports: Imports = ()) -> str:
    """What the run will need, before any worker starts.

    Raises:
        InputError: it will not fit into memory (``model``).
    """
    cluster, trial, needed = recipe.cluster, check_problem(recipe, imports), needs(recipe, trace, imports)
    parked = _check_memory(recipe, needed) if cluster.address is None else 0
    steps = sum(a.steps for a in trace.accounts)
    wall_s = _wall_s(recipe, trial, steps)
    workers = f"{cluster.workers} workers"
    if cluster.devices_per_node > 1:
        workers += f", {cluster.devices_per_node} a satellite"
    return (
        f"{recipe.name}: {steps:,} inner steps of {trial.parameters:,} parameters on {workers}; about "
        + ("" if wall_s is None else f"{fmt.duration(wall_s)}, ")
        + f"{needed.worker_bytes / 1e6:.0f} MB a worker beside its libraries{_by_turns(needed, parked)},"
        + f" {estimate.copies_bytes(needed.cut_bytes) / 1e6:.0f} MB for copies of the state,"
        + f" {needed.cut_bytes * (cluster.keep_checkpoints + 1) / 1e6:.0f} MB of disk{_kept_longer(recipe, needed)}"
    )


def _by_turns(needed: Needs, parked: int) -> str:
    """Of replicas that do not all fit onto a GPU."""
    if not parked:
        return ""
    aside = parked * estimate.replica_bytes(needed.parameters) / 1e6
    return f", of which {aside:.0f} MB in host memory: {needed.nodes - parked} of {needed.nodes} replicas fit at a time"


def _kept_longer(recipe: Recipe, needed: Needs) -> str:
    every_h = recipe.cluster.keep_every_h
    return "" if every_h is None else f" and {needed.cut_bytes / 1e6:.0f} MB more every {every_h:g} h"


def free_bytes(device: Device) -> int:
    """Memory that is free: of the GPU, or of this machine for workers on its CPU."""
    return int(torch.cuda.mem_get_info()[0] if device.kind == "cuda" else psutil.virtual_memory().available)


def _check_memory(recipe: Recipe, needed: Needs) -> int:
    """Workers share this machine's memory with the copies of the state, but every one has a GPU of its own.

    Returns:
        Replicas that each worker has to park in host memory.

    Raises:
        InputError: what is needed is not free (``model``).
    """
    device, workers = choose_device(recipe.cluster.device), recipe.cluster.workers
    copies = estimate.copies_bytes(needed.cut_bytes)
    if device.kind == "cpu":
        who = f"{workers} workers and copies of their state"
        _check_free(recipe, needed.worker_bytes * workers + copies, free_bytes(device), who)
        return 0
    fit = places(recipe, needed)
    parked = 0 if fit is None else needed.nodes - fit
    aside = parked * estimate.replica_bytes(needed.parameters)
    _check_free(recipe, needed.worker_bytes - aside, free_bytes(device), "each worker's GPU")
    what = "copies of the state" + (" and replicas in host memory" if parked else "")
    _check_free(recipe, copies + workers * aside, free_bytes(CPU), what)
    return parked


def _check_free(recipe: Recipe, needed: int, free: int, who: str) -> None:
    if needed > free:
        problem = (
            f"needs about {needed / 1e9:.1f} GB for {who} and {free / 1e9:.1f} GB is free;"
            " take a smaller model, or fewer nodes or workers"
        )
        raise InputError("model", shown(build.model_named(recipe)), problem)


def _is_local_cpu(recipe: Recipe, spec: TrainSpec) -> bool:
    """Whether the work is to be done by this machine's CPU."""
    return recipe.cluster.address is None and choose_device(spec.device).kind == "cpu"


def _wall_s(recipe: Recipe, trial: Trial, steps: int) -> float | None:
    """Wall time to expect, from a few steps timed here; None where the work is to be done by other devices."""
    if trial.step_s is None:
        return None
    cluster = recipe.cluster
    at_once = min(cluster.workers, max(1, (os.cpu_count() or 1) // cluster.threads_per_worker))
    return steps * trial.step_s / at_once
