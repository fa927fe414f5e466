"""One run: plan, then train it on a group of workers, with progress, checkpoints and a summary."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import FrameType

import numpy as np
import psutil
import torch
from rich.console import Console

from orbital_train.cli.folder_cache import file_sha256
from orbital_train.cli.planning import fly
from orbital_train.cli.run_directory import (
    RunDirectory,
    check_directory,
    open_run,
    recipe_sha256,
    write_json,
)
from orbital_train.cluster.driver import CheckpointRule, Progress, RunResult, drive, write_model
from orbital_train.cluster.group import Workers, worker_group
from orbital_train.cluster.metrics_log import MetricsLog
from orbital_train.cluster.session import ray_session
from orbital_train.cluster.worker import Job
from orbital_train.config import build
from orbital_train.config.recipe import Cluster, Recipe
from orbital_train.errors import InputError, InputWarning
from orbital_train.report import fmt
from orbital_train.report import progress as display
from orbital_train.report.stages import stages
from orbital_train.schedule.measures import measure
from orbital_train.schedule.trace import Step, SyncStep, Trace
from orbital_train.train import checkpoint, estimate
from orbital_train.train.data import TextData, load_corpus
from orbital_train.train.device import Device, choose_device
from orbital_train.train.flat import Layout
from orbital_train.train.liveness import peak_own, peak_states, peak_versions
from orbital_train.train.model import GPT
from orbital_train.train.placement import place
from orbital_train.train.problem import text_problem
from orbital_train.train.run import measure_step_s
from orbital_train.train.spec import InnerSpec, OuterSpec, TrainSpec
from orbital_train.windows.plan import ContactPlan, Illumination


class Stopped(RuntimeError):
    """A signal ended the run after a last checkpoint."""

    def __init__(self, signal_number: int, out: Path) -> None:
        self.exit_code = 128 + signal_number
        super().__init__(f"stopped; {out} holds a checkpoint, --resume continues")


@dataclass
class StopFlag:
    """Set by the first SIGINT or SIGTERM; a second one interrupts at once."""

    signal_number: int | None = None

    def asked(self) -> bool:
        """Whether to stop."""
        return self.signal_number is not None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked():
            raise SystemExit(128 + number)
        self.signal_number = number


@contextmanager
def stop_flag() -> Iterator[StopFlag]:
    """Catch the first SIGINT or SIGTERM. Outside the main thread signals stay as they are."""
    flag = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = {number: signal.signal(number, flag._handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def workers_for(cluster: Cluster) -> Iterator[Workers]:
    """A Ray cluster and a group of workers on it."""
    with ray_session(cluster.address, cluster.workers * cluster.threads_per_worker), worker_group(cluster) as workers:
        yield workers


def train(recipe: Recipe, out: Path, *, resume: bool, console: Console) -> None:
    """Plan and train a recipe in a run directory of its own.

    Raises:
        InputError: the recipe, the directory or the cluster will not do.
        Stopped: the user ended the run; it can be resumed.
    """
    check_directory(out, recipe, resume=resume)
    if resume and RunDirectory(out).summary.exists():
        return
    check_corpus(recipe)
    with stages(console) as note:
        flight = None if resume else fly(recipe, note=note)
    trace = flight.trace if flight else RunDirectory(out).read_trace()
    check_work(recipe, trace)
    console.print(estimate_line(recipe, trace), highlight=False, soft_wrap=True)
    # Ray puts a handler of its own for SIGTERM in place when it starts, so the flag comes after it.
    with (
        workers_for(recipe.cluster) as workers,
        stop_flag() as flag,
        open_run(out, recipe, resume=resume) as run,
    ):
        if flight:
            run.write_plan(recipe, flight)
        train_on(workers, recipe, run, arm=recipe.schedule.policy, flag=flag, console=console)


def train_on(
    workers: Workers, recipe: Recipe, run: RunDirectory, *, arm: str, flag: StopFlag, console: Console, title: str = ""
) -> None:
    """Train the trace of a run directory, from its last whole checkpoint if there is one, and write its summary.

    Raises:
        InputError: the checkpoint belongs to another run.
        Stopped: the user ended the run; it can be resumed.
        WorkerLost: a worker died or failed.
    """
    trace = run.read_trace()
    rule = CheckpointRule(
        folder=run.checkpoints,
        every_s=recipe.cluster.checkpoint_every_s,
        keep=recipe.cluster.keep_checkpoints,
        recipe_sha256=recipe_sha256(recipe),
        trace_sha256=file_sha256(run.trace),
    )
    saved = _last_checkpoint(run, rule)
    job = Job(trace=run.trace.resolve(), spec=build.train_spec(recipe), checkpoint=saved)
    watch = Watch(run, trace, saved.manifest.cut if saved else 0)
    kept_bytes = saved.manifest.metrics_bytes if saved else 0
    with (
        closing(MetricsLog(run.metrics, kept_bytes)) as metrics,
        display.RunProgress(f"{recipe.name}: {title or arm}", console) as shown,
    ):
        result = drive(
            workers,
            job,
            metrics=metrics,
            rule=rule,
            stop_asked=flag.asked,
            show=lambda p: shown.update(**vars(watch.display(p))),
        )
    if not result.finished:
        assert flag.signal_number is not None
        raise Stopped(flag.signal_number, run.path)
    write_model(workers, run.model)
    write_json(run.summary, summary(recipe, arm, run, trace, result, saved))


def _last_checkpoint(run: RunDirectory, rule: CheckpointRule) -> checkpoint.Checkpoint | None:
    """The newest whole checkpoint; what is passed over, and what may change the bits, is told."""
    saved, broken = checkpoint.newest_whole(run.checkpoints)
    for folder in broken:
        _warn(f"{folder.path} is not a whole checkpoint ({folder.problem}) and is passed over")
    if saved is None:
        return None
    manifest = saved.manifest
    if (manifest.recipe_sha256, manifest.trace_sha256) != (rule.recipe_sha256, rule.trace_sha256):
        raise InputError("--out", str(run.path), "its checkpoint belongs to another recipe or trace")
    if manifest.versions != checkpoint.library_versions():
        other = "with other versions of libraries, or on a CPU with another instruction set"
        _warn(f"{saved.path} was written {other}; the same bits are not promised")
    return saved


def _warn(message: str) -> None:
    warnings.warn(message, InputWarning, stacklevel=3)


class Watch:
    """Turns the driver's progress into what people see: the simulated sky at this point of the trace."""

    def __init__(self, run: RunDirectory, trace: Trace, position: int) -> None:
        self._contacts = ContactPlan.read(run.plan / "contacts.parquet")
        self._light = Illumination.read(run.plan / "illumination.parquet")
        self._trace = trace
        self._total = sum(a.steps for a in trace.accounts)
        self._before = _steps_below(trace, position)
        self._begin_s = time.monotonic()

    def display(self, progress: Progress) -> display.Progress:
        """What to show."""
        ops = self._trace.ops
        sim_s = ops[min(progress.position, len(ops) - 1)].end_us / 1e6
        elapsed_s = max(1e-9, time.monotonic() - self._begin_s)
        nodes = self._trace.fleet_nodes
        open_now = (self._contacts.start_s <= sim_s) & (sim_s < self._contacts.end_s)
        return display.Progress(
            sim_s=sim_s,
            horizon_s=self._trace.end_us / 1e6,
            sunlit=sum(self._is_sunlit(i, sim_s) for i in nodes),
            nodes=len(nodes),
            open_links=int(np.unique(self._contacts.link_id[open_now]).size),
            loss=progress.loss,
            steps_per_s=progress.steps_done / elapsed_s,
            done_steps=self._before + progress.steps_done,
            total_steps=self._total,
        )

    def _is_sunlit(self, node: int, sim_s: float) -> bool:
        k = int(np.searchsorted(self._light.edge_s[node], sim_s, side="right")) - 1
        return bool(self._light.fraction[node][min(k, self._light.fraction[node].size - 1)] > 0.5)


