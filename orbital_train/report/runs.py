"""Reading: run directories and comparison directories, as frozen dataclasses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from orbital_train.errors import InputError
from orbital_train.report.flips import Tally, tally
from orbital_train.schedule.faults import FaultPlan
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.trace_file import read_trace
from orbital_train.windows.plan import ContactPlan, FloatArray, Illumination

KEY = "RUN_DIR"


@dataclass(frozen=True, kw_only=True)
class Summary:
    """``summary.json`` of one run; fields with a default are the optional ones, other keys of the file are ignored."""

    name: str
    arm: str
    seed: int
    policy: str
    ideal: bool  # ideal links and constant sun
    final_loss: float
    digest: str
    wall_s: float
    workers: int
    device: str
    deterministic: bool
    parameters_trained: int
    parameters_flown: int
    tokens_per_step_flown: int
    tokens_per_step_trained: int
    budget_steps: int
    merged_steps: int
    trained_steps: int
    lost_steps: int
    simulated_s: float
    link_bytes: float  # of the flown model, all hops, simulated
    real_bytes: float  # between workers, really sent
    duty: float
    goodput: float
    merges: int
    mean_inner_steps: float | None  # between merges; None where nothing was merged
    max_staleness: int | None
    tuned: dict[str, float] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Evaluations:
    """Validation of the global model over one run, in time order; columns of shape (E,)."""

    tokens: FloatArray  # of the trained model, merged so far
    sim_s: FloatArray
    loss: FloatArray


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is known before anything is trained."""

    contacts: ContactPlan
    light: Illumination
    faults: FaultPlan
    trace: Trace


@dataclass(frozen=True, kw_only=True)
class Run(Plan):
    """One run directory, read."""

    path: Path
    summary: Summary
    recipe: str
    evaluations: Evaluations
    flips: Tally


@dataclass(frozen=True, kw_only=True)
class Arm:
    """The runs of one arm, by seed."""

    name: str
    runs: tuple[Run, ...]

    @property
    def ideal(self) -> bool:
        """Whether it runs on ideal links and constant sun."""
        return self.runs[0].summary.ideal

    def mean(self, key: str) -> float:
        """Mean over the seeds of a number in the summaries."""
        return float(np.mean([getattr(r.summary, key) for r in self.runs]))


@dataclass(frozen=True, kw_only=True)
class TuningPoint:
    """One point of the grid on which an arm's learning rates were chosen."""

    arm: str
    inner_lr: float
    outer_lr: float
    loss: float
    chosen: bool


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All that one report is about: one run, several runs, or a comparison directory. The main arm comes first."""

    name: str
    description: str
    arms: tuple[Arm, ...]
    tuning: tuple[TuningPoint, ...]
    assumptions: tuple[str, ...]


def read_comparison(paths: Sequence[Path]) -> Comparison:
    """Read one comparison directory, or one or more run directories.

    Raises:
        InputError: ``RUN_DIR`` is not such a directory, or a file in it is missing or broken.
    """
    for path in paths:
        if (path / "comparison.json").is_file():
            if len(paths) > 1:
                raise InputError(KEY, str(path), "is a comparison; give it alone, or give run directories only")
            return _read_comparison_directory(path)
    runs = [read_run(path) for path in paths]
    names = {r.summary.name for r in runs}
    several = len(names) > 1  # the arm's name alone would then mix two recipes
    arms = _grouped([(f"{r.summary.name}: {r.summary.arm}" if several else r.summary.arm, r) for r in runs])
    return Comparison(name=" and ".join(sorted(names)), description="", arms=arms, tuning=(), assumptions=())


def read_run(path: Path) -> Run:
    """Read one run directory.

    Raises:
        InputError: ``RUN_DIR`` is not a run directory, the run has not finished, or a file is missing or broken.
    """
    if not (path / "summary.json").is_file():
        if (path / "trace.jsonl").is_file():
            raise InputError(KEY, str(path), "has no summary.json: the run has not finished; resume it first")
        problem = "is not a run directory; give one that train or compare wrote (it holds summary.json)"
        raise InputError(KEY, str(path), problem)
    trace = _checked(path / "trace.jsonl", read_trace)
    return Run(
        path=path,
        summary=_summary(path / "summary.json"),
        recipe=_checked(path / "recipe.toml", lambda p: p.read_text(encoding="utf-8")),
        contacts=_checked(path / "plan" / "contacts.parquet", ContactPlan.read),
        light=_checked(path / "plan" / "illumination.parquet", Illumination.read),
        faults=_checked(path / "plan" / "faults.jsonl", FaultPlan.read),
        trace=trace,
        evaluations=_checked(path / "metrics.jsonl", _evaluations),
        flips=_checked(path / "metrics.jsonl", lambda p: tally(_rows(p), trace)),
    )


def _read_comparison_directory(path: Path) -> Comparison:
    data = _checked(path / "comparison.json", lambda p: json.loads(p.read_text(encoding="utf-8")))
    if missing := {"name", "description", "arms", "tuning", "assumptions"} - data.keys():
        raise InputError(KEY, str(path / "comparison.json"), f"lacks {', '.join(sorted(missing))}")
    return Comparison(
        name=data["name"],
        description=data["description"],
        arms=_grouped([(row["arm"], read_run(path / row["run"])) for row in data["arms"]]),
        tuning=tuple(TuningPoint(**row) for row in data["tuning"]),
        assumptions=tuple(data["assumptions"]),
    )


def _grouped(runs: Sequence[tuple[str, Run]]) -> tuple[Arm, ...]:
    """Arms in order of appearance, except that those on real windows come before ideal ones."""
    groups: dict[str, dict[int, Run]] = {}
    for name, run in runs:
        seeds = groups.setdefault(name, {})
        if (other := seeds.setdefault(run.summary.seed, run)) is not run:
            raise InputError(KEY, str(run.path), f"is the same arm and seed as {other.path}; give it once")
    arms = [Arm(name=name, runs=tuple(seeds[s] for s in sorted(seeds))) for name, seeds in groups.items()]
    return tuple(sorted(arms, key=lambda arm: arm.ideal))


def _summary(path: Path) -> Summary:
    data = _checked(path, lambda p: json.loads(p.read_text(encoding="utf-8")))
    known = fields(Summary)
    required = [f.name for f in known if f.default is MISSING and f.default_factory is MISSING]
    if missing := [name for name in required if name not in data]:
        raise InputError(KEY, str(path), f"lacks {', '.join(missing)}")
    values: dict[str, Any] = {f.name: data[f.name] for f in known if f.name in data}
    for key in ("assumptions", "notes"):
        values[key] = tuple(values.get(key, ()))
    return Summary(**values)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def _evaluations(path: Path) -> Evaluations:
    rows = [row for row in _rows(path) if row["event"] == "evaluate"]
    if not rows:
        raise ValueError("it holds no evaluation")

    def column(key: str) -> FloatArray:
        return np.array([row[key] for row in rows], dtype=np.float64)

    return Evaluations(tokens=column("trained_tokens"), sim_s=column("sim_s"), loss=column("loss"))


def _checked(path: Path, read: Any) -> Any:
    """``read(path)``, with a missing or broken file told in one line."""
    try:
        return read(path)
    except FileNotFoundError:
        raise InputError(KEY, str(path), "is missing from the run directory") from None
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise InputError(KEY, str(path), f"cannot be read: {type(error).__name__}: {error}") from error
