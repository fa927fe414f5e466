"""Memory and disk, estimated and real."""

import pytest

from orbital_train.schedule.trace import Trace
from orbital_train.train.estimate import (
    checkpoint_bytes,
    copies_bytes,
    object_store_bytes,
    version_vectors,
    worker_bytes,
)
from orbital_train.train.flat import Layout
from orbital_train.train.liveness import peak_versions
from orbital_train.train.spec import OuterSpec
from tests.unit.train.node_devices import Fleet
from tests.unit.train.problems import tiny_problem, tiny_spec
from tests.unit.train.thread_workers import Group
from tests.unit.train.traces import rounds_trace, streaming_trace


@pytest.mark.parametrize("outer", [OuterSpec(), OuterSpec(optimizer="adamw"), OuterSpec(delay_merges=2)])
@pytest.mark.parametrize(
    "trace",
    [
        rounds_trace((0, 1, 2, 3), rounds=2, steps=1, mode="keep"),
        rounds_trace((0, 1, 2, 3), rounds=2, steps=1, mode="keep", fragments=3),
        streaming_trace(),
    ],
    ids=["rounds", "fragments", "streaming"],
)
def test_estimate_bounds_what_the_executor_saves(trace: Trace, outer: OuterSpec) -> None:
    """Four nodes: the largest state at any cut is within the estimate, and above 60 % of it."""
    spec = tiny_spec(outer=outer)
    vectors = version_vectors(outer)
    group = Group.of(trace, spec, lambda: tiny_problem(spec, trace.fleet_nodes), 1)
    sizes = []
    for cut in range(len(trace.ops)):
        group.run(spec, limit=cut)
        nodes, shared = group.saved()
        sizes.append(sum(t.nbytes for saved in (*nodes.values(), shared) for t in saved.tensors.values()))
    parameters = Layout.of(tiny_problem(spec, trace.fleet_nodes).module).size
    estimate = checkpoint_bytes(
        parameters,
        nodes=4,
        versions=peak_versions(trace),
        version_vectors=vectors,
        states=0,
        residuals=0,
        synchronous=False,
    )
    assert 0.6 * estimate < max(sizes) <= estimate
    needed = worker_bytes(
        parameters, 0, nodes=4, versions=2, version_vectors=vectors, states=0, residuals=0, synchronous=False
    )
    assert needed > estimate


def test_another_node_adds_its_five_vectors() -> None:
    one = worker_bytes(1000, 77, nodes=1, versions=2, version_vectors=2, states=0, residuals=0, synchronous=False)
    assert one == 4 * 1000 * (5 + 2 * 2 + 4) + 77
    two = worker_bytes(1000, 77, nodes=2, versions=2, version_vectors=2, states=0, residuals=0, synchronous=False)
    assert two - one == 5 * 4 * 1000


def test_the_object_store_holds_three_cuts_and_more() -> None:
    assert object_store_bytes(0) == 200 * 2**20
    assert object_store_bytes(10**10) > 3 * 10**10
    assert copies_bytes(10**10) == 4 * 10**10


@pytest.mark.parametrize("sharded", [False, True])
def test_devices_of_a_node_divide_what_is_not_needed_whole(sharded: bool) -> None:
    """Data parallel keeps both moments of every node whole, and of what is kept for a node to go back to."""
    few = {"nodes": 3, "versions": 2, "version_vectors": 2, "states": 1, "residuals": 1, "synchronous": False}
    one, four = (worker_bytes(1000, 77, **few, devices=devices, sharded=sharded) for devices in (1, 4))
    assert one == 4 * 1000 * (5 * 3 + 3 + 2 * 2 + 1 + 4) + 77
    whole, divided = (2, 28) if sharded else (3 + 2 * 4, 19)
    assert four == 4 * 1000 * (4 * whole + divided) // 4 + 77
    cut, cut_of_four = (checkpoint_bytes(1000, **few, devices=devices, sharded=sharded) for devices in (1, 4))
    assert cut_of_four - cut == (0 if sharded else 4 * 1000 * 3 * 2 * 4)


def test_estimate_bounds_what_devices_save() -> None:
    nodes = (0, 1, 2, 3)
    spec, trace = tiny_spec(), rounds_trace(nodes, rounds=2, steps=1, mode="keep")
    fleet = Fleet.of(trace, spec, lambda: tiny_problem(spec, nodes), 2, 2)
    sizes = []
    for cut in range(len(trace.ops)):
        fleet.run(limit=cut)
        saved = [each for own, shared in fleet.saved() for each in (*own.values(), shared)]
        sizes.append(sum(tensor.nbytes for each in saved for tensor in each.tensors.values()))
    few = {"nodes": 4, "versions": peak_versions(trace), "version_vectors": 2, "states": 0, "residuals": 0}
    size = Layout.of(tiny_problem(spec, nodes).module).size
    estimate = checkpoint_bytes(size, **few, synchronous=False, devices=2)
    assert 0.6 * estimate < max(sizes) <= estimate
