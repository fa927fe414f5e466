"""What is held longer where a worker may be lost."""

from orbital_train.train.liveness import drops, needed, peak_versions
from tests.unit.train.trace_builder import TraceBuilder


def held_until(build: TraceBuilder, name: str) -> int:
    found = [
        op_id for op_id, held in drops(build.trace(), lasting=True).items() if name in {value for _, value in held}
    ]
    return found[0] if found else len(build.trace().ops)


def test_an_outer_gradient_stays_until_its_node_takes_another() -> None:
    build = TraceBuilder(nodes=(0, 1))
    a = build.snapshot(0, 0)  # 0, never merged
    build.snapshot(1, 0)  # 1
    build.step(0, 1)  # 2
    build.snapshot(0, 0)  # 3
    build.step(0, 1)  # 4
    assert held_until(build, a) == held_until(build, f"mark/{a}") == 3


def test_inputs_of_a_sum_stay_until_it_is_merged() -> None:
    build = TraceBuilder(nodes=(0, 1, 4))
    a, b, c = (build.snapshot(node, 0) for node in build.nodes)  # 0, 1, 2
    far = build.combine(9, {c: 1.0, b: 1.0})  # 3
    both = build.combine(0, {far: 1.0, a: 1.0})  # 4
    build.merge(0, {both: 1.0})  # 5
    assert [held_until(build, value) >= 5 for value in (a, b, c, far, both)] == [True] * 5


def test_versions_stay_that_a_node_started_from() -> None:
    build = TraceBuilder(nodes=(0, 1))
    build.merge(0, {})  # 0: version 1
    build.adopt(0, 1, "replace")  # 1
    build.merge(1, {})  # 2: version 2
    build.adopt(1, 2, "replace")  # 3: nobody has version 0 any more
    build.merge(2, {})  # 4: version 3
    build.adopt(0, 3, "replace")  # 5: nor version 1
    assert held_until(build, "global/0@0") == 3
    assert held_until(build, "global/0@1") == 5
    assert held_until(build, "global/0@2") == 5  # the end: node 1 has it
    assert peak_versions(build.trace(), lasting=True) >= peak_versions(build.trace())


def test_what_is_needed_from_a_position_on() -> None:
    build = TraceBuilder(nodes=(0, 1))
    a, b = build.snapshot(0, 0), build.snapshot(1, 0)  # 0, 1
    build.merge(0, {a: 1.0, b: 0.0})  # 2
    build.adopt(0, 1, "keep", a)  # 3
    assert needed(build.trace(), 2) == {(None, "global/0@0"), (0, a), (0, f"mark/{a}")}
    assert needed(build.trace(), 3) == {(None, "global/0@1"), (0, f"mark/{a}")}
