from pathlib import Path

import numpy as np
import pytest

from orbital_train.cli.planning import fly
from orbital_train.cluster.worker import Job, Worker
from orbital_train.config import build
from orbital_train.schedule.ops.nodes import Adopt, Step
from orbital_train.schedule.trace_file import write_trace
from orbital_train.train.checkpoint_store import DiskStore
from orbital_train.train.packing import Files, node_file
from orbital_train.train.run import run_local
from tests import small


@pytest.fixture
def job(tmp_path: Path) -> Job:
    recipe = small.recipe(tmp_path, "schedule.budget_steps=60")
    flight = fly(recipe)
    write_trace(flight.trace, tmp_path / "trace.jsonl")
    return Job(trace=tmp_path / "trace.jsonl", spec=build.train_spec(recipe))


@pytest.fixture
def worker(job: Job) -> Worker:
    worker = Worker(0, 1)
    assert worker.prepare(job) == 0
    return worker


def operations(job: Job) -> int:
    return sum(line.startswith('{"op"') for line in job.trace.read_text().splitlines())


def test_a_worker_alone_does_the_trace(worker: Worker, job: Job):
    outcome = worker.run()
    news = worker.poll()
    assert (outcome.finished, outcome.problem, outcome.device) == (True, None, "cpu")
    assert (news.position, news.bytes_sent) == (operations(job), 0)
    trace, local = worker._executor._trace, run_local(worker._executor._trace, job.spec)
    assert sum(op.n for op in trace.of_kind(Step)) == 60
    assert outcome.digest == local.digest
    assert tuple(news.rows) == local.rows
    assert worker.poll().rows == news.rows  # until it is known that they have come
    assert worker.poll(told=news.told).rows == []


def test_a_worker_that_is_done_can_still_take_part_in_a_checkpoint(worker: Worker, job: Job, tmp_path: Path):
    worker.run()
    cut = worker.hold()
    assert cut == operations(job)
    worker.open_until(cut, False)
    assert worker.wait_done(cut, 0.0)
    worker.take(True)
    files, store = worker.packed({}), DiskStore(tmp_path / "checkpoints")
    written = worker.write(store, store.begin(cut), files, None)
    assert len(written) == len(list(store.folder.glob("*/*.safetensors"))) == 7  # six nodes, what they share
    assert worker.packed({}) == {}


def test_a_worker_goes_back_to_a_cut_and_does_the_rest_again(worker: Worker, job: Job):
    worker.open_until(7, True)
    assert not worker.run().finished
    worker.take(True)
    files, before = worker.packed({}), worker.poll()
    assert before.position == 7
    worker.open_until(None, False)
    first, rows = worker.run(), worker.poll(told=before.told).rows
    worker.restore(7, files, files)
    again, rows_again = worker.run(), worker.poll().rows
    assert again == first
    assert rows_again == rows
    assert min(row["op"] for row in rows) >= 7


def test_a_worker_that_is_called_off_leaves_and_says_so(worker: Worker):
    worker.abort()
    outcome = worker.run()
    assert (outcome.finished, outcome.problem, worker.poll().position) == (False, "called off", 0)


def test_a_worker_told_to_leave_behind_the_last_operation_is_done(worker: Worker, job: Job):
    worker.open_until(operations(job), True)
    outcome = worker.run()
    assert outcome.finished
    assert outcome.digest is not None


def test_a_worker_told_to_leave_in_the_middle_is_not(worker: Worker):
    worker.open_until(5, True)
    outcome = worker.run()
    assert (outcome.finished, outcome.digest, worker.poll().position) == (False, None, 5)


def test_a_second_job_starts_afresh(worker: Worker, job: Job):
    first = worker.run()
    worker.prepare(job)
    assert worker.poll().position == 0
    assert worker.run().digest == first.digest


def advance(worker: Worker, position: int) -> None:
    worker.open_until(position, True)
    worker.run()


def test_only_nodes_that_moved_are_packed_again(worker: Worker, job: Job):
    """A copy that builds on the one before is, byte for byte, a copy of everything."""
    whole = Worker(0, 1)
    whole.prepare(job)
    ops = worker._executor._trace.ops
    files: Files = {}
    for position in range(0, len(ops), 3):
        for each in (worker, whole):
            advance(each, position)
        before = files
        worker.take(before == {})
        whole.take(True)
        files, expected = worker.packed(before), whole.packed({})
        assert files.keys() == expected.keys()
        assert all(np.array_equal(files[name], expected[name]) for name in files)
        moved = {node_file(op.node) for op in ops[max(0, position - 3) : position] if isinstance(op, Step | Adopt)}
        assert all(files[name] is not before[name] for name in moved)
    same = {name for name in files if files[name] is before[name]}
    assert same  # here and there a node waits


def test_a_node_that_was_put_back_has_not_moved(worker: Worker):
    advance(worker, 7)
    worker.take(True)
    files = worker.packed({})
    advance(worker, 20)
    worker.restore(7, files, files)
    worker.take(False)
    assert worker._taken == {}
    assert worker.packed(files).keys() == files.keys()
