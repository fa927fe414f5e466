"""The checkpoints of a run directory: where they are, which of them to go on from, and what stays."""

from __future__ import annotations

import math
import warnings

import numpy as np

from orbital_train.cli.folder_cache import file_sha256
from orbital_train.cli.run_directory import RunDirectory, recipe_sha256
from orbital_train.cluster.cuts import CheckpointRule
from orbital_train.cluster.failures import reason
from orbital_train.config.recipe import Recipe
from orbital_train.errors import InputError, InputWarning
from orbital_train.schedule.trace import Trace
from orbital_train.train import checkpoint
from orbital_train.train.checkpoint_store import Store, store_at

S_PER_H = 3600.0
MERGES = frozenset({"merge", "mix"})  # kinds of operations


def store_of(recipe: Recipe, run: RunDirectory) -> Store:
    """Where the checkpoints of a run are."""
    url = recipe.cluster.checkpoint_url
    return store_at(url and f"{url.rstrip('/')}/{run.name}", run.checkpoints.resolve())


def check_store(recipe: Recipe, run: RunDirectory) -> None:
    """Whether the place for checkpoints can be reached, and is free for a run that has not begun.

    Raises:
        InputError: it cannot, or is not (``cluster.checkpoint_url``).
    """
    store = store_of(recipe, run)
    try:
        names = store.names()
    except OSError as error:
        raise _unreachable(recipe, store, error) from None
    if names and not run.metrics.exists():
        problem = f"{store} holds checkpoints of another run; give --out another name, or remove them"
        raise InputError("cluster.checkpoint_url", recipe.cluster.checkpoint_url, problem)


def checkpoint_rule(recipe: Recipe, run: RunDirectory, trace: Trace) -> CheckpointRule:
    """When a run copies its state, and what stays of it."""
    cluster = recipe.cluster
    every_s = None if cluster.keep_every_h is None else cluster.keep_every_h * S_PER_H
    return CheckpointRule(
        store=store_of(recipe, run),
        every_s=cluster.checkpoint_every_s,
        every_merges=cluster.checkpoint_every_merges,
        merges_below=np.cumsum([0, *(op.kind in MERGES for op in trace.ops)], dtype=np.int64),
        copy_every_s=math.inf if cluster.on_worker_loss == "dropout" else cluster.copy_every_s,
        keep=checkpoint.Keep(last=cluster.keep_checkpoints, every_s=every_s),
        recipe_sha256=recipe_sha256(recipe),
        trace_sha256=file_sha256(run.trace),
    )


def last_checkpoint(run: RunDirectory, rule: CheckpointRule, *, traces: bool = False) -> checkpoint.Checkpoint | None:
    """The newest whole checkpoint; what is passed over, and what may change the bits, is told.

    Args:
        run: of which.
        rule: of its checkpoints.
        traces: the run may have followed another trace before; a checkpoint of that is of no use.

    Raises:
        InputError: it belongs to another run or version of the program, or none can be read.
    """
    try:
        saved, broken = checkpoint.newest_whole(rule.store)
    except OSError as error:
        raise InputError("--out", str(run.path), f"{rule.store} cannot be read: {reason(error)}") from None
    for each in broken:
        _warn(f"{each} is not a whole checkpoint ({each.problem}) and is passed over")
    if saved is None:
        if run.metrics.exists() and run.metrics.stat().st_size:
            _warn(f"{rule.store} holds no whole checkpoint: the run starts again from its beginning")
        return None
    manifest = saved.manifest
    if traces and manifest.recipe_sha256 == rule.recipe_sha256 and manifest.trace_sha256 != rule.trace_sha256:
        _warn(f"{saved} was written before a worker was lost: the run starts again from its beginning, and repeats it")
        return None
    if (manifest.recipe_sha256, manifest.trace_sha256) != (rule.recipe_sha256, rule.trace_sha256):
        raise InputError("--out", str(run.path), "its checkpoint belongs to another recipe or trace")
    if manifest.versions != checkpoint.library_versions():
        other = "with other versions of libraries, or on a CPU with another instruction set"
        _warn(f"{saved} was written {other}; the same bits are not promised")
    return saved


def _unreachable(recipe: Recipe, store: Store, error: OSError) -> InputError:
    url = recipe.cluster.checkpoint_url
    if url is None:
        return InputError("--out", str(store), f"cannot be read: {reason(error)}")
    return InputError("cluster.checkpoint_url", url, f"cannot be reached: {reason(error)}")


def _warn(message: str) -> None:
    warnings.warn(message, InputWarning, stacklevel=3)
