"""One run: plan, then train it on a group of workers, with progress, checkpoints and a summary."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from orbital_train.cli.checkpoints import check_store, checkpoint_rule, last_checkpoint
from orbital_train.cli.planning import fly, fly_again
from orbital_train.cli.refusals import refusals
from orbital_train.cli.run_directory import RunDirectory, check_directory, open_run, write_json
from orbital_train.cli.work import Imports, check_problem, check_work, estimate_line, needs, places
from orbital_train.cluster.cuts import CheckpointRule
from orbital_train.cluster.driver import Driver, RunResult, write_model
from orbital_train.cluster.dropout import Book
from orbital_train.cluster.failures import needed, reason
from orbital_train.cluster.group import Group, worker_group
from orbital_train.cluster.metrics_log import MetricsLog
from orbital_train.cluster.session import ray_session
from orbital_train.cluster.watch import Progress
from orbital_train.cluster.worker import Job
from orbital_train.config import build
from orbital_train.config.recipe import Recipe
from orbital_train.config.tables.cluster import Cluster
from orbital_train.report import progress as display
from orbital_train.report.stages import stages
from orbital_train.schedule.faults import FaultPlan
from orbital_train.schedule.measures import measure
from orbital_train.schedule.ops.nodes import Step, SyncStep
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.trace import Trace
from orbital_train.train import checkpoint, estimate
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
def workers_for(cluster: Cluster, cut_bytes: int) -> Iterator[Group]:
    """A Ray cluster that can hold copies of a run's state, and a group of workers on it."""
    with cluster_for(cluster, cut_bytes), worker_group(cluster) as workers:
        yield workers


def cluster_for(cluster: Cluster, cut_bytes: int) -> AbstractContextManager[None]:
    """A Ray cluster that can hold copies of a run's state."""
    cpus = cluster.workers * cluster.threads_per_worker
    return ray_session(cluster.address, cpus, estimate.object_store_bytes(cut_bytes))


def train(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool,
    console: Console,
    imports: Imports = (),
    faults: FaultPlan | None = None,
) -> None:
    """Plan and train a recipe in a run directory of its own; with other faults than its own, if they are given.

    Raises:
        InputError: the recipe, the directory or the cluster will not do.
        Stopped: the user ended the run; it can be resumed.
    """
    check_directory(out, recipe, resume=resume)
    check_store(recipe, RunDirectory(out))
    if resume and RunDirectory(out).summary.exists():
        return
    check_problem(recipe, imports)
    with stages(console) as note:
        flight = None if resume else fly(recipe, note=note, faults=faults)
    trace = flight.trace if flight else RunDirectory(out).read_trace()
    check_work(recipe, trace, imports)
    console.print(estimate_line(recipe, trace, imports), highlight=False, soft_wrap=True)
    # Ray puts a handler of its own for SIGTERM in place when it starts, so the flag comes after it.
    with (
        workers_for(recipe.cluster, needs(recipe, trace, imports).cut_bytes) as workers,
        stop_flag() as flag,
        open_run(out, recipe, resume=resume) as run,
    ):
        if flight:
            run.write_plan(recipe, flight)
        scenario = flight.scenario if flight else None
        arm = recipe.schedule.policy
        train_on(workers, recipe, run, arm=arm, flag=flag, console=console, imports=imports, scenario=scenario)


