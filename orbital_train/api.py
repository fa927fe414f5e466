"""The commands as functions, for notebooks and programs: docs/python.md. Heavy imports happen inside the functions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from orbital_train.cli.planning import fly
from orbital_train.cli.run_directory import free_directory
from orbital_train.cli.tables import recipes_folder
from orbital_train.config import build
from orbital_train.config.load import put, read_tree, recipe_of
from orbital_train.config.recipe import Recipe, SkyRecipe
from orbital_train.errors import InputError
from orbital_train.report import runs
from orbital_train.schedule.measures import Measures, measure
from orbital_train.schedule.trace import Trace
from orbital_train.train.spec import OuterSpec
from orbital_train.windows.plan import ContactPlan, Illumination

if TYPE_CHECKING:
    from torch import nn

RecipeLike = str | Path | Mapping[str, Any] | SkyRecipe
"""The path of a recipe, the name of one that ships, its content as a dictionary, or a recipe that was read."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a recipe's windows and schedule are; nothing is trained."""

    recipe: Recipe
    trace: Trace
    contacts: ContactPlan
    light: Illumination
    measures: Measures
    notes: tuple[str, ...]  # what to know before believing it

    @property
    def outer(self) -> OuterSpec:
        """The recipe's outer optimizer, for ``follow``."""
        return build.train_spec(self.recipe).outer


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that is finished."""

    path: Path  # its directory
    report: Path  # the HTML file that shows it
    summary: runs.Summary
    losses: tuple[float, ...]  # validation losses of the global model, in the order of the trace
    imports: tuple[str, ...]

    def module(self) -> nn.Module:
        """The model with its final parameters, on the CPU and in evaluation mode."""
        from orbital_train.cli.trained import read_trained

        return read_trained(self.path, self.imports).module


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A comparison that is finished."""

    path: Path
    report: Path
    arms: Mapping[str, tuple[Run, ...]]  # by name, one run for each seed; ideal ones come last


def plan(recipe: RecipeLike, *, overrides: Mapping[str, Any] | None = None) -> Plan:
    """Compute windows and schedule; nothing is trained or written, and torch is not loaded.

    Args:
        recipe: to plan; relative paths in a dictionary are taken from the working directory.
        overrides: values of dotted keys that are to be changed, as ``{"schedule.inner_steps": 50}``.

    Raises:
        InputError: the recipe will not do.
    """
    with _pythons_words():
        loaded = _recipe(recipe, overrides)
        flight = fly(loaded)
    sky = flight.survey
    return Plan(
        recipe=loaded,
        trace=flight.trace,
        contacts=sky.contacts,
        light=sky.light,
        measures=measure(flight.trace),
        notes=flight.notes,
    )


def train(
    recipe: RecipeLike,
    out: str | Path | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    imports: Sequence[str] = (),
    resume: bool = False,
    fork: str | Path | None = None,
    quiet: bool = False,
) -> Run:
    """Plan a recipe, train it on workers of this machine or of a Ray cluster, and write a report.

    Ray is started and ended, unless it is running already. In the main thread an interrupt ends the run after a last
    checkpoint, as ``Stopped``; in others signals are left alone.

    Args:
        recipe: to train.
        out: run directory, which must be empty; the first free one of ``runs/NAME``, ``runs/NAME-2``, ... if not given.
        overrides: as for :func:`plan`.
        imports: modules of which the recipe may name functions.
        resume: continue the run in ``out`` exactly where it stopped; one that is finished is read.
        fork: a run's directory, or ``"RUN_DIR@CUT"``: start from its newest checkpoint, or from that one, with the same
            plan; ``cli.fork.FORK_MAY_CHANGE`` has the keys that may differ.
        quiet: print no progress.

    Raises:
        InputError: the recipe, the directory or the cluster will not do.
        Stopped: it was interrupted.
        WorkerLost: the run cannot go on.
    """
    with _pythons_words():
        from orbital_train.cli import training
        from orbital_train.report.build import build_report

        loaded, path, allowed = _begun(recipe, out, overrides, imports, resume)
        if fork is not None:
            from orbital_train.cli.fork import fork as start_from

            start_from(loaded, str(fork), path, allowed, resume=resume)
        resume = resume or fork is not None
        training.train(loaded, path, resume=resume, console=Console(quiet=quiet), imports=allowed)
        return _run(runs.read_run(path), build_report([path], path), allowed)


def compare(
    recipe: RecipeLike,
    out: str | Path | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    imports: Sequence[str] = (),
    resume: bool = False,
    quiet: bool = False,
) -> Comparison:
    """Train a recipe and its baselines (its key ``compare.baselines``), and write one report; else as :func:`train`."""
    with _pythons_words():
        from orbital_train.cli import compare as comparing
        from orbital_train.report.build import build_report

        loaded, path, allowed = _begun(recipe, out, overrides, imports, resume, "-compare")
        console = Console(quiet=quiet)
        comparing.compare(loaded, loaded.compare.baselines, path, resume=resume, console=console, imports=allowed)
        report, arms = build_report([path], path), runs.read_comparison([path]).arms
    found = {arm.name: tuple(_run(record, report, allowed) for record in arm.runs) for arm in arms}
    return Comparison(path=path, report=report, arms=found)


def _run(record: runs.Run, report: Path, imports: tuple[str, ...]) -> Run:
    losses = tuple(map(float, record.evaluations.loss))
    return Run(path=record.path, report=report, summary=record.summary, losses=losses, imports=imports)


def _begun(
    recipe: RecipeLike,
    out: str | Path | None,
    overrides: Mapping[str, Any] | None,
    imports: Sequence[str],
    resume: bool,
    suffix: str = "",
) -> tuple[Recipe, Path, tuple[str, ...]]:
    """The recipe, its directory, and the modules of which it may name functions."""
    from orbital_train.cli.work import importable

    loaded, allowed = _recipe(recipe, overrides), importable(imports)
    return loaded, _out(out, loaded.name + suffix, resume), allowed


def _recipe(recipe: RecipeLike, overrides: Mapping[str, Any] | None) -> Recipe:
    folder = Path()
    if isinstance(recipe, SkyRecipe):
        tree = recipe.model_dump(mode="python", exclude_none=True)
    elif isinstance(recipe, Mapping):
        tree = deepcopy(dict(recipe))
    else:
        path = _path(recipe)
        tree, folder = read_tree(path), path.parent
    for key, value in (overrides or {}).items():
        put(tree, key, value)
    return recipe_of(tree, folder)


def _path(recipe: str | Path) -> Path:
    path, shipped = Path(recipe), {path.stem: path for path in recipes_folder().glob("*.toml")}
    return path if path.is_file() else shipped.get(str(recipe), path)


def _out(out: str | Path | None, name: str, resume: bool) -> Path:
    if out is None and resume:
        raise InputError("out", None, f"--resume needs the directory of the run, as runs/{name}")
    return free_directory(name) if out is None else Path(out)


_KEYS = {"RECIPE": "recipe", "RUN_DIR": "out", "--set": "overrides", "--out": "out", "--fork": "fork"}


@contextmanager
def _pythons_words() -> Iterator[None]:
    """Errors name arguments where the commands have options."""
    try:
        yield
    except InputError as error:
        problem = re.sub(r"--import ([\w.]+)", r"imports=['\1']", error.problem.replace("--resume", "resume=True"))
        raise InputError(_KEYS.get(error.key, error.key), error.value, problem) from None
