"""Small traces with several models, written by hand: those of groups, and in gossip those of nodes."""

from __future__ import annotations

from orbital_train.schedule.trace import Trace
from tests.unit.train.trace_builder import TraceBuilder


def groups_trace() -> Trace:
    """Two groups, (0, 2) and (3, 7): they merge among themselves and between them, one with a contribution that is
    late, keep what they merged since, and take a global version that holds nothing of theirs."""
    build = TraceBuilder(nodes=(0, 2, 3, 7), budget_steps=20)
    build.evaluate(0)
    for node in build.nodes:
        build.step(node, 1 + node % 3)
    a, b, c = build.snapshot(0, 0), build.snapshot(2, 0, "bf16"), build.snapshot(3, 0)
    build.merge(0, {a: 0.5, b: 0.5}, to_version=1, group=0)
    build.step(0, 1)
    build.adopt(0, 1, "keep", a)
    first = build.group_snapshot(0, 0, base=0, version=1, codec="bf16")
    build.merge(0, {c: 1.0}, to_version=2, group=1)
    build.adopt(2, 1, "keep", b)
    build.step(2, 1)
    build.merge(0, {first: 1.0}, to_version=3)
    build.evaluate(3, merged_steps=4)
    second = build.group_snapshot(1, 7, base=0, version=2)
    d = build.snapshot(2, 1)
    build.merge(1, {d: 1.0}, to_version=4, group=0)
    build.rebase(0, old=4, since=1, taken=3, to_version=5)
    build.step(0, 1)
    e = build.snapshot(0, 1)
    build.merge(5, {e: 1.0}, to_version=6, group=0, staleness=2)
    build.adopt(2, 6, "keep", d)
    build.adopt(0, 6, "keep", e)
    third = build.group_snapshot(0, 2, base=3, version=6)
    build.adopt(7, 2, "keep")
    build.merge(3, {second: 0.25, third: 0.75}, to_version=7, staleness=1)
    build.step(7, 2)
    build.rebase(1, old=2, since=2, taken=7, to_version=8)  # it is the global version
    f = build.snapshot(7, 2)
    build.merge(8, {f: 1.0}, to_version=9, group=1)
    build.adopt(7, 9, "keep", f)
    build.adopt(3, 9, "keep", c)
    build.step(3, 1)
    build.evaluate(7, merged_steps=11)
    return build.trace()


def gossip_trace() -> Trace:
    """Two fragments and no global model: pairs mix, both or one of them, at once or with steps in between; an outer
    gradient is offered twice, one is never mixed; a node goes on as it was earlier, one with another's slow weights."""
    build = TraceBuilder(nodes=(0, 2, 3, 7), budget_steps=20, fragments=2, gossips=True)
    build.evaluate_mean(*build.nodes)
    for node in build.nodes:
        build.step(node, 1 + node % 3)
    a, d = build.offer(0, "bf16"), build.offer(7, "bf16")
    build.step(0, 1)
    build.mix(0, {a: 0.25, d: 0.75}, "bf16")
    build.step(0, 1)
    x, z = build.offer(0, fragment=1), build.offer(3, fragment=1)
    b, c = build.offer(2), build.offer(3)
    build.mix(7, {d: 0.75, a: 0.25}, "bf16")  # from slow weights that node 0 has not any more
    build.mix(3, {c: 0.5, b: 0.5})
    build.step(3, 1)
    build.mix(0, {x: 0.5, z: 0.5}, fragment=1)
    build.evaluate_mean(0, 3, 7, merged_steps=8)
    build.step(2, 2)
    build.go_on(2, states_lost=1)
    e, f = build.offer(2), build.offer(7)
    build.mix(2, {e: 1.0, f: 0.0})  # what node 3 sent was lost
    build.mix(3, {z: 0.5, x: 0.5}, fragment=1)
    build.copy_slow_weights(3, 2)
    build.step(3, 2)
    build.step(7, 1)
    g, h = build.offer(3), build.offer(7)
    build.mix(7, {h: 0.4, g: 0.6}, "bf16")
    build.mix(3, {g: 0.6, h: 0.4}, "bf16")
    build.step(3, 1)
    build.offer(2, fragment=1)
    build.evaluate_mean(*build.nodes, merged_steps=14)
    return build.trace()