def train_on(
    workers: Group,
    recipe: Recipe,
    run: RunDirectory,
    *,
    arm: str,
    flag: StopFlag,
    console: Console,
    title: str = "",
    imports: Imports = (),
    scenario: Scenario | None = None,
) -> None:
    """Train the trace of a run directory, from its last whole checkpoint if there is one, and write its summary.

    The scenario is made again from the recipe when it is needed and none is given.

    Raises:
        InputError: the checkpoint belongs to another run.
        Stopped: the user ended the run; it can be resumed.
        WorkerLost: a worker died or failed.
    """
    run.settle()
    trace = run.read_trace()
    rule = checkpoint_rule(recipe, run, trace)
    lasting = recipe.cluster.on_worker_loss == "dropout" and not any(trace.of_kind(SyncStep))
    saved = last_checkpoint(run, rule, traces=lasting)
    job = Job(
        trace=run.trace.resolve(),
        spec=build.train_spec(recipe, imports),
        checkpoint=saved,
        places=places(recipe, needs(recipe, trace, imports)),
    )
    watch = Watch(run, trace, saved.manifest.cut if saved else 0)
    book = _book(recipe, run, trace, scenario, watch) if lasting else None
    kept_bytes = saved.manifest.metrics_bytes if saved else 0
    with (
        closing(MetricsLog(run.metrics, kept_bytes)) as metrics,
        display.RunProgress(f"{recipe.name}: {title or arm}", console) as shown,
    ):
        result = Driver(
            group=workers,
            job=job,
            metrics=metrics,
            rule=rule,
            book=book,
            stop_asked=flag.asked,
            show=lambda p: shown.update(**vars(watch.display(p))),
            tell=lambda line: _log(run, line, console),
        ).run()
    if not result.finished:
        assert flag.signal_number is not None
        raise Stopped(flag.signal_number, run.path)
    write_model(workers, run.path)
    with needed(run.summary):
        write_json(run.summary, summary(recipe, arm, run, run.read_trace(), result, saved, imports))


def _book(recipe: Recipe, run: RunDirectory, trace: Trace, scenario: Scenario | None, watch: Watch) -> Book:
    """Of a run that goes on without workers that are lost."""

    def record(faults: FaultPlan, followed: Trace) -> CheckpointRule:
        run.follow(faults, followed)
        watch.follow(followed)
        return checkpoint_rule(recipe, run, followed)

    return Book(
        faults=FaultPlan.read(run.faults),
        trace=trace,
        simulate=lambda faults: fly_again(recipe, scenario or fly(recipe).scenario, faults),
        propose=run.propose,
        record=record,
    )


def _log(run: RunDirectory, line: str, console: Console) -> None:
    """Tell people, and whoever reads the run directory later, if its disk has room for it."""
    row = json.dumps({"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": line})
    try:
        with run.log.open("a", encoding="utf-8") as file:
            file.write(row + "\n")
    except OSError as error:
        line += f"; {run.log} cannot be written ({reason(error)})"
    console.print(line, highlight=False, soft_wrap=True)


class Watch:
    """Turns the driver's progress into what people see: the simulated sky at this point of the trace."""

    def __init__(self, run: RunDirectory, trace: Trace, position: int) -> None:
        self._contacts = ContactPlan.read(run.plan / "contacts.parquet")
        self._light = Illumination.read(run.plan / "illumination.parquet")
        self._trace = trace
        self._steps = _steps_below(trace)
        self._before = int(self._steps[position])
        self._begin_s = time.monotonic()

    def follow(self, trace: Trace) -> None:
        """The run goes on with another trace."""
        self._trace, self._steps = trace, _steps_below(trace)

    def display(self, progress: Progress) -> display.Progress:
        """What to show."""
        ops = self._trace.ops
        sim_s = ops[min(progress.position, len(ops) - 1)].end_us / 1e6
        elapsed_s = max(1e-9, time.monotonic() - self._begin_s)
        done = int(self._steps[progress.position])
        nodes = self._trace.fleet_nodes
        open_now = (self._contacts.start_s <= sim_s) & (sim_s < self._contacts.end_s)
        return display.Progress(
            sim_s=sim_s,
            horizon_s=self._trace.end_us / 1e6,
            sunlit=sum(self._is_sunlit(i, sim_s) for i in nodes),
            nodes=len(nodes),
            open_links=int(np.unique(self._contacts.link_id[open_now]).size),
            loss=progress.loss,
            steps_per_s=max(0, done - self._before) / elapsed_s,
            done_steps=done,
            total_steps=int(self._steps[-1]),
        )

    def _is_sunlit(self, node: int, sim_s: float) -> bool:
        k = int(np.searchsorted(self._light.edge_s[node], sim_s, side="right")) - 1
        return bool(self._light.fraction[node][min(k, self._light.fraction[node].size - 1)] > 0.5)


