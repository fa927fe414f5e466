"""One Ray cluster for all tests, and groups of workers that are started once and reused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orbital_train.cluster import watch
from orbital_train.cluster.group import Group, worker_group
from orbital_train.cluster.session import ray_session
from orbital_train.config.tables.cluster import Cluster
from tests.integration.runs import Reference, reference

LOGICAL_CPUS = 12

Groups = Callable[[int], Group]


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    with ray_session(None, LOGICAL_CPUS):
        yield


@pytest.fixture(scope="session")
def groups(ray_cluster: None) -> Iterator[Groups]:
    """Workers, as many as asked for: the same ones every time."""
    made: dict[int, Group] = {}
    with ExitStack() as stack:

        def group(count: int) -> Group:
            if count not in made:
                made[count] = stack.enter_context(worker_group(Cluster(workers=count, device="cpu")))
            return made[count]

        yield group


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The recipe of these tests, and what comes of it in one process without Ray."""
    return reference(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="module")
def group(ray_cluster: None) -> Iterator[Group]:
    """Three workers of a module's own: it may kill them."""
    with worker_group(Cluster(workers=3, device="cpu")) as group:
        yield group


@pytest.fixture
def frequent_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of these tests takes a second or two: many polls of the driver fall into it, however fast the machine."""
    monkeypatch.setattr(watch, "POLL_S", 0.02)


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that does not answer is given up soon."""
    monkeypatch.setattr(watch, "ANSWER_S", 2.0)


@pytest.fixture
def run_path(tmp_path: Path) -> Path:
    return tmp_path / "run"
