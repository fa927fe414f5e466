"""Replicas that are on the device by turns: not a bit changes, and no more than that are there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from orbital_train.train.parking import Parking
from orbital_train.train.problem import Problem
from orbital_train.train.run import run_local
from orbital_train.train.spec import InnerSpec
from tests.unit.train.failure_traces import failures_trace
from tests.unit.train.group_traces import gossip_trace, groups_trace
from tests.unit.train.problems import tiny_problem, tiny_spec
from tests.unit.train.thread_workers import Group
from tests.unit.train.traces import everything_trace, rounds_trace

TRACES = {
    "everything": everything_trace(),
    "failures": failures_trace(),
    "gossip": gossip_trace(),
    "groups": groups_trace(),
}


def here(group: Group) -> int:
    """Replicas of a worker whose vectors have memory."""
    replicas = [node.replica for node in group.executors[0].nodes.values()]
    sizes = [[vector.untyped_storage().nbytes() for vector in replica.vectors()] for replica in replicas]
    assert all(all(size) or not any(size) for size in sizes)
    return sum(all(size) for size in sizes)


@pytest.mark.parametrize("name", TRACES)
@pytest.mark.parametrize("optimizer", ["AdamW", "Muon", "Adafactor"])
def test_no_bit_depends_on_how_many_replicas_are_on_the_device(name: str, optimizer: str) -> None:
    """At no cut are there more than two, and one goes on from the state that another has saved."""
    trace, spec = TRACES[name], tiny_spec(inner=InnerSpec(lr=1e-2, optimizer=optimizer))

    def gpt() -> Problem:
        return tiny_problem(spec, trace.fleet_nodes)

    whole = run_local(trace, spec, gpt())
    parked, resumed = (Group.of(trace, spec, gpt, 1, places=2) for _ in range(2))
    assert len(parked.executors[0].nodes) == 4
    for cut in range(7, len(trace.ops), 7):
        parked.run(spec, limit=cut)
        assert here(parked) == 2
    resumed.executors[0].load(cut, *parked.saved())
    for group in (parked, resumed):
        assert here(group) == 2
        group.run(spec)
        assert group.executors[0].digest() == whole.digest
    assert parked.all_rows() == list(whole.rows)


class Vector:
    """Something that can be parked."""

    def __init__(self, value: float) -> None:
        self.tensor = torch.full((8,), value)
        self.view = self.tensor[2:5]

    def vectors(self) -> Iterator[Tensor]:
        yield self.tensor


def test_the_one_that_was_not_needed_for_longest_goes_and_comes_back_as_it_was() -> None:
    parking, (a, b, c) = Parking(2, torch.device("cpu")), (Vector(value) for value in (1.0, 2.0, 3.0))

    def there() -> list[bool]:
        return [vector.tensor.untyped_storage().nbytes() > 0 for vector in (a, b, c)]

    for vector in (a, b, a, c):
        parking.need(vector)
    assert there() == [True, False, True]
    a.view += 4.0
    parking.need(c)
    parking.expect(b)
    assert there() == [False, True, True]
    assert b.view.tolist() == [2.0] * 3
    parking.need(a)
    assert there() == [True, True, False]
    assert a.tensor.tolist() == [1.0, 1.0, 5.0, 5.0, 5.0, 1.0, 1.0, 1.0]
    parking.need(a)
    assert there() == [True, True, False]


def test_while_a_node_trains_the_next_replica_comes() -> None:
    trace, spec = rounds_trace((0, 1, 2, 3), rounds=1, steps=1), tiny_spec()
    group = Group.of(trace, spec, lambda: tiny_problem(spec, trace.fleet_nodes), 1, places=2)
    group.run(spec, limit=1)  # node 0 has trained
    sizes = {n: s.replica._parameters_P.untyped_storage().nbytes() > 0 for n, s in group.executors[0].nodes.items()}
    assert sizes == {0: True, 1: True, 2: False, 3: False}
