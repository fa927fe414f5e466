"""Small traces of what goes wrong, written by hand."""

from __future__ import annotations

from orbital_train.schedule.trace import Trace
from orbital_train.schedule.values import global_value
from tests.unit.train.trace_builder import TraceBuilder


def failures_trace() -> Trace:
    """Two fragments and nodes that fail: they go on as they were, or as they were earlier, with outer gradients under
    way; they are sent the model, exactly or rounded, at the start and later; a version is given up."""
    build = TraceBuilder(nodes=(0, 2, 3, 7), budget_steps=20, fragments=2)
    build.evaluate(0, 0)
    build.lose(7, everything=True)  # it joins late
    build.step(3, 1)
    build.go_on(3, states_lost=1)  # as it was at the very start
    for node in (0, 2, 3):
        build.step(node, 2)
    a, b, c = (build.snapshot(node, 0, "bf16") for node in (0, 2, 3))
    x, y = (build.snapshot(node, 0, "bf16", fragment=1) for node in (0, 2))
    build.step(0, 1)
    build.step(0, 2)
    build.go_on(0, states_lost=1)  # its snapshots are under way
    build.go_on(2)
    build.merge(0, {a: 0.5, c: 0.5}, codec="bf16")
    build.merge(0, {x: 1.0}, fragment=1)  # it is given up with its only holder
    build.start_anew(3, 0, 1, 0)
    build.start_anew(7, 2, 0, 0, codec="bf16")
    build.step(7, 2)
    build.step(3, 1)
    build.adopt(0, 1, "keep", a)
    build.step(0, 1)
    z = build.snapshot(0, 0, fragment=1)  # what was given up is in it again
    build.merge(0, {z: 0.75, build.combine(2, {y: 1.0}, "bf16", fragment=1): 0.25}, fragment=1, to_version=2)
    build.evaluate(1, 2, merged_steps=7)
    d, late = build.snapshot(7, 0), build.snapshot(3, 1)
    build.start_anew(3, 0, 1, 2)
    build.step(3, 2)
    build.adopt(0, 2, "keep", z, fragment=1)
    build.adopt(7, 1, "keep", codec="bf16")
    build.adopt(7, 2, "blend", alpha=0.5, fragment=1, codec="bf16")
    build.step(7, 1)
    build.go_on(7, states_lost=1)
    build.adopt(2, 1, "keep", b)  # it was merged by nobody
    again = build.snapshot(3, 1)
    sums = build.combine(2, {late: 1.0, build.snapshot(2, 1): 2.0})
    build.merge(1, {sums: 0.2, again: 0.2, d: 0.2}, staleness=1)  # two of node 3
    build.adopt(7, 2, "keep", d, codec="bf16")
    build.snapshot(7, 2)
    build.step(7, 2)
    build.merge(2, {build.snapshot(7, 2, fragment=1): 1.0}, fragment=1)
    build.evaluate(2, 3, merged_steps=16)
    return build.trace()


def upsets_trace(codec: str = "fp32") -> Trace:
    """Two fragments; bits of everything are flipped, in inner steps and between them, harmless and not."""
    build = TraceBuilder(nodes=(0, 2, 3, 7), budget_steps=40, fragments=2)
    build.evaluate(0, 0)
    for number in range(4):
        for node in build.nodes:
            build.upset(
                node, ("parameters", "gradient", "optimizer")[(number + node) % 3], 0.1 * number + 0.05, 30 - node
            )
            build.step(node, 2)
        build.upset(2, "parameters", 0.3, (30, 3)[number % 2])
        for fragment in (0, 1):
            names = [build.snapshot(node, number, codec, fragment) for node in build.nodes]
            build.upset(7, "message", 0.7, 8, names[3])
            far = build.combine(3, {names[2]: 1.0, names[3]: 1.0}, codec, fragment)
            build.upset(3, "message", 0.2, 31, far)
            build.merge(number, {far: 0.25, names[0]: 0.25, names[1]: 0.25}, codec=codec, fragment=fragment)
            build.upset(0, "message", 0.5, 0)
            for node, name in zip(build.nodes, names, strict=True):
                build.adopt(node, number + 1, "keep" if node else "replace", name if node else None, fragment=fragment)
        build.upset(3, "version", 0.9, 22, global_value(1, number + 1))
        build.upset(0, "checkpoint", 0.6, 5)
        build.upset(7, "optimizer", 0.9, 29 + number % 3)
        build.evaluate(number + 1, number + 1, merged_steps=8 * (number + 1))
    return build.trace()
