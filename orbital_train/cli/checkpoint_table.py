"""``orbital-train checkpoints``: what a run directory can be resumed from, verified to every byte."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orbital_train.cli.checkpoints import store_of
from orbital_train.cli.run_directory import RunDirectory, locked
from orbital_train.cluster.failures import reason
from orbital_train.config.load import load_recipe
from orbital_train.errors import InputError
from orbital_train.report import fmt
from orbital_train.schedule.trace import Trace
from orbital_train.train.checkpoint import Broken, Checkpoint, examine
from orbital_train.train.checkpoint_store import PREFIX, Store


def show_checkpoints(path: Path, console: Console) -> bool:
    """Verify the checkpoints of a run and print them, the newest first; returns whether all are whole.

    Raises:
        InputError: ``path`` is no run directory, or its checkpoints cannot be read.
    """
    run, store = RunDirectory(path), _store(path)
    found = _examined(path, store)
    if not found:
        console.print(f"no checkpoints in {store}", highlight=False, soft_wrap=True)
        return True
    console.print(_table(found, run.read_trace()))
    return all(isinstance(each, Checkpoint) for each in found)


def prune_checkpoints(path: Path, keep: int, console: Console) -> None:
    """Remove all but the newest whole checkpoints, but none that another version of the program may use.

    Raises:
        InputError: as :func:`show_checkpoints`; or the run is going on, or they cannot be removed.
    """
    if keep < 1:
        raise InputError("--prune", keep, "must be at least 1: the number of checkpoints that stay")
    store = _store(path)
    with locked(path):
        found = _examined(path, store)
        whole = [each.name for each in found if isinstance(each, Checkpoint)]
        other = [each.name for each in found if isinstance(each, Broken) and each.other_format]
        gone = [each.name for each in found if each.name not in (*whole[:keep], *other)]
        try:
            for name in (*gone, *store.unfinished()):
                store.remove(name)
        except OSError as error:
            raise InputError("RUN_DIR", str(path), f"{store} cannot be written: {reason(error)}") from None
    console.print(f"removed {fmt.plural(len(gone), 'checkpoint')}", highlight=False)


def _store(path: Path) -> Store:
    run = RunDirectory(path)
    if not run.trace.exists():
        raise InputError("RUN_DIR", str(path), "is not a run directory; give one that train wrote")
    return store_of(load_recipe(run.recipe), run)


def _examined(path: Path, store: Store) -> list[Checkpoint | Broken]:
    """Those that are still there: a run that is going on removes old ones meanwhile."""
    try:
        found = list(examine(store))
        names = store.names()
    except OSError as error:
        raise InputError("RUN_DIR", str(path), f"{store} cannot be read: {reason(error)}") from None
    return [each for each in found if each.name in names]


def _table(found: list[Checkpoint | Broken], trace: Trace) -> Table:
    table = Table()
    for name in ("operation", "simulated", "written (UTC)", "size"):
        table.add_column(name, justify="right")
    table.add_column("state", overflow="fold")
    for each in found:
        table.add_row(*(Text(cell) for cell in _cells(each, trace)))
    return table


def _cells(each: Checkpoint | Broken, trace: Trace) -> tuple[str, ...]:
    if isinstance(each, Broken):
        return each.name.removeprefix(PREFIX), fmt.NONE, fmt.NONE, fmt.NONE, each.problem
    cut = each.manifest.cut
    sim_s = trace.ops[cut - 1].end_us / 1e6 if cut else 0.0
    written = datetime.fromtimestamp(each.manifest.written_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
    size = fmt.data_bytes(each.store.size_bytes(each.name))
    return f"{cut:,}", fmt.duration(sim_s), written, size, "whole"
