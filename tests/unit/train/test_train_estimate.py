"""Memory and disk, estimated and real."""

import pytest

from orbital_train.schedule.trace import Trace
from orbital_train.train.estimate import checkpoint_bytes, parameter_count, worker_bytes
from orbital_train.train.liveness import peak_versions
from orbital_train.train.spec import ModelSpec
from tests.unit.train.traces import Group, rounds_trace, streaming_trace, tiny_problem, tiny_spec


@pytest.mark.parametrize(
    "trace",
    [
        rounds_trace((0, 1, 2, 3), rounds=2, steps=1, mode="keep"),
        rounds_trace((0, 1, 2, 3), rounds=2, steps=1, mode="keep", fragments=3),
        streaming_trace(),
    ],
    ids=["rounds", "fragments", "streaming"],
)
def test_estimate_bounds_what_the_executor_saves(trace: Trace) -> None:
    """Four nodes: the largest state at any cut is within the estimate, and above 60 % of it."""
    spec = tiny_spec()
    group = Group.of(trace, spec, lambda: tiny_problem(spec, trace.fleet_nodes), 1)
    sizes = []
    for cut in range(len(trace.ops)):
        group.run(spec, limit=cut)
        nodes, shared = group.saved()
        sizes.append(sum(t.nbytes for saved in (*nodes.values(), shared) for t in saved.tensors.values()))
    estimate = checkpoint_bytes(spec.model, 11, nodes=4, versions=peak_versions(trace), states=0, synchronous=False)
    assert 0.6 * estimate < max(sizes) <= estimate
    assert worker_bytes(spec.model, 11, 2, nodes=4, versions=2, states=0, synchronous=False) > estimate


def test_estimate_of_a_large_model() -> None:
    """GPT-2 small has 124 M parameters less its biases and 1024 positions of 768."""
    model = ModelSpec(layers=12, heads=12, width=768, context=1024)
    assert parameter_count(model, 50257) == 124_337_664
    one = worker_bytes(model, 50257, 1, nodes=1, versions=2, states=0, synchronous=False)
    two = worker_bytes(model, 50257, 1, nodes=2, versions=2, states=0, synchronous=False)
    assert two - one == 5 * 4 * 124_337_664
