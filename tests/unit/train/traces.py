"""Small traces of one global model, written by hand."""

from __future__ import annotations

from orbital_train.schedule.ops.nodes import AdoptMode
from orbital_train.schedule.trace import Trace
from tests.unit.train.trace_builder import TraceBuilder


def rounds_trace(
    nodes: tuple[int, ...], rounds: int, steps: int, mode: AdoptMode = "replace", fragments: int = 1
) -> Trace:
    """Blocking rounds: all nodes step, send all fragments, merge with equal weights and adopt."""
    build = TraceBuilder(nodes=nodes, budget_steps=rounds * steps, fragments=fragments)
    for version in range(rounds):
        for node in nodes:
            build.step(node, steps)
        for fragment in range(fragments):
            names = [build.snapshot(node, version, fragment=fragment) for node in nodes]
            build.merge(version, dict.fromkeys(names, 1 / len(nodes)), fragment=fragment)
            for node, name in zip(nodes, names, strict=True):
                build.adopt(node, version + 1, mode, name if mode == "keep" else None, fragment=fragment)
        build.evaluate(*[version + 1] * fragments, merged_steps=(version + 1) * steps * len(nodes))
    return build.trace()


def everything_trace() -> Trace:
    """Four nodes with gaps between their indices: unequal steps, staleness, a snapshot under way across adoptions,
    keep, blend and replace, a contribution of weight zero, one that is never merged, and synchronous steps."""
    build = TraceBuilder(nodes=(0, 2, 3, 7), budget_steps=20)
    build.evaluate(0)
    build.step(0, 2)
    build.step(2, 1)
    build.step(7, 3)
    a = build.snapshot(0, 0)
    c = build.snapshot(7, 0, "bf16")
    build.step(0, 1)
    build.merge(0, {a: 0.75, c: 0.25})
    build.step(3, 2)
    late = build.snapshot(3, 0)
    build.step(7, 1)
    build.adopt(0, 1, "keep", a)
    build.adopt(7, 1, "keep", c)
    build.evaluate(1, merged_steps=5)
    build.step(3, 1)
    build.adopt(3, 1, "keep")  # the version overtakes its own snapshot, which is still under way
    build.step(3, 1)
    lost = build.snapshot(0, 1)
    build.step(0, 1)
    b = build.snapshot(2, 0)
    build.merge(1, {late: 0.6, b: 0.4, lost: 0.0}, staleness=1)
    build.adopt(3, 2, "keep", late)
    build.adopt(2, 2)
    build.adopt(0, 2, "blend", alpha=0.25)
    build.evaluate(2, merged_steps=9)
    build.sync_step(2, 2)
    for node in build.nodes:
        build.adopt(node, 3, "keep" if node == 7 else "replace")
        build.step(node, 1 + node % 3)
    names = [build.snapshot(node, 3) for node in build.nodes]
    build.sync_step(1, 3, group=(2, 7))
    build.merge(4, {name: 0.1 * (k + 1) for k, name in enumerate(names)})
    build.evaluate(5, merged_steps=20)
    return build.trace()


def streaming_trace() -> Trace:
    """Two fragments whose rounds overlap; sums of snapshots and of sums, rounded on the way, one of weight zero and one
    that is never merged; keep, blend and replace; a merge of nothing."""
    build = TraceBuilder(nodes=(0, 2, 3, 7), budget_steps=20, fragments=2)
    build.evaluate(0, 0)
    for node in build.nodes:
        build.step(node, 1 + node % 3)
    a, b, c, d = (build.snapshot(node, 0, "bf16") for node in build.nodes)
    far = build.combine(3, {c: 2.0, d: 3.0}, "bf16")
    build.step(2, 1)
    x, y = (build.snapshot(node, 0, "bf16", fragment=1) for node in (2, 7))
    near = build.combine(0, {far: 1.0, b: 1.0}, "bf16")
    build.step(7, 1)
    pair = build.combine(2, {x: 1.0, y: 2.0}, fragment=1)
    build.merge(0, {near: 0.125, a: 0.25}, codec="bf16")
    build.step(3, 2)
    z = build.snapshot(3, 0, "bf16", fragment=1)
    build.adopt(2, 1, "keep", b)  # its snapshot of the other fragment is under way
    build.adopt(7, 1, "blend", alpha=0.5)
    build.adopt(3, 1, "keep", c)
    build.step(7, 1)
    late = build.snapshot(7, 1)
    build.merge(0, {pair: 0.25, z: 0.25}, fragment=1)
    build.evaluate(1, 1, merged_steps=6)
    build.adopt(2, 1, "keep", x, fragment=1)
    build.adopt(7, 1, "keep", y, fragment=1)  # its snapshot of the first fragment is under way
    build.adopt(0, 1, "keep", fragment=1)
    build.step(0, 1)
    build.merge(1, {}, fragment=1)
    w = build.snapshot(0, 0)
    nothing = build.combine(0, {w: 0.0})
    build.combine(3, {build.snapshot(2, 1): 1.0, build.snapshot(3, 1): 1.0})
    build.merge(1, {late: 1.0, nothing: 1.0}, staleness=1)
    build.adopt(7, 2, "keep", late)
    build.adopt(0, 2)
    build.adopt(2, 2, "keep", fragment=1)
    build.step(2, 1)
    build.step(7, 1)
    s, t = (build.snapshot(node, 2, fragment=1) for node in (0, 2))
    build.merge(2, {build.combine(2, {s: 1.0, t: 1.0}, fragment=1): 0.5}, codec="bf16", fragment=1)
    build.evaluate(2, 3, merged_steps=12)
    return build.trace()


