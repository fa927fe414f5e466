"""Runs on real workers: the same bits on any number of them, and after any interruption."""

import json
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import ray
import safetensors.torch
from ray.util.placement_group import placement_group_table

from orbital_train.cli.checkpoints import checkpoint_rule
from orbital_train.cli.training import Stopped
from orbital_train.cluster.driver import Driver
from orbital_train.cluster.group import Group, worker_group
from orbital_train.cluster.metrics_log import MetricsLog
from orbital_train.cluster.session import ray_session
from orbital_train.cluster.worker import Job
from orbital_train.config import build
from orbital_train.config.tables.cluster import Cluster
from orbital_train.errors import InputError, InputWarning
from orbital_train.schedule.measures import measure
from orbital_train.schedule.ops.nodes import Adopt
from tests.integration.conftest import LOGICAL_CPUS, Groups
from tests.integration.runs import (
    Reference,
    StopAfterCheckpoint,
    StopAtPoll,
    assert_undisturbed,
    checkpoints,
    plan_run,
    train,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("frequent_polls")]

PATIENCE_S = 60.0  # with a loaded machine


def test_the_recipe_of_these_tests_overlaps_messages_with_training(undisturbed: Reference):
    trace = undisturbed.flight.trace
    assert any(op.mode == "keep" and op.since_snapshot for op in trace.of_kind(Adopt))
    measures = measure(trace)
    assert measures.max_staleness is not None
    assert measures.max_staleness > 0
    assert measures.duty < 0.9


@pytest.mark.parametrize("count", [1, 2, 4])
def test_any_number_of_workers_gives_the_same_bits(groups: Groups, undisturbed: Reference, run_path: Path, count: int):
    run = plan_run(undisturbed, run_path)
    train(groups(count), undisturbed, run)
    summary = assert_undisturbed(undisturbed, run)
    assert (summary["workers"], summary["device"], summary["ideal"], summary["notes"]) == (count, "cpu", False, [])
    assert (summary["real_bytes"] > 0) == (count > 1)
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert summary["final_loss"] == [row["loss"] for row in rows if row["event"] == "evaluate"][-1]
    measures = measure(undisturbed.flight.trace)
    assert summary["link_bytes"] == measures.link_bytes
    assert summary["goodput"] == measures.goodput
    model = safetensors.torch.load_file(run.model)
    assert sum(tensor.numel() for tensor in model.values()) == summary["parameters_trained"]


@pytest.mark.parametrize(("before", "after", "count"), [(2, 4, 1), (4, 1, 2), (1, 2, 4)])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(
    groups: Groups, undisturbed: Reference, run_path: Path, before: int, after: int, count: int
):
    """Stopped at merges and not at times, so that no load of the machine makes it too early or too late."""
    run, often = plan_run(undisturbed, run_path), {"checkpoint_every_merges": 1, "keep_checkpoints": 1000}
    with pytest.raises(Stopped, match="holds a checkpoint, --resume continues") as caught:
        train(groups(before), undisturbed, run, StopAfterCheckpoint(run=run, count=count), **often)
    assert caught.value.exit_code == 130
    assert not run.summary.exists()
    saved = checkpoints(run)[-1]
    kept = json.loads((saved / "manifest.json").read_text())
    assert undisturbed.metrics[: kept["metrics_bytes"]] == run.metrics.read_bytes()
    assert kept["cut"] > 0
    with pytest.raises(Stopped):  # and again, after a moment
        train(groups(before), undisturbed, run, StopAtPoll(polls_left=2))
    train(groups(after), undisturbed, run)
    summary = assert_undisturbed(undisturbed, run)
    assert summary["notes"][-1].startswith("resumed at operation ")


def test_frequent_checkpoints_change_nothing(groups: Groups, undisturbed: Reference, run_path: Path):
    run = plan_run(undisturbed, run_path)
    train(groups(4), undisturbed, run, checkpoint_every_s=0.1, keep_checkpoints=3)
    assert_undisturbed(undisturbed, run)
    assert len(checkpoints(run)) == 3


def test_a_stop_at_the_very_end_ends_or_goes_on(groups: Groups, undisturbed: Reference, run_path: Path):
    """From the last checkpoint on, every poll is close to the end of the trace."""
    run = plan_run(undisturbed, run_path)
    train(groups(2), undisturbed, run, checkpoint_every_s=0.1)
    for polls in (1, 1, 1):
        run.summary.unlink(missing_ok=True)
        try:
            train(groups(2), undisturbed, run, StopAtPoll(polls_left=polls))
        except Stopped:
            continue
    if not run.summary.exists():
        train(groups(2), undisturbed, run)
    assert assert_undisturbed(undisturbed, run)["final_loss"] is not None


