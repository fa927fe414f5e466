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
from tests.unit.train.traces import Group, rounds_trace, streaming_trace, tiny_problem, tiny_spec


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
        parameters, nodes=4, versions=peak_versions(trace), version_vectors=vectors, states=0, synchronous=False
    )
    assert 0.6 * estimate < max(sizes) <= estimate
    needed = worker_bytes(parameters, 0, nodes=4, versions=2, version_vectors=vectors, states=0, synchronous=False)
    assert needed > estimate


def test_another_node_adds_its_five_vectors() -> None:
    one = worker_bytes(1000, 77, nodes=1, versions=2, version_vectors=2, states=0, synchronous=False)
    assert one == 4 * 1000 * (5 + 2 * 2 + 3) + 77
    two = worker_bytes(1000, 77, nodes=2, versions=2, version_vectors=2, states=0, synchronous=False)
    assert two - one == 5 * 4 * 1000


def test_the_object_store_holds_three_cuts_and_more() -> None:
    assert object_store_bytes(0) == 200 * 2**20
    assert object_store_bytes(10**10) > 3 * 10**10
    assert copies_bytes(10**10) == 4 * 10**10
