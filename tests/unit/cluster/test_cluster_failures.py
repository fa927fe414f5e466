import copy
import os
from pathlib import Path

import pytest
import torch
from ray.exceptions import ActorDiedError, GetTimeoutError, OutOfMemoryError, RayTaskError

from orbital_train.cluster import oom
from orbital_train.cluster.failures import WorkerLost, cause_of, is_out_of_memory, told
from orbital_train.errors import InputError


def failure(cause: Exception) -> RayTaskError:
    trace = f"Traceback (most recent call last):\n  File 'x'\n{type(cause).__name__}: {cause}"
    return RayTaskError("run", trace, cause, proctitle="ray::Worker", pid=7, ip="127.0.0.1")


def told_as(error: Exception) -> Exception:
    with pytest.raises((WorkerLost, InputError)) as caught, told(lambda: "go on"):
        raise error
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_failure_is_told_by_its_last_line():
    assert str(told_as(failure(ValueError("no good")))) == "a worker failed: ValueError: no good; go on"


def test_wrong_input_found_by_a_worker_is_wrong_input():
    error = told_as(failure(InputError("data.corpus", "a.txt", "is missing")))
    assert type(error) is InputError
    assert str(error) == "data.corpus = 'a.txt': is missing"


def test_input_errors_can_be_taken_apart_and_put_together():  # as on the way between processes
    again = copy.copy(InputError("a.b", 3, "is odd"))
    assert (again.key, again.value, again.problem, str(again)) == ("a.b", 3, "is odd", "a.b = 3: is odd")


def test_a_death_and_a_delay():
    assert str(told_as(ActorDiedError())) == (
        "a worker died (The actor died unexpectedly before finishing this task.); go on"
    )
    assert str(told_as(GetTimeoutError("too slow"))) == "Ray failed: too slow; go on"


@pytest.mark.parametrize(
    "cause",
    [
        MemoryError("no room"),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_too_little_memory_is_named_with_advice(cause: Exception):
    error = failure(cause)
    assert is_out_of_memory(error)
    found = str(told_as(error))
    assert found == (
        f"a worker ran out of memory ({type(cause).__name__}: {cause}); take fewer nodes a worker, or a smaller model; "
        "go on"
    )


def test_other_errors_are_not_taken_for_too_little_memory():
    assert not is_out_of_memory(failure(RuntimeError("no good")))
    assert not is_out_of_memory(ActorDiedError())


def test_a_worker_that_the_kernel_or_ray_killed_for_want_of_memory():
    advice = "take fewer nodes a worker, or a smaller model"
    killed = "most likely out of memory: the kernel ended 2 processes here for want of memory"
    assert cause_of(ActorDiedError(), oom_kills=2) == f"a worker died, {killed}; {advice}"
    monitor = f"a worker was killed by Ray: its machine ran out of memory; {advice}"
    assert cause_of(OutOfMemoryError("low"), oom_kills=0) == monitor
    assert is_out_of_memory(OutOfMemoryError("low"))


def test_the_kernels_count_is_of_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(oom, "VMSTAT", tmp_path / "vmstat")
    kills = oom.OomKills()
    assert kills.fresh() == 0  # a kernel that does not tell
    for count, new in ((3, 3), (3, 0), (4, 1)):
        (tmp_path / "vmstat").write_text(f"pgfault 17\noom_kill {count}\npswpin 0\n")
        assert kills.fresh() == new


def test_ray_asks_for_a_token():
    import orbital_train.cluster  # noqa: F401

    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
