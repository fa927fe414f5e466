"""A run directory: made once, locked while in use, never written over."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from orbital_train.cli.planning import Flight
from orbital_train.cli.survey import write_windows
from orbital_train.config.load import changed_keys, dump_recipe, load_recipe
from orbital_train.config.recipe import Recipe, SkyRecipe
from orbital_train.errors import InputError
from orbital_train.schedule.faults import FaultPlan
from orbital_train.schedule.measures import measure
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.trace_file import read_trace, write_trace

LOCK = ".lock"
MAY_CHANGE = (
    "cluster.workers",
    "cluster.address",
    "cluster.copy_every_s",
    "cluster.checkpoint_every_s",
    "cluster.checkpoint_every_merges",
    "cluster.keep_checkpoints",
    "cluster.keep_every_h",
    "description",
)
"""Keys that may differ on resume: none of them changes a bit of the result."""


@dataclass(frozen=True)
class RunDirectory:
    """Names of the files of a run."""

    path: Path

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.path / "recipe.toml"

    @property
    def plan(self) -> Path:
        """Folder of the contact plan, the link opportunities, the illumination and the fault plan."""
        return self.path / "plan"

    @property
    def plan_summary(self) -> Path:
        """What came of the plan: its measures, whether it is ideal, and what to know before believing it."""
        return self.plan / "summary.json"

    @property
    def faults(self) -> Path:
        """The fault plan, with the real losses of workers that the run went on without."""
        return self.plan / "faults.jsonl"

    @property
    def trace(self) -> Path:
        """The trace."""
        return self.path / "trace.jsonl"

    @property
    def metrics(self) -> Path:
        """One row per event."""
        return self.path / "metrics.jsonl"

    @property
    def log(self) -> Path:
        """What really happened: workers lost and replaced, checkpoints that could not be written. Only if any did."""
        return self.path / "log.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints, unless they are kept elsewhere."""
        return self.path / "checkpoints"

    @property
    def name(self) -> str:
        """Of the run; that of an arm has its comparison's before it."""
        parts = self.path.resolve().parts
        return "/".join(parts[-3:] if parts[-2] == "arms" else parts[-1:])

    @property
    def summary(self) -> Path:
        """What came of the run; it is there when the run is finished."""
        return self.path / "summary.json"

    @property
    def model(self) -> Path:
        """The final global model; that of Hugging Face's has ``config.json`` beside it."""
        return self.path / "model.safetensors"

    def write_plan(self, recipe: Recipe, flight: Flight, exports: Mapping[str, str] | None = None) -> None:
        """Write the resolved recipe, the plan and the trace, and the plan's texts for others by their file's name."""
        self.plan.mkdir(exist_ok=True)
        self.recipe.write_text(dump_recipe(recipe), encoding="utf-8")
        write_windows(flight.survey, self.plan)
        flight.scenario.faults.write(self.faults)
        for name, text in (exports or {}).items():
            (self.plan / name).write_text(text, encoding="utf-8")
        told = {"ideal": flight.survey.ideal, "notes": list(flight.notes)}
        write_json(self.plan_summary, {**asdict(measure(flight.trace)), **told})
        # Last, and in one step: a directory with a trace has all that a resume needs.
        self.propose(flight.trace)
        self._proposed.replace(self.trace)

    def propose(self, trace: Trace) -> Path:
        """Write a trace that is not the run's yet."""
        write_trace(trace, self._proposed)
        return self._proposed

    def follow(self, faults: FaultPlan, trace: Trace) -> None:
        """Make the proposed trace that of the run, and the faults that lead to it."""
        faults.write(self._proposed_faults)
        self._proposed.replace(self.trace)
        self.settle()
        told = json.loads(self.plan_summary.read_text(encoding="utf-8"))
        write_json(self.plan_summary, {**told, **asdict(measure(trace))})

    def settle(self) -> None:
        """Take or leave proposed faults as their trace was taken or not, also where the run ended in between."""
        if self._proposed_faults.exists() and self._proposed.exists():
            self._proposed_faults.unlink()
        elif self._proposed_faults.exists():
            self._proposed_faults.replace(self.faults)

    @property
    def _proposed(self) -> Path:
        return self.path / ".trace.jsonl"

    @property
    def _proposed_faults(self) -> Path:
        return self.plan / ".faults.jsonl"

    def read_trace(self) -> Trace:
        """The trace of an earlier start of this run."""
        return read_trace(self.trace)


@contextmanager
def open_run(path: Path, recipe: SkyRecipe, *, resume: bool) -> Iterator[RunDirectory]:
    """Make a run directory, or open one to resume it, and hold its lock.

    Raises:
        InputError: it holds another run, is in use, has nothing to resume, or was made with other settings.
    """
    check_directory(path, recipe, resume=resume)
    with locked(path):
        if not resume:
            check_still_empty(path)
        yield RunDirectory(path)


def check_directory(path: Path, recipe: SkyRecipe, *, resume: bool) -> None:
    """Whether a run directory can be made here, or resumed; nothing is written.

    Raises:
        InputError: it holds another run, is in use, has nothing to resume, or was made with other settings.
    """
    run = RunDirectory(path)
    if resume and not run.trace.exists():
        raise InputError("--out", str(path), "holds no run to resume; without --resume a new one is made")
    if resume:
        _check_same(run, recipe)
        with locked(path):
            pass
    else:
        check_empty(path)


def check_empty(path: Path) -> None:
    """Nothing is written over.

    Raises:
        InputError: there is something at ``path``.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise _not_empty(path)


def check_still_empty(path: Path) -> None:
    """The same once the directory is locked: another process may have used it since the first check.

    Raises:
        InputError: there is more than the lock in ``path``.
    """
    if any(entry.name != LOCK for entry in path.iterdir()):
        raise _not_empty(path)


def _not_empty(path: Path) -> InputError:
    return InputError("--out", str(path), "is not empty; choose another directory, or continue its run with --resume")


def free_directory(name: str) -> Path:
    """The first of ``runs/name``, ``runs/name-2``, ... that does not exist."""
    path, number = Path("runs") / name, 2
    while path.exists():
        path, number = Path("runs") / f"{name}-{number}", number + 1
    return path


def recipe_sha256(recipe: Recipe) -> str:
    """Digest of everything in a recipe that its result depends on."""
    tree = recipe.model_dump(mode="json")
    for key in (*MAY_CHANGE, "cluster.checkpoint_url"):
        table, _, name = key.rpartition(".")
        (tree[table] if table else tree).pop(name)
    tree.pop("compare")
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON for people and programs; the file is there with all of it, or not at all."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Make a directory if it is not there, and hold its lock.

    Raises:
        InputError: it is in use, or cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        file = (path / LOCK).open("w")
    except OSError as error:
        raise InputError("--out", str(path), f"cannot be written: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError("--out", str(path), "is in use by another process") from None
        yield


def _check_same(run: RunDirectory, recipe: SkyRecipe) -> None:
    for key, old, new in changed_keys(load_recipe(run.recipe), recipe):
        if key not in MAY_CHANGE and not key.startswith("compare."):
            problem = f"the run was made with {_shown(old)}; on resume only {', '.join(MAY_CHANGE)} may change"
            raise InputError(key, new, problem)


def _shown(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else repr(value)
