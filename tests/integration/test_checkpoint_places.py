"""Checkpoints in an S3-compatible object store, and on a disk that becomes full: the program as people run it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from orbital_train.cli.run_directory import RunDirectory
from orbital_train.train.checkpoint import Checkpoint, examine
from orbital_train.train.checkpoint_store import ObjectStore
from tests.integration.runs import BUDGET, Reference, assert_undisturbed, plan_run
from tests.integration.test_command_line import PATIENCE_S, program, wait_for_training

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the server and its libraries
]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket of a server on the loopback interface."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "a")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.filesystem("s3").mkdir("bucket")
        yield "s3://bucket"
    server.stop()


def whole(store: ObjectStore) -> list[Checkpoint]:
    return [each for each in examine(store) if isinstance(each, Checkpoint)]


def test_a_run_with_checkpoints_in_an_object_store_is_resumed(bucket: str, undisturbed: Reference, run_path: Path):
    run, store = RunDirectory(run_path), ObjectStore(f"{bucket}/runs/run")
    keys = ("--set", BUDGET, "--set", f"cluster.checkpoint_url={bucket}/runs", "--out", run_path)
    often = ("--set", "cluster.checkpoint_every_merges=1")
    with program("train", undisturbed.path, *keys, *often, "--set", "cluster.workers=2") as process:
        wait_for_training(process)
        while not store.names():
            time.sleep(0.5)
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (
        130,
        f"orbital-train: stopped; {run_path} holds a checkpoint, --resume continues\n",
    )
    assert not run.checkpoints.exists()
    newest, older = whole(store)
    fsspec.filesystem("s3").rm_file(f"bucket/runs/run/{newest.name}/manifest.json")  # as if its writer had been cut off
    with program("train", undisturbed.path, *keys, "--resume") as process:
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (0, "")
    note = f"resumed at operation {older.manifest.cut}: wall time and real bytes are those since then"
    assert assert_undisturbed(undisturbed, run)["notes"] == [note]


def test_what_is_as_before_is_copied_within_the_store(bucket: str):
    store, content = ObjectStore(f"{bucket}/alone"), np.arange(200, dtype=np.uint8)
    first, second = store.begin(1), store.begin(2)
    store.write(first, "file", content)
    assert store.reuse(first, second, "file", "")
    assert not store.reuse(first, second, "other", "")
    store.commit(second, b"{}")
    assert store.unfinished() == [first]
    store.discard(first)
    assert (store.names(), store.unfinished()) == ([second], [])
    assert np.array_equal(store.read(second, "file"), content)
    assert store.size_bytes(second) == 202
    store.remove(second)
    assert store.names() == []


def test_a_bucket_that_is_not_there_is_told_before_the_work(bucket: str, undisturbed: Reference, run_path: Path):
    keys = ("--set", "cluster.checkpoint_url=s3://other/runs", "--out", run_path)
    with program("train", undisturbed.path, *keys) as process:
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    (line,) = errors.splitlines()
    told = "cluster.checkpoint_url = 's3://other/runs': cannot be reached: The specified bucket does not exist"
    assert line == f"orbital-train: {undisturbed.path}: {told}"
    assert not run_path.exists()


def _can_mount(folder: Path) -> bool:
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", folder]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_full_disk_does_not_end_training(undisturbed: Reference, run_path: Path):
    """Checkpoints go to a small tmpfs that only this run sees."""
    run = RunDirectory(run_path)
    if not _can_mount(run_path.parent):
        pytest.skip("file systems cannot be mounted here")
    plan_run(undisturbed, run_path)
    run.checkpoints.mkdir()
    script = f'mount -t tmpfs -o size=80k none {run.checkpoints} && exec "$@"'
    keys = ("--set", BUDGET, "--set", "cluster.checkpoint_every_s=0.2", "--out", run_path, "--resume")
    arguments = [sys.executable, "-m", "orbital_train", "train", undisturbed.path, *keys]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *map(str, arguments)],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert_undisturbed(undisturbed, run)
    assert "a checkpoint could not be written (No space left on device); training goes on" in run.log.read_text()
