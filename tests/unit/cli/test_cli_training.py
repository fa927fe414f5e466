import os
import signal
from pathlib import Path

import numpy as np
import pytest

from orbital_train.cli.checkpoints import last_checkpoint
from orbital_train.cli.planning import fly
from orbital_train.cli.run_directory import RunDirectory, open_run
from orbital_train.cli.training import Stopped, Watch, stop_flag
from orbital_train.cluster.cuts import CheckpointRule
from orbital_train.cluster.watch import Progress
from orbital_train.errors import InputWarning
from orbital_train.schedule.ops.nodes import SyncStep
from orbital_train.schedule.trace import Trace
from orbital_train.train.checkpoint import Keep, Manifest, commit, library_versions
from orbital_train.train.checkpoint_store import DiskStore
from tests import small


def watch(folder: Path, *overrides: str, position: int = 0) -> tuple[Watch, Trace]:
    recipe = small.recipe(folder, *overrides)
    flight = fly(recipe)
    with open_run(folder / "run", recipe, resume=False) as run:
        run.write_plan(recipe, flight)
    return Watch(run, flight.trace, position), flight.trace


def test_the_sky_that_is_shown_is_that_of_the_trace(tmp_path: Path):
    shown, trace = watch(tmp_path)
    begin = shown.display(Progress(position=0, loss=None))
    assert (begin.sim_s, begin.nodes, begin.done_steps, begin.total_steps) == (0.0, 6, 0, 600)
    assert (begin.sunlit, begin.open_links, begin.loss) == (6, 0, None)  # links are still being acquired
    end = shown.display(Progress(position=len(trace.ops), loss=2.5))
    assert end.sim_s == pytest.approx(end.horizon_s, abs=60.0)
    assert end.horizon_s == trace.end_us / 1e6
    assert (end.done_steps, end.loss) == (600, 2.5)
    assert 0 < end.open_links <= 6  # six satellites with two terminals each
    assert end.steps_per_s > 0


def test_a_resumed_run_counts_what_was_done_before(tmp_path: Path):
    shown, trace = watch(tmp_path, "schedule.policy=fully_connected", position=4)
    first = list(trace.of_kind(SyncStep))[:2]
    assert [op.id for op in first] == [1, 3]
    done = sum(op.n * 6 for op in first)
    now = shown.display(Progress(position=4, loss=None))
    assert (now.done_steps, now.total_steps) == (done, 600)


@pytest.mark.parametrize("changed", ["torch", "cpu"])
def test_a_checkpoint_of_other_libraries_or_another_cpu_is_told(tmp_path: Path, changed: str):
    run = RunDirectory(tmp_path)
    store = DiskStore(run.checkpoints)
    rule = CheckpointRule(
        store=store,
        every_s=1.0,
        merges_below=np.zeros(1, np.int64),
        copy_every_s=1.0,
        keep=Keep(last=1),
        recipe_sha256="r",
        trace_sha256="t",
    )
    for cut, versions in enumerate((library_versions(), library_versions() | {changed: "another"})):
        manifest = Manifest(
            cut=cut,
            recipe_sha256="r",
            trace_sha256="t",
            metrics_bytes=0,
            written_s=0.0,
            versions=versions,
            files={},
        )
        commit(store, store.begin(cut), manifest)
        if cut == 0:
            assert last_checkpoint(run, rule) is not None  # and nothing is told
    with pytest.warns(InputWarning, match="or on a CPU with another instruction set; the same bits are not promised"):
        saved = last_checkpoint(run, rule)
    assert saved is not None
    assert saved.manifest.cut == 1


def test_the_first_signal_asks_and_the_second_ends():
    before = signal.getsignal(signal.SIGTERM)
    with stop_flag() as flag:
        assert not flag.asked()
        os.kill(os.getpid(), signal.SIGTERM)
        assert flag.asked()
        with pytest.raises(SystemExit) as caught:
            os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_exit_codes_of_signals():
    assert Stopped(signal.SIGINT, Path("run")).exit_code == 130
    assert Stopped(signal.SIGTERM, Path("run")).exit_code == 143