def _steps_below(trace: Trace, position: int) -> int:
    steps = 0
    for op in trace.ops[:position]:
        if isinstance(op, Step):
            steps += op.n
        elif isinstance(op, SyncStep):
            steps += op.n * len(op.group)
    return steps


def check_corpus(recipe: Recipe) -> int:
    """Size of the vocabulary of the recipe's corpus.

    Raises:
        InputError: the corpus is missing or is another text.
    """
    return len(load_corpus(recipe.data.corpus, recipe.data.sha256).vocabulary)


def check_work(recipe: Recipe, trace: Trace) -> None:
    """What a worker would find only once it is started.

    Raises:
        InputError: there are more workers than training nodes, the corpus is too short for them, the model has fewer
            tensors than fragments, or this machine has not the device.
    """
    if recipe.cluster.address is None:
        choose_device(recipe.cluster.device)
    place(trace.fleet_nodes, recipe.cluster.workers)
    spec = build.train_spec(recipe)
    corpus = load_corpus(spec.data.corpus, spec.data.sha256)
    TextData(corpus, spec.data, trace.fleet_nodes, spec.batch_size, spec.model.context, spec.data_seed)
    with torch.device("meta"):
        Layout.of(GPT(spec.model, len(corpus.vocabulary)), trace.fragments)


