"""The recipe and its baselines, fairly: same budget of merged tokens, same data order, paired seeds, one report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from orbital_train.cli import planning
from orbital_train.cli.checkpoints import check_store
from orbital_train.cli.planning import Flight, fly
from orbital_train.cli.run_directory import (
    RunDirectory,
    check_directory,
    check_empty,
    check_still_empty,
    locked,
    open_run,
    write_json,
)
from orbital_train.cli.survey import Survey
from orbital_train.cli.training import StopFlag, cluster_for, stop_flag, train_on
from orbital_train.cli.work import Imports, check_problem, check_work, estimate_line, needs
from orbital_train.cluster.group import Group, worker_group
from orbital_train.config.faults import screened
from orbital_train.config.load import with_values
from orbital_train.config.recipe import Recipe
from orbital_train.config.tables.compare import ArmName, BaselineName
from orbital_train.config.tables.upsets import CHECKED
from orbital_train.errors import InputError
from orbital_train.report.results import WITHOUT_FLIPS
from orbital_train.report.runs import TuningPoint

COMPARISON = "comparison.json"
WHOLE_STEPS = {"outer.delay_merges": 1}  # a merge holds a whole round
PLAIN_AVERAGING = {"outer.optimizer": "sgd", "outer.lr": 1.0, "outer.momentum": 0.0} | WHOLE_STEPS

ARM_VALUES: dict[str, dict[str, Any]] = {
    "fully_connected": {"schedule.policy": "fully_connected"},
    "ideal_diloco": {"schedule.home": None},  # a ground site may be home, and there is none where all is ideal
    "fixed_period_blocking": {"schedule.policy": "fixed_period", "schedule.form": "blocking"} | WHOLE_STEPS,
    "fixed_period_skipping": {"schedule.policy": "fixed_period", "schedule.form": "skipping"} | WHOLE_STEPS,
    "local_then_average": {"schedule.policy": "local_then_average"} | PLAIN_AVERAGING,
    "single_node": {
        "schedule.policy": "fixed_period",
        "schedule.form": "blocking",
        "schedule.home": None,
    }
    | PLAIN_AVERAGING,
}


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One arm of a comparison with one seed."""

    name: ArmName
    seed: int
    recipe: Recipe

    @property
    def folder(self) -> str:
        """Its run directory, below the comparison's."""
        return f"arms/{self.name}-s{self.seed}"


def compare(
    recipe: Recipe,
    against: Sequence[BaselineName],
    out: Path,
    *,
    resume: bool,
    console: Console,
    imports: Imports = (),
) -> None:
    """Run every arm and write ``comparison.json``; arms that are finished already are kept on resume.

    Raises:
        InputError: a recipe, a directory or the cluster will not do.
        Stopped: the user ended the run; it can be resumed.
        WorkerLost: a worker died or failed; finished arms are kept, and it can be resumed.
    """
    if not resume:
        check_empty(out)
    elif not (out / COMPARISON).exists():
        raise InputError("--out", str(out), "holds no comparison to resume; without --resume a new one is made")
    check_problem(recipe, imports)
    tuning = read_tuning(recipe)
    arms = list(_arms(recipe, against))
    flights = _flights(arms)
    for arm in arms[: len(flights)]:
        trace = flights[arm.name].trace
        check_work(arm.recipe, trace, imports)
        console.print(f"{arm.name:>22}  {estimate_line(arm.recipe, trace, imports)}", highlight=False, soft_wrap=True)
    for arm in arms:
        check_store(arm.recipe, RunDirectory(out / arm.folder))
        if RunDirectory(out / arm.folder).trace.exists():
            check_directory(out / arm.folder, arm.recipe, resume=True)
    cluster = recipe.cluster
    cut_bytes = max(needs(arm.recipe, flights[arm.name].trace, imports).cut_bytes for arm in arms[: len(flights)])
    with (
        cluster_for(cluster, cut_bytes),
        stop_flag() as flag,
        locked(out),
    ):
        if not resume:
            check_still_empty(out)
        rows = [{"arm": arm.name, "seed": arm.seed, "run": arm.folder} for arm in arms]
        content = {"name": recipe.name, "description": recipe.description, "arms": rows}
        write_json(out / COMPARISON, {**content, "tuning": tuning, "assumptions": list(recipe.assumptions)})
        # Arms that need another number of workers come last, each seed's in turn.
        for same in dict.fromkeys(arm.recipe.cluster for arm in arms):
            with worker_group(same) as workers:
                for arm in (arm for arm in arms if arm.recipe.cluster == same):
                    _run(workers, arm, flights[arm.name], out / arm.folder, flag, console, imports)


