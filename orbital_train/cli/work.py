"""What the training of a recipe will need, and whether it will do: found before any worker starts."""

from __future__ import annotations

import os

import psutil
import torch

from orbital_train.config import build
from orbital_train.config.recipe import Recipe
from orbital_train.errors import InputError
from orbital_train.report import fmt
from orbital_train.schedule.trace import Combine, SyncStep, Trace
from orbital_train.train import estimate
from orbital_train.train.contributions import check_merging
from orbital_train.train.device import Device, choose_device
from orbital_train.train.flat import Layout
from orbital_train.train.liveness import peak_own, peak_states, peak_versions
from orbital_train.train.optimizers import check_optimizer
from orbital_train.train.placement import place
from orbital_train.train.problem import build_data
from orbital_train.train.spec import TrainSpec
from orbital_train.train.trial import Trial, shown, sketch, try_out

Imports = tuple[str, ...]  # modules whose functions a recipe may name


def check_problem(recipe: Recipe, imports: Imports = ()) -> Trial:
    """Try the recipe's model and data, one shard of it, on this machine.

    Raises:
        InputError: one of them is missing, cannot be built or does not fit the other, or there is no such optimizer.
    """
    spec = build.train_spec(recipe, imports)
    check_optimizer(spec.inner)
    return try_out(spec, timed=_is_local_cpu(recipe, spec))


def check_work(recipe: Recipe, trace: Trace, imports: Imports = ()) -> None:
    """What a worker would find only once it is started.

    Raises:
        InputError: there are more workers than training nodes, the data are too few for them, the model has fewer
            tensors than fragments, its outer optimizer or way of merging is not for the policy, or this machine has not
            the device.
    """
    if recipe.cluster.address is None:
        choose_device(recipe.cluster.device)
    place(trace.fleet_nodes, recipe.cluster.workers)
    spec = build.train_spec(recipe, imports)
    data = build_data(spec, trace.fleet_nodes)
    Layout.of(sketch(spec, data), trace.fragments)
    outer = spec.outer.of_fleet(len(trace.fleet_nodes))
    check_merging(outer, sums=any(trace.of_kind(Combine)), gossips=bool(trace.own))


def estimate_line(recipe: Recipe, trace: Trace, imports: Imports = ()) -> str:
    """What the run will need, before any worker starts.

    Raises:
        InputError: it will not fit into memory (``model``).
    """
    cluster, trial, synchronous = recipe.cluster, check_problem(recipe, imports), any(trace.of_kind(SyncStep))
    nodes = 0 if synchronous else -(-len(trace.fleet_nodes) // cluster.workers)
    versions, states, own = peak_versions(trace), peak_states(trace), peak_own(trace)
    version_vectors = estimate.version_vectors(build.train_spec(recipe, imports).outer)
    each = estimate.worker_bytes(
        trial.parameters,
        trial.activation_bytes,
        nodes=nodes,
        versions=versions + -(-own // cluster.workers),
        version_vectors=version_vectors,
        states=min(states, nodes),
        synchronous=synchronous,
    )
    disk = estimate.checkpoint_bytes(
        trial.parameters,
        nodes=len(trace.fleet_nodes),
        versions=versions + own,
        version_vectors=version_vectors,
        states=states,
        synchronous=synchronous,
    )
    if cluster.address is None:
        _check_memory(recipe, each)
    steps = sum(a.steps for a in trace.accounts)
    wall_s = _wall_s(recipe, trial, steps)
    return (
        f"{recipe.name}: {steps:,} inner steps of {trial.parameters:,} parameters on {cluster.workers} workers; about "
        + ("" if wall_s is None else f"{fmt.duration(wall_s)}, ")
        + f"{each / 1e6:.0f} MB a worker beside its libraries, {disk * cluster.keep_checkpoints / 1e6:.0f} MB of disk"
    )


def free_bytes(device: Device) -> int:
    """Memory that is free: of the GPU, or of this machine for workers on its CPU."""
    return int(torch.cuda.mem_get_info()[0] if device.kind == "cuda" else psutil.virtual_memory().available)


def _check_memory(recipe: Recipe, each_bytes: int) -> None:
    """Workers share this machine's memory, but every one has a GPU of its own.

    Raises:
        InputError: ``each_bytes`` for every worker are not free (``model``).
    """
    device = choose_device(recipe.cluster.device)
    workers = 1 if device.kind == "cuda" else recipe.cluster.workers
    needed, free = each_bytes * workers, free_bytes(device)
    if needed > free:
        who = "each worker's GPU" if device.kind == "cuda" else f"{workers} workers"
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
