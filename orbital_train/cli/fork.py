"""A new run from a checkpoint of another one: the same trace, trained on with other settings."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from orbital_train.cli.checkpoints import check_store, store_of
from orbital_train.cli.folder_cache import file_sha256
from orbital_train.cli.run_directory import MAY_CHANGE, RunDirectory, locked, open_run, recipe_sha256, write_json
from orbital_train.cli.work import Imports, check_problem, check_work
from orbital_train.cluster.failures import reason
from orbital_train.config.load import changed_keys, dump_recipe, load_recipe
from orbital_train.config.recipe import Recipe
from orbital_train.errors import InputError
from orbital_train.train import checkpoint

FORK_MAY_CHANGE = (
    *MAY_CHANGE,
    "cluster.checkpoint_url",
    "cluster.deterministic",
    "cluster.device",
    "cluster.threads_per_worker",
    "data.validation_batches",
    "inner.beta1",
    "inner.beta2",
    "inner.clip_norm",
    "inner.decay_fraction",
    "inner.dtype",
    "inner.lr",
    "inner.min_lr_fraction",
    "inner.rewarm_steps",
    "inner.schedule",
    "inner.warmup_fraction",
    "inner.weight_decay",
    "name",
    "outer.beta1",
    "outer.beta2",
    "outer.clip_norm",
    "outer.eps",
    "outer.lr",
    "outer.momentum",
    "outer.nesterov",
    "outer.pull",
    "outer.trim_fraction",
    "outer.weight_decay",
    "seeds.data",
)
"""Keys that may differ in a fork: none of them changes the trace, or the form of the state."""


def fork(recipe: Recipe, source: str, out: Path, imports: Imports = (), *, resume: bool = False) -> None:
    """Make a run directory that stands at a checkpoint of another run, ready to be resumed.

    Args:
        recipe: of the new run.
        source: ``RUN_DIR``, or ``RUN_DIR@CUT`` for a checkpoint that is not the newest.
        out: the new run directory.
        imports: modules whose functions the recipe may name.
        resume: whether a run is to be continued, which is refused.

    Raises:
        InputError: there is no such checkpoint, or the recipe differs from the other run's in more than it may.
    """
    if resume:
        raise InputError("--fork", source, "starts a new run, and --resume continues one: leave one of them out")
    path, cut = _parsed(source)
    parent, run = RunDirectory(path), RunDirectory(out)
    if not parent.trace.exists():
        raise InputError("--fork", source, "is not a run directory; give one that train wrote, or RUN_DIR@CUT")
    before = load_recipe(parent.recipe)
    changed = _changed(before, recipe)
    check_problem(recipe, imports)
    check_work(recipe, parent.read_trace(), imports)
    check_store(recipe, run)
    with locked(path):
        origin = _checkpoint(before, parent, source, cut)
        values = "".join(f", {key} {old!r} -> {new!r}" for key, old, new in changed)
        note = f"forked from {path} at operation {origin.manifest.cut}{values}"
        with open_run(out, recipe, resume=False):
            _copy(recipe, parent, origin, run, note)


def _parsed(source: str) -> tuple[Path, int | None]:
    path, at, cut = source.rpartition("@")
    return (Path(path), int(cut)) if at and cut.isdecimal() else (Path(source), None)


def _changed(before: Recipe, recipe: Recipe) -> list[tuple[str, Any, Any]]:
    changed = [entry for entry in changed_keys(before, recipe) if not entry[0].startswith("compare.")]
    for key, old, new in changed:
        if key not in FORK_MAY_CHANGE:
            problem = f"the run was made with {old!r}; in a fork only {', '.join(FORK_MAY_CHANGE)} may change"
            raise InputError(key, new, problem)
    return changed


def _checkpoint(before: Recipe, parent: RunDirectory, source: str, cut: int | None) -> checkpoint.Checkpoint:
    store = store_of(before, parent)
    try:
        whole = [each for each in checkpoint.examine(store) if isinstance(each, checkpoint.Checkpoint)]
    except OSError as error:
        raise InputError("--fork", source, f"{store} cannot be read: {reason(error)}") from None
    chosen = [each for each in whole if cut in (None, each.manifest.cut)]
    if not chosen:
        cuts = ", ".join(str(each.manifest.cut) for each in whole)
        where = "" if cut is None else f" at operation {cut}"
        raise InputError("--fork", source, f"holds no whole checkpoint{where}; there are {cuts or 'none'}")
    if chosen[0].manifest.trace_sha256 != file_sha256(parent.trace):
        raise InputError("--fork", source, "its checkpoint belongs to another trace")
    return chosen[0]


def _copy(recipe: Recipe, parent: RunDirectory, origin: checkpoint.Checkpoint, run: RunDirectory, note: str) -> None:
    shutil.copytree(parent.plan, run.plan)
    summary = json.loads(parent.plan_summary.read_text(encoding="utf-8"))
    write_json(run.plan_summary, {**summary, "notes": [*summary["notes"], note]})
    run.recipe.write_text(dump_recipe(recipe), encoding="utf-8")
    with parent.metrics.open("rb") as rows:
        run.metrics.write_bytes(rows.read(origin.manifest.metrics_bytes))
    store = store_of(recipe, run)
    folder = store.begin(origin.manifest.cut)
    for file in origin.manifest.files:
        store.write(folder, file, origin.store.read(origin.name, file))
    manifest = replace(origin.manifest, recipe_sha256=recipe_sha256(recipe), written_s=round(time.time(), 3))
    checkpoint.commit(store, folder, manifest)
    shutil.copyfile(parent.trace, run.path / ".trace.jsonl")
    (run.path / ".trace.jsonl").replace(run.trace)  # last: a directory with a trace has all that a resume needs
