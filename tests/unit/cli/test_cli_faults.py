"""``--faults``: a plan that another run has recorded."""

from dataclasses import replace
from pathlib import Path

import pytest

from orbital_train.cli.faults import read_faults
from orbital_train.cli.run_directory import RunDirectory
from orbital_train.errors import InputError
from orbital_train.schedule.faults import FaultPlan, WorkerLoss


def test_a_recorded_plan_is_read(tmp_path: Path):
    lost = WorkerLoss(node=1, start_us=5, known_us=9, end_us=20, unheard=3, void=("snap/1/0@2",))
    FaultPlan(worker_losses=(lost,)).write(tmp_path / "faults.jsonl")
    plan = read_faults(tmp_path / "faults.jsonl", resume=False)
    assert plan == FaultPlan(worker_losses=(lost,))
    assert read_faults(None, resume=True) is None


def test_who_was_out_to_the_end_does_not_rejoin(tmp_path: Path):
    lost = WorkerLoss(node=1, start_us=5, known_us=9, end_us=None, unheard=3, void=())
    FaultPlan(worker_losses=(lost,)).write(tmp_path / "faults.jsonl")
    plan = read_faults(tmp_path / "faults.jsonl", resume=False)
    assert plan == FaultPlan(worker_losses=(replace(lost, end_us=1 << 62),))


def test_what_is_no_plan_is_refused(tmp_path: Path):
    path = tmp_path / "faults.jsonl"
    with pytest.raises(InputError) as missing:
        read_faults(path, resume=False)
    assert str(missing.value) == f"--faults = {str(path)!r}: cannot be read: No such file or directory"
    path.write_text('{"faults":1}\n{"outage":{"node":1}}\n')
    with pytest.raises(InputError) as wrong:
        read_faults(path, resume=False)
    problem = "is no fault plan; give plan/faults.jsonl of a run directory"
    assert str(wrong.value) == f"--faults = {str(path)!r}: {problem}"
    with pytest.raises(InputError) as resumed:
        read_faults(path, resume=True)
    problem = "the run that --resume continues has its faults: leave one of them out"
    assert str(resumed.value) == f"--faults = {str(path)!r}: {problem}"


@pytest.mark.parametrize("taken", [True, False])
def test_faults_are_taken_with_their_trace_or_not_at_all(tmp_path: Path, taken: bool):
    run = RunDirectory(tmp_path)
    run.plan.mkdir()
    run.faults.write_text("before")
    (run.plan / ".faults.jsonl").write_text("after")
    if not taken:
        (tmp_path / ".trace.jsonl").write_text("proposed")
    for _ in range(2):
        run.settle()
        assert run.faults.read_text() == ("after" if taken else "before")
    assert not (run.plan / ".faults.jsonl").exists()
