import copy
import os

import pytest
from ray.exceptions import ActorDiedError, GetTimeoutError, RayTaskError

from orbital_train.cluster.failures import WorkerLost, told
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


def test_ray_asks_for_a_token():
    import orbital_train.cluster  # noqa: F401

    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
