"""Which values are still needed."""

from orbital_train.train.liveness import drops, holders, peak_versions
from tests.unit.train.trace_builder import TraceBuilder


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
    assert peak_versions(build.trace()) == 2


def test_a_trace_without_merges_keeps_version_0() -> None:
    build = TraceBuilder(nodes=(0,))
    build.step(0, 1)
    assert drops(build.trace()) == {}


def test_sums_go_with_their_last_reader_too() -> None:
    build = TraceBuilder(nodes=(0, 1, 4))
    a, b, c = (build.snapshot(node, 0) for node in build.nodes)  # 0, 1, 2
    far = build.combine(9, {c: 1.0, b: 1.0})  # 3
    both = build.combine(0, {far: 1.0, a: 1.0})  # 4
    lost = build.combine(4, {c: 1.0, a: 0.0})  # 5, never merged; c again
    nothing = build.combine(4, {c: 0.0, b: 0.0})  # 6
    build.merge(0, {both: 0.5})  # 7
    assert holders(build.trace()) == {a: 0, b: 1, c: 4, far: 1, both: 0, lost: 4, nothing: 1, "result/0@1": 0}
    assert drops(build.trace()) == {
        0: ((0, f"mark/{a}"),),
        1: ((1, f"mark/{b}"),),
        2: ((4, f"mark/{c}"),),
        4: ((1, far),),
        5: ((0, a), (4, lost)),
        6: ((1, b), (4, c), (1, nothing)),
        7: ((None, "global/0@0"), (0, both)),
    }


def test_versions_are_counted_by_fragment() -> None:
    """Three of fragment 1 are alive at once: 0 for the keeping adoption, 1 for the evaluation, 2."""
    build = TraceBuilder(nodes=(0,), fragments=3)
    build.merge(0, {}, fragment=0)
    build.merge(0, {}, fragment=1)
    build.merge(1, {}, fragment=1)
    build.evaluate(1, 1, 0)
    build.adopt(0, 2, "keep", fragment=1)
    build.merge(0, {}, fragment=2)
    assert peak_versions(build.trace()) == 3
    assert drops(build.trace()) == {
        0: ((None, "global/0@0"),),
        3: ((None, "global/1@1"),),
        4: ((None, "global/1@0"),),
        5: ((None, "global/2@0"),),
    }