def one_by_one_trace() -> Trace:
    """As asynchronous: every merge has one contribution, of a node that keeps what it trained meanwhile."""
    build = TraceBuilder(nodes=(0, 2, 3, 7), budget_steps=40)
    version = 0
    for turn in range(3):
        for node in (0, 7, 2, 0, 3)[turn:]:
            build.step(node, 1 + (node + turn) % 3)
            name = build.snapshot(node, build.adopted.get((node, 0), 0))
            build.step(node, 1)
            staleness = version - build.adopted.get((node, 0), 0)
            build.merge(version, {name: 1.0}, staleness)
            version += 1
            build.adopt(node, version, "keep", name)
        build.evaluate(version)
    return build.trace()


def contributions_trace() -> Trace:
    """Rounds of which every contribution comes by itself: two of one node that failed, stale ones, one of no weight,
    few, one alone and none, encoded and not, with every way to adopt."""
    build = TraceBuilder(nodes=(0, 2, 3, 7), budget_steps=30)
    for node in build.nodes:
        build.step(node, 1 + node % 3)
    first = [build.snapshot(node, 0, "bf16" if node == 3 else "fp32") for node in build.nodes]
    build.merge(0, dict(zip(first, (0.1, 0.2, 0.3, 0.4), strict=True)), codec="bf16")
    for node, name in zip(build.nodes[:3], first, strict=False):
        build.adopt(node, 1, "keep" if node else "replace", name if node else None)
    for node in build.nodes:
        build.step(node, 2)
    lost = build.snapshot(2, 1)
    build.start_anew(2, 0, 1)
    build.step(2, 1)
    second = [build.snapshot(node, 0 if node == 7 else 1) for node in build.nodes]
    build.merge(1, {lost: 0.2, **dict.fromkeys(second, 0.2)}, staleness=1)
    build.adopt(0, 2, "blend", alpha=0.5)
    build.adopt(7, 2, "replace")
    build.step(0, 1)
    build.step(7, 3)
    third = [build.snapshot(node, 2) for node in (0, 7)]
    build.merge(2, {third[0]: 0.5, third[1]: 0.5, build.snapshot(3, 1): 0.0})
    build.adopt(0, 3)
    build.step(0, 2)
    build.merge(3, {build.snapshot(0, 3): 1.0})
    build.merge(4, {})
    build.evaluate(5, merged_steps=20)
    return build.trace()


def codec_trace(codec: str) -> Trace:
    """Rounds in which everything is encoded by one codec. Two outer gradients are added up on the way, at the same site
    in every round, and one is lost in the first; later a node goes back to its own store with its outer gradient under
    way, another loses its state, and a version is given up."""
    build, newest = TraceBuilder(nodes=(0, 2, 3, 7), budget_steps=40), 0
    build.evaluate(0)
    for number in range(5):
        base = newest
        for node in build.nodes:
            build.step(node, 2)
        a, b, c, d = (build.snapshot(node, base, codec) for node in build.nodes)
        if number == 1:
            build.step(2, 1)
            build.go_on(2, states_lost=1)
        near = build.combine(9, {b: 1.0, c: 2.0}, codec)
        if number == 2:
            build.start_anew(7, 0, base, codec="bf16")
            build.step(7, 1)
            d = build.snapshot(7, base, codec)
        if number == 3:
            build.merge(base, {a: 1.0}, codec=codec)
        newest = base + (2 if number == 3 else 1)
        weights = {near: 0.25, a: 0.25} if number == 0 else {near: 0.2, a: 0.2, d: 0.2}
        build.merge(base, weights, codec=codec, to_version=newest)
        for node in build.nodes:
            build.adopt(node, newest, "keep" if (number, node) == (0, 7) else "replace")
        build.evaluate(newest)
    return build.trace()
