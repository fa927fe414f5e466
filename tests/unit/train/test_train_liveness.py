"""Which values are still needed."""

from orbital_train.train.liveness import drops, final_versions, peak_versions
from tests.unit.train.traces import TraceBuilder


def test_values_go_with_their_last_reader() -> None:
    build = TraceBuilder(nodes=(0, 1))
    a = build.snapshot(0, 0)  # 0
    b = build.snapshot(1, 0)  # 1, never merged
    build.merge(0, {a: 1.0})  # 2
    build.adopt(1, 1, "keep")  # 3, reads version 0 too
    build.adopt(0, 1, "keep", a)  # 4
    assert drops(build.trace()) == {
        1: ((1, b), (1, f"mark/{b}")),
        2: ((0, a),),
        3: ((None, "global/0@0"),),
        4: ((0, f"mark/{a}"),),
    }
    assert final_versions(build.trace()) == (1,)
    assert peak_versions(build.trace()) == 2


def test_a_trace_without_merges_keeps_version_0() -> None:
    build = TraceBuilder(nodes=(0,))
    build.step(0, 1)
    assert final_versions(build.trace()) == (0,)
    assert drops(build.trace()) == {}