def test_a_broken_checkpoint_is_passed_over_and_told(groups: Groups, undisturbed: Reference, run_path: Path):
    run = plan_run(undisturbed, run_path)
    with pytest.raises(Stopped):
        train(groups(2), undisturbed, run, StopAfterCheckpoint(run=run, count=2), checkpoint_every_s=0.01)
    older, newest = checkpoints(run)
    file = newest / "node-0003.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.unlink()  # the older checkpoint may have the same file, where the node has not moved since
    file.write_bytes(content)
    with pytest.warns(InputWarning, match=f"{newest} is not a whole checkpoint .node-0003.safetensors was changed."):
        train(groups(2), undisturbed, run)
    assert_undisturbed(undisturbed, run)
    assert older.name < newest.name


def test_a_checkpoint_of_another_recipe_is_refused(groups: Groups, undisturbed: Reference, run_path: Path):
    run = plan_run(undisturbed, run_path)
    with pytest.raises(Stopped):
        train(groups(1), undisturbed, run, StopAtPoll(polls_left=1))
    (saved,) = checkpoints(run)
    edited = run.recipe.read_text().replace("lr = 0.004", "lr = 0.005")
    run.recipe.write_text(edited)
    other = undisturbed.recipe.model_copy(update={"inner": undisturbed.recipe.inner.model_copy(update={"lr": 0.005})})
    changed = Reference(path=undisturbed.path, recipe=other, flight=undisturbed.flight, digest="", metrics=b"")
    with pytest.raises(InputError, match="its checkpoint belongs to another recipe or trace"):
        train(groups(1), changed, run)
    assert saved.exists()


# -- workers that die, and workers that cannot be ---


def _pids(group: Group) -> list[int]:
    return [group.pid(rank) for rank in range(len(group))]


def test_what_a_worker_finds_wrong_is_told_as_such(groups: Groups, undisturbed: Reference, run_path: Path):
    run = plan_run(undisturbed, run_path)
    rule = checkpoint_rule(undisturbed.recipe, run, undisturbed.flight.trace)
    corpus = undisturbed.recipe.data.model_copy(update={"corpus": "/nowhere/corpus.txt"})
    spec = build.train_spec(undisturbed.recipe.model_copy(update={"data": corpus}))
    with closing(MetricsLog(run.metrics)) as metrics, pytest.raises(InputError) as caught:
        Driver(
            group=groups(1),
            job=Job(trace=run.trace, spec=spec),
            metrics=metrics,
            rule=rule,
            book=None,
            stop_asked=lambda: False,
            show=lambda progress: None,
            tell=print,
        ).run()
    assert str(caught.value).startswith("data.corpus = '/nowhere/corpus.txt': cannot be read (No such file")


def test_too_many_workers_for_the_cluster(ray_cluster: None):
    wanted = LOGICAL_CPUS + 1
    with pytest.raises(InputError) as caught, worker_group(Cluster(workers=wanted, device="cpu")):
        pass
    told = f"need 1 CPU each, and the Ray cluster has {LOGICAL_CPUS}; accepted is up to {LOGICAL_CPUS}"
    assert str(caught.value) == f"cluster.workers = {wanted}: {told}"


def _free_cpus_and_those_not_reserved() -> tuple[float, float]:
    """What Ray says is free, and what should be: all that no placement group which is there has reserved."""
    there = [group for group in placement_group_table().values() if group["state"] == "CREATED"]
    reserved = sum(bundle["CPU"] for group in there for bundle in group["bundles"].values())
    return ray.available_resources().get("CPU", 0.0), ray.cluster_resources()["CPU"] - reserved


def test_a_group_leaves_nothing_behind(ray_cluster: None):
    """Other tests' groups may be on their way out at the same time, and a loaded machine takes its time."""
    with worker_group(Cluster(workers=1, device="cpu")) as workers:
        (pid,) = _pids(workers)
        process, group = psutil.Process(pid), workers._placement.id.hex()
        assert placement_group_table()[group]["state"] == "CREATED"
    psutil.wait_procs([process], timeout=PATIENCE_S)
    assert not process.is_running()
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        free, expected = _free_cpus_and_those_not_reserved()
        if free == expected or time.monotonic() > deadline_s:
            break
        time.sleep(0.1)
    assert free == expected
    assert placement_group_table()[group]["state"] == "REMOVED"
    assert all(other["state"] != "PENDING" for other in placement_group_table().values())


def test_a_session_within_a_session_is_the_same(ray_cluster: None):
    with ray_session(None, 1):
        assert ray.cluster_resources()["CPU"] == LOGICAL_CPUS
    assert ray.is_initialized()


def test_workers_talk_over_the_loopback_interface_only(groups: Groups):
    """A worker alone has Ray's listeners; one of several has a gloo listener beside them, on 127.0.0.1."""

    def listeners(pid: int) -> list[str]:
        found = psutil.Process(pid).net_connections(kind="inet")
        return sorted(c.laddr.ip for c in found if c.status == psutil.CONN_LISTEN)

    (alone,) = (listeners(pid) for pid in _pids(groups(1)))
    for pid in _pids(groups(2)):
        found = listeners(pid)
        for address in alone:
            found.remove(address)
        assert found
        assert set(found) == {"127.0.0.1"}