def _steps_below(trace: Trace) -> NDArray[np.int64]:
    """Inner steps of the operations before each position."""
    steps = [
        op.n * (len(op.group) if isinstance(op, SyncStep) else 1) if isinstance(op, Step | SyncStep) else 0
        for op in trace.ops
    ]
    return np.concatenate([[0], np.cumsum(steps, dtype=np.int64)])


def summary(
    recipe: Recipe,
    arm: str,
    run: RunDirectory,
    trace: Trace,
    result: RunResult,
    saved: checkpoint.Checkpoint | None,
    imports: Imports,
) -> dict[str, object]:
    """``summary.json``: what came of a run."""
    trial = check_problem(recipe, imports)
    figures = asdict(measure(trace))
    plan = json.loads(run.plan_summary.read_text(encoding="utf-8"))
    notes = [*plan["notes"], *refusals(run.metrics, trace)]
    if recipe.cluster.devices_per_node > 1:
        notes.append(within_node(recipe.cluster))
    if saved:
        notes.append(f"resumed at operation {saved.manifest.cut}: wall time and real bytes are those since then")
    replays = sum(recovery.way == "replay" for recovery in result.recoveries)
    if replays:
        times = f"{replays} time" + "s" * (replays > 1)
        notes.append(f"workers were lost and replaced {times}, and what came after the last copy was done again")
    losses = _worker_losses(run)
    if losses:
        nodes = ", ".join(dict.fromkeys(str(row["node"]) for row in losses))
        notes.append(f"workers were lost, really and not in the scenario, and with them for a while {nodes}")
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
        "devices_per_node": recipe.cluster.devices_per_node,
        "within_node": recipe.cluster.within_node if recipe.cluster.devices_per_node > 1 else None,
        "device": result.device,
        "deterministic": recipe.cluster.deterministic,
        "parameters_trained": trial.parameters,
        "parameters_flown": recipe.workload.parameters,
        "tokens_per_step_flown": recipe.workload.tokens_per_step,
        "tokens_per_step_trained": trial.tokens_per_step,
        "message_bytes": trace.message_bits / 8,
        "real_bytes": result.real_bytes,
        "on_worker_loss": recipe.cluster.on_worker_loss,
        "recoveries": [asdict(recovery) for recovery in result.recoveries],
        "worker_losses": losses,
        **figures,
        "tuned": {"inner_lr": recipe.inner.lr, "outer_lr": recipe.outer.lr},
        "assumptions": list(recipe.assumptions),
        "notes": notes,
        "versions": checkpoint.library_versions(),
    }


def within_node(cluster: Cluster) -> str:
    """What to know of a digest where nodes span several devices."""
    how = {"data_parallel": "data parallel", "fsdp2": "FSDP2"}[cluster.within_node]
    return (
        f"every satellite was trained by {cluster.devices_per_node} devices, {how}: they round otherwise than one does,"
        " and only runs with the same setting have the same digest"
    )


def _worker_losses(run: RunDirectory) -> list[dict[str, object]]:
    """Real losses that the run went on without, for ``summary.json``."""
    names = ContactPlan.read(run.plan / "contacts.parquet").node_names
    return [
        {
            "node": names[lost.node],
            "start_s": lost.start_us / 1e6,
            "known_s": lost.known_us / 1e6,
            "end_s": None if lost.end_us is None else lost.end_us / 1e6,
            "void_contributions": len(lost.void),
        }
        for lost in FaultPlan.read(run.faults).worker_losses
    ]