def _run(
    workers: Group, arm: Arm, flight: Flight, path: Path, flag: StopFlag, console: Console, imports: Imports
) -> None:
    begun = RunDirectory(path).trace.exists()
    if path.exists() and not begun:
        shutil.rmtree(path)  # its plan was being written when the comparison was ended
    with open_run(path, arm.recipe, resume=begun) as run:
        if run.summary.exists():
            return
        if not begun:
            run.write_plan(arm.recipe, flight)
        title = f"{arm.name} (seed {arm.seed})"
        train_on(
            workers,
            arm.recipe,
            run,
            arm=arm.name,
            flag=flag,
            console=console,
            title=title,
            imports=imports,
            scenario=flight.scenario,
        )


def _arms(recipe: Recipe, against: Sequence[BaselineName]) -> Iterator[Arm]:
    """All arms, seed by seed, so that an early look at the results is a fair one."""
    for k in range(recipe.compare.seeds):
        seeds = {"seeds.init": recipe.seeds.init + k, "seeds.data": recipe.seeds.data + k}
        for name in dict.fromkeys((recipe.schedule.policy, *against)):
            yield Arm(
                name=name, seed=recipe.seeds.init + k, recipe=with_values(recipe, seeds | arm_values(recipe, name))
            )


def arm_values(recipe: Recipe, name: ArmName) -> dict[str, Any]:
    """What an arm changes in the recipe: its policy, and its tuned learning rates. The recipe's own arm is as it is."""
    values = {} if name == recipe.schedule.policy else dict(ARM_VALUES.get(name, {}))
    if name == "single_node":
        values["cluster.workers"] = recipe.cluster.devices_per_node
    if name == WITHOUT_FLIPS:
        name, values = recipe.schedule.policy, _without_replica_flips(recipe)
    tuned = recipe.compare.arms.get(name)
    if tuned is not None:
        values |= {"inner.lr": tuned.inner_lr} if tuned.inner_lr is not None else {}
        values |= {"outer.lr": tuned.outer_lr} if tuned.outer_lr is not None else {}
    return values


def _without_replica_flips(recipe: Recipe) -> dict[str, Any]:
    """All flips but those that are found by checksums are left out, so that the trace and who looks are the same."""
    upsets = recipe.faults.upsets
    return {
        "faults.upsets.targets": [target for target in upsets.targets if target in CHECKED],
        "faults.upsets.flip": [flip.model_dump() for flip in upsets.flip if flip.target in CHECKED],
        "screening.enabled": screened(recipe),
    }


def _flights(arms: Sequence[Arm]) -> dict[str, Flight]:
    """The flight of every arm; seeds do not change it, and arms share the survey of the sky."""
    real = planning.survey(arms[0].recipe)
    flights: dict[str, Flight] = {}
    for arm in arms:
        if arm.name not in flights:
            flights[arm.name] = arm_flight(arm, real)
    return flights


def arm_flight(arm: Arm, real: Survey) -> Flight:
    """The flight of one arm, in the recipe's sky or in the one that the arm is defined for."""
    return fly(arm.recipe, _sky(arm, real))


def _sky(arm: Arm, real: Survey) -> Survey:
    if arm.name == "ideal_diloco":
        return planning.ideal_survey(real, arm.recipe)
    if arm.name == "single_node":
        return planning.survey_alone(arm.recipe, real.satellites)
    return real


def read_tuning(recipe: Recipe) -> list[dict[str, Any]]:
    """The grid from which the arms' learning rates were chosen, if the recipe names one.

    Raises:
        InputError: the file is missing, not JSON, or not such a grid.
    """
    if recipe.compare.tuning is None:
        return []
    path = Path(recipe.compare.tuning)
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return [asdict(TuningPoint(**row)) for row in rows]
    except FileNotFoundError:
        raise InputError("compare.tuning", str(path), "no such file") from None
    except json.JSONDecodeError as error:
        raise InputError("compare.tuning", str(path), f"is not JSON: {error}") from None
    except TypeError as error:
        raise InputError("compare.tuning", str(path), f"must be a list of tables as in the report: {error}") from None
