"""The algorithms of the papers as small traces, each in the simplest form that shows it; ``golden.py`` trains them."""

from __future__ import annotations

from orbital_train.schedule.trace import Trace
from tests.unit.train.trace_builder import TraceBuilder

NODES = (0, 2, 3, 7)
PACES = {0: 4, 2: 3, 3: 2, 7: 1}  # inner steps in a while


def eager_trace() -> Trace:
    """Every node trains on while its outer gradient is merged, and keeps that progress when it adopts the result."""
    build = TraceBuilder(nodes=NODES, budget_steps=48)
    under_way = dict.fromkeys(NODES, "")
    for version in range(4):
        for node in NODES:
            build.step(node, 2)
            if version:
                build.adopt(node, version, "keep", under_way[node])
            under_way[node] = build.snapshot(node, version)
            build.step(node, 1)
        build.merge(version, dict.fromkeys(under_way.values(), 0.25))
    return build.trace()


def streaming_in_turn_trace() -> Trace:
    """Streaming: two fragments in turn, a result blended in with alpha = 0.5 two steps after the snapshot."""
    build = TraceBuilder(nodes=NODES, budget_steps=64, fragments=2)
    for turn in range(6):
        version, fragment = divmod(turn, 2)
        for node in NODES:
            build.step(node, 1)
        names = [build.snapshot(node, version, "bf16", fragment) for node in NODES]
        for node in NODES:
            build.step(node, 2)
        build.merge(version, dict.fromkeys(names, 0.25), codec="bf16", fragment=fragment)
        for node, name in zip(NODES, names, strict=True):
            build.adopt(node, version + 1, "blend", name, alpha=0.5, fragment=fragment)
    return build.trace()


def quorum_trace() -> Trace:
    """A quorum of two of four, and who comes within the grace window; the late are in the next merge. Weights by
    tokens, and all keep what they train meanwhile."""
    build = TraceBuilder(nodes=NODES, budget_steps=48)
    since, tokens = dict.fromkeys(NODES, 0), dict.fromkeys(NODES, 0)  # the last snapshot, and in it
    under_way: dict[int, str] = {}
    for version, come in enumerate([(0, 2), (0, 3, 7), (2, 0), (7, 3, 2, 0)]):
        for node in NODES:
            build.step(node, PACES[node])
            since[node] += PACES[node]
            if node not in under_way:
                tokens[node], since[node] = since[node], 0
                under_way[node] = build.snapshot(node, build.adopted.get((node, 0), 0))
        merged = sum(tokens[node] for node in come)
        build.merge(version, {under_way[node]: tokens[node] / merged for node in come})
        for node in come:
            build.adopt(node, version + 1, "keep", under_way.pop(node))
    return build.trace()


def dynamic_updates_trace() -> Trace:
    """Asynchronous with dynamic local updates: nodes contribute equally often, after steps in proportion to their
    paces; each is merged alone and keeps what it trains meanwhile."""
    build, version = TraceBuilder(nodes=NODES, budget_steps=48), 0
    for _ in range(3):
        for node in NODES:
            build.step(node, PACES[node])
            name = build.snapshot(node, build.adopted.get((node, 0), 0))
            build.step(node, 1)
            build.merge(version, {name: 1.0}, staleness=version - build.adopted.get((node, 0), 0))
            version += 1
            build.adopt(node, version, "keep", name)
    return build.trace()