def estimate_line(recipe: Recipe, trace: Trace) -> str:
    """What the run will need, before any worker starts.

    Raises:
        InputError: it will not fit into memory (``model``).
    """
    spec, cluster = build.train_spec(recipe), recipe.cluster
    vocabulary, synchronous = check_corpus(recipe), any(trace.of_kind(SyncStep))
    nodes = 0 if synchronous else -(-len(trace.fleet_nodes) // cluster.workers)
    versions, states, own = peak_versions(trace), peak_states(trace), peak_own(trace)
    each = estimate.worker_bytes(
        spec.model,
        vocabulary,
        spec.batch_size,
        nodes=nodes,
        versions=versions + -(-own // cluster.workers),
        states=min(states, nodes),
        synchronous=synchronous,
    )
    disk = estimate.checkpoint_bytes(
        spec.model,
        vocabulary,
        nodes=len(trace.fleet_nodes),
        versions=versions + own,
        states=states,
        synchronous=synchronous,
    )
    if cluster.address is None:
        _check_memory(recipe, each)
    parameters = estimate.parameter_count(spec.model, vocabulary)
    steps = sum(a.steps for a in trace.accounts)
    wall_s = _wall_s(recipe, trace, steps)
    return (
        f"{recipe.name}: {steps:,} inner steps of {parameters:,} parameters on {cluster.workers} workers; about "
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
        raise InputError("model", recipe.model.model_dump(), problem)


def _wall_s(recipe: Recipe, trace: Trace, steps: int) -> float | None:
    """Wall time to expect, from a few steps timed here; None where the work is to be done by other devices."""
    spec, cluster = build.train_spec(recipe), recipe.cluster
    if cluster.address is not None or choose_device(spec.device).kind != "cpu":
        return None
    at_once = min(cluster.workers, max(1, (os.cpu_count() or 1) // cluster.threads_per_worker))
    return steps * _step_s(_same_work(spec)) / at_once


def _same_work(spec: TrainSpec) -> TrainSpec:
    """The spec without what does not change the time of a step, in which the arms of a comparison differ."""
    inner = InnerSpec(lr=1e-3, clip_norm=spec.inner.clip_norm)
    return replace(spec, inner=inner, outer=OuterSpec(), init_seed=0, data_seed=0)


@lru_cache(maxsize=1)
def _step_s(spec: TrainSpec) -> float:
    """Wall time of an inner step on this machine's CPU, measured once for the arms of a comparison."""
    corpus = load_corpus(spec.data.corpus, spec.data.sha256)
    return measure_step_s(spec, text_problem(spec, corpus, (0,), "cpu"))


def summary(
    recipe: Recipe, arm: str, run: RunDirectory, trace: Trace, result: RunResult, saved: checkpoint.Checkpoint | None
) -> dict[str, object]:
    """``summary.json``: what came of a run."""
    figures = asdict(measure(trace))
    plan = json.loads(run.plan_summary.read_text(encoding="utf-8"))
    notes = list(plan["notes"])
    if saved:
        notes.append(f"resumed at operation {saved.manifest.cut}: wall time and real bytes are those since then")
    return {
        "name": recipe.name,
        "arm": arm,
        "seed": recipe.seeds.init,
        "policy": trace.policy,
        "ideal": plan["ideal"],
        "final_loss": result.loss,
        "digest": result.digest,
        "wall_s": round(result.wall_s, 3),
        "workers": recipe.cluster.workers,
        "device": result.device,
        "deterministic": recipe.cluster.deterministic,
        "parameters_trained": estimate.parameter_count(build.train_spec(recipe).model, check_corpus(recipe)),
        "parameters_flown": recipe.workload.parameters,
        "tokens_per_step_flown": recipe.workload.tokens_per_step,
        "tokens_per_step_trained": recipe.inner.batch_size * recipe.model.context,
        "message_bytes": trace.message_bits / 8,
        "real_bytes": result.real_bytes,
        **figures,
        "tuned": {"inner_lr": recipe.inner.lr, "outer_lr": recipe.outer.lr},
        "assumptions": list(recipe.assumptions),
        "notes": notes,
        "versions": checkpoint.library_versions(),
    }
