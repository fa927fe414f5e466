"""A run directory with checkpoints, made in this process and without Ray."""

from __future__ import annotations

import json
from pathlib import Path

from orbital_train.cli.checkpoints import checkpoint_rule
from orbital_train.cli.run_directory import RunDirectory
from orbital_train.cluster.worker import Job, Worker
from orbital_train.config import build
from orbital_train.config.load import load_recipe
from orbital_train.config.recipe import Recipe
from orbital_train.train.checkpoint import Checkpoint, Manifest, commit, library_versions
from tests.unit.cli.command import run as command

CUTS = (40, 80)


def run_halfway(recipe_path: Path, out: Path) -> RunDirectory:
    """The small recipe, planned, trained and then ended after its second checkpoint."""
    assert command("plan", recipe_path, "--out", out).exit_code == 0
    run, recipe = RunDirectory(out), load_recipe(recipe_path)
    worker = Worker(0, 1)
    worker.prepare(Job(trace=run.trace, spec=build.train_spec(recipe)))
    for cut in CUTS:
        save(worker, cut, recipe, run)
    return run


def save(worker: Worker, cut: int, recipe: Recipe, run: RunDirectory) -> Checkpoint:
    rule = checkpoint_rule(recipe, run, run.read_trace())
    worker.open_until(cut, True)
    worker.run()
    run.metrics.touch()
    before = run.metrics.read_text().count("\n")
    with run.metrics.open("a") as metrics:
        metrics.writelines(json.dumps(row, separators=(",", ":")) + "\n" for row in worker.poll(told=before).rows)
    worker.take(True)
    folder = rule.store.begin(cut)
    manifest = Manifest(
        cut=cut,
        recipe_sha256=rule.recipe_sha256,
        trace_sha256=rule.trace_sha256,
        metrics_bytes=run.metrics.stat().st_size,
        written_s=1_774_000_000.0 + 60 * cut,
        versions=library_versions(),
        files=worker.write(rule.store, folder, worker.packed({}), None),
    )
    return commit(rule.store, folder, manifest)


def finish(run: RunDirectory, checkpoint: Checkpoint) -> str | None:
    """Digest of the run's end, from a checkpoint."""
    worker = Worker(0, 1)
    worker.prepare(Job(trace=run.trace, spec=build.train_spec(load_recipe(run.recipe)), checkpoint=checkpoint))
    return worker.run().digest
