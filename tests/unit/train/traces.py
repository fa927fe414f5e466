"""Small traces written by hand, and what else the tests of the executor share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from orbital_train.schedule.faults import FlipTarget
from orbital_train.schedule.trace import (
    GLOBAL,
    Adopt,
    AdoptMode,
    Combine,
    Contribution,
    Evaluate,
    GroupSnapshot,
    Lose,
    Merge,
    Mix,
    Op,
    OwnVersions,
    Rebase,
    Restore,
    Snapshot,
    Step,
    SyncStep,
    Trace,
    Upset,
    global_value,
    group_scope,
    group_snapshot_value,
    own_scope,
    part_value,
    snapshot_value,
    sum_value,
)
from orbital_train.train.data.text import Corpus, TextData
from orbital_train.train.device import configure
from orbital_train.train.executor import Executor
from orbital_train.train.gate import Gate
from orbital_train.train.operations import Row
from orbital_train.train.placement import place
from orbital_train.train.problem import Problem, build_model, problem_of
from orbital_train.train.protocol import Batch
from orbital_train.train.spec import InnerSpec, Named, OuterSpec, TrainSpec
from orbital_train.train.state import Saved
from orbital_train.train.transport import ThreadTransport, thread_group

# What is saved of a replica that has taken a step under AdamW: that of its matrices, and that of the rest.
REPLICA = {"parameters", *(f"inner/{k}/{name}" for k in (0, 1) for name in ("step", "exp_avg", "exp_avg_sq"))}


@dataclass
class TraceBuilder:
    """Collects operations, and remembers what later ones refer to."""

    nodes: tuple[int, ...]
    budget_steps: int = 100
    fragments: int = 1
    gossips: bool = False
    ops: list[Op] = field(default_factory=list)
    first: dict[int, int] = field(default_factory=dict)  # batch indices used so far, by node
    state: dict[int, int] = field(default_factory=dict)  # of the replica, by node
    adopted: dict[tuple[int, int], int] = field(default_factory=dict)  # version, by node and fragment
    own: dict[tuple[int, int], int] = field(default_factory=dict)  # version of own slow weights, likewise
    offered: dict[str, int] = field(default_factory=dict)  # version that an outer gradient started from
    sums: dict[tuple[int, int], int] = field(default_factory=dict)  # formed so far, by site and fragment
    holds: dict[str, dict[str, float]] = field(default_factory=dict)  # snapshots in a value, with their weights

    def step(self, node: int, n: int) -> None:
        """Steps lead from the node's state to its next one."""
        first = self.first.get(node, 0)
        self.first[node] = first + n
        self._add(
            Step,
            node=node,
            state=self._next_state(node),
            first=first,
            n=n,
            tokens=n,
            lr_progress=first / self.budget_steps,
            lr_progress_per_step=1 / self.budget_steps,
        )

    def sync_step(self, n: int, from_version: int, group: tuple[int, ...] | None = None) -> None:
        first = self.first.get(-1, 0)
        self.first[-1] = first + n
        self._add(
            SyncStep,
            group=group or self.nodes,
            first=first,
            n=n,
            tokens=n,
            lr_progress=first / self.budget_steps,
            lr_progress_per_step=1 / self.budget_steps,
            from_version=from_version,
            to_version=from_version + 1,
        )

    def snapshot(self, node: int, base: int, codec: str = "fp32", fragment: int = 0) -> str:
        state = self.state.get(node, 0)
        name = snapshot_value(node, fragment, state)
        self.holds[name] = {name: 1.0}
        self.offered[name] = base
        self._add(
            Snapshot,
            node=node,
            state=state,
            fragment=fragment,
            base_version=base,
            steps=1,
            tokens=1,
            codec=codec,
            scope=own_scope(node) if self.gossips else GLOBAL,
        )
        return name

    def offer(self, node: int, codec: str = "fp32", fragment: int = 0) -> str:
        """A node's outer gradient from its newest slow weights on."""
        return self.snapshot(node, self.own.get((node, fragment), 0), codec, fragment)

    def mix(self, node: int, weights: dict[str, float], codec: str = "fp32", fragment: int = 0) -> None:
        """A node mixes outer gradients, its own first, and adopts what comes of it."""
        version, (since, *_) = self.own.get((node, fragment), 0), weights
        self.own[node, fragment] = version + 1
        self._add(
            Mix,
            node=node,
            fragment=fragment,
            from_version=version,
            to_version=version + 1,
            contributions=tuple(
                Contribution(snapshot=name, node=int(name.split("/")[1]), steps=1, weight=weight, staleness=0)
                for name, weight in weights.items()
            ),
            slow_versions=tuple(self.offered[name] for name in weights),
            codec=codec,
        )
        self.adopt(node, version + 1, "keep", since, fragment=fragment)

    def combine(
        self,
        site: int,
        weights: dict[str, float],
        codec: str = "fp32",
        fragment: int = 0,
        part: tuple[int, int] = (0, 1),
    ) -> str:
        number = self.sums.get((site, fragment), 0)
        self.sums[site, fragment] = number + 1
        name = part_value(sum_value(site, fragment, number), part)
        self.holds[name] = self._held(weights)
        inputs, values = tuple(weights), tuple(weights.values())
        self._add(
            Combine, site=site, number=number, fragment=fragment, inputs=inputs, weights=values, codec=codec, part=part
        )  # fmt: skip
        return name

    def merge(
        self,
        from_version: int,
        weights: dict[str, float],
        staleness: int = 0,
        codec: str = "fp32",
        fragment: int = 0,
        to_version: int | None = None,
        group: int | None = None,
    ) -> None:
        """``to_version`` follows on ``from_version`` unless there is such a one already, that was given up."""
        contributions = tuple(
            Contribution(snapshot=name, node=int(name.split("/")[-2]), steps=1, weight=weight, staleness=staleness)
            for name, weight in self._held(weights).items()
        )
        self._add(
            Merge,
            scope=GLOBAL if group is None else group_scope(group),
            site=self.nodes[0],
            holders=self.nodes,
            fragment=fragment,
            from_version=from_version,
            to_version=to_version or from_version + 1,
            contributions=contributions,
            inputs=tuple(weights),
            input_weights=tuple(weights.values()),
            momentum="replicated",
            codec=codec,
        )

    def group_snapshot(self, group: int, node: int, base: int, version: int, codec: str = "fp32") -> str:
        """A group's outer gradient of the whole model."""
        name = group_snapshot_value(group, node, 0, version)
        self.holds[name] = {name: 1.0}
        self._add(
            GroupSnapshot,
            group=group,
            node=node,
            fragment=0,
            base_version=base,
            version=version,
            steps=1,
            tokens=1,
            codec=codec,
        )
        return name

    def rebase(self, group: int, old: int, since: int, taken: int, to_version: int) -> None:
        """A group takes a global version."""
        self._add(
            Rebase,
            group=group,
            fragment=0,
            from_version=old,
            since_version=since,
            global_version=taken,
            to_version=to_version,
        )

    def adopt(
        self,
        node: int,
        version: int,
        mode: AdoptMode = "replace",
        since: str | None = None,
        alpha: float = 1.0,
        fragment: int = 0,
        codec: str | None = None,
    ) -> None:
        base_version = self.adopted.get((node, fragment), 0)
        self.adopted[node, fragment] = version
        self._add(
            Adopt,
            node=node,
            state=self._next_state(node),
            fragment=fragment,
            base_version=base_version,
            version=version,
            since_snapshot=since,
            mode=mode,
            alpha=alpha,
            codec=codec,
            scope=own_scope(node) if self.gossips else GLOBAL,
        )

    def lose(self, node: int, steps: int = 0, *, everything: bool = False) -> None:
        self._add(Lose, node=node, cause="reset", loses_state=everything, steps=steps)

    def go_on(self, node: int, states_lost: int = 0) -> None:
        """The node fails, and goes on from its own store, as it was so many states ago."""
        self.lose(node, states_lost)
        state = self._next_state(node)
        self._restore(node=node, state=state, source=node, from_state=state - states_lost, versions=(), codec=None)

    def start_anew(self, node: int, source: int, *versions: int, codec: str | None = None) -> None:
        """The node fails and loses its state, and is sent ``versions`` of all fragments."""
        self.lose(node, everything=True)
        for fragment, version in enumerate(versions):
            self.adopted[node, fragment] = version
        state = self._next_state(node)
        self._restore(node=node, state=state, source=source, from_state=-1, versions=versions, codec=codec)

    def copy_slow_weights(self, node: int, source: int, codec: str = "bf16") -> None:
        """The node fails and loses its state, and is sent another's slow weights."""
        self.lose(node, everything=True)
        every = range(self.fragments)
        versions = tuple(self.own.get((source, f), 0) for f in every)
        own = tuple(self.own.get((node, f), 0) + 1 for f in every)
        for fragment, version in enumerate(own):
            self.own[node, fragment] = self.adopted[node, fragment] = version
        state = self._next_state(node)
        self._restore(
            node=node, state=state, source=source, from_state=-1, versions=versions, codec=codec, own_versions=own
        )

    def _restore(self, **fields: object) -> None:
        self._add(Restore, request=1, **fields)

    def upset(self, node: int, target: FlipTarget, place: float = 0.5, bit: int = 30, value: str = "") -> None:
        """In the first of the node's inner steps that are added next, if they are; otherwise by itself."""
        self._add(Upset, node=node, target=target, place=place, bit=bit, value=value)

    def evaluate(self, *versions: int, merged_steps: int = 0) -> None:
        """``versions`` of all fragments."""
        self._add(Evaluate, scope="global", versions=versions, merged_steps=merged_steps, merged_tokens=merged_steps)

    def evaluate_mean(self, *nodes: int, merged_steps: int = 0) -> None:
        """The mean of these nodes' slow weights."""
        self._add(
            Evaluate,
            scope="mean",
            versions=(),
            merged_steps=merged_steps,
            merged_tokens=merged_steps,
            own=self._own_versions(nodes),
        )

    def _own_versions(self, nodes: tuple[int, ...]) -> OwnVersions:
        return tuple((i, *(self.own.get((i, f), 0) for f in range(self.fragments))) for i in nodes)

    def trace(self) -> Trace:
        return Trace(
            policy="by hand",
            fleet_nodes=self.nodes,
            fragments=self.fragments,
            versions=self._newest(),
            budget_steps=self.budget_steps,
            merged_steps=0,
            own=self._own_versions(self.nodes) if self.gossips else (),
            end_us=len(self.ops),
            step_us=1,
            tokens_per_step=1,
            message_bits=1,
            state_bits=1,
            transfers=(),
            ops=tuple(self.ops),
            accounts=(),
        )

    def _newest(self) -> tuple[int, ...]:
        """The last version of each fragment."""
        last = [0] * self.fragments
        for op in self.ops:
            if isinstance(op, SyncStep) or (isinstance(op, Merge) and op.scope == GLOBAL):
                last[op.fragment if isinstance(op, Merge) else 0] = op.to_version
        return tuple(last)

    def _held(self, weights: dict[str, float]) -> dict[str, float]:
        return {name: inner * weight for value, weight in weights.items() for name, inner in self.holds[value].items()}

    def _next_state(self, node: int) -> int:
        state = self.state.get(node, 0)
        self.state[node] = state + 1
        return state

    def _add(self, kind: type[Op], **fields: object) -> None:
        op_id = len(self.ops)
        self.ops.append(kind(id=op_id, start_us=op_id, end_us=op_id + 1, **fields))


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


def tiny_spec(**changes: object) -> TrainSpec:
    """A GPT of a few hundred parameters."""
    fields: dict[str, object] = {
        "model": Named(kind="gpt", arguments={"layers": 1, "heads": 2, "width": 8, "context": 8}),
        "data": Named(kind="text"),
        "inner": InnerSpec(lr=1e-2),
        "outer": OuterSpec(),
        "batch_size": 2,
        "init_seed": 1,
        "data_seed": 2,
        "device": "cpu",
    }
    return TrainSpec(**(fields | changes))  # type: ignore[arg-type]


def tiny_corpus() -> Corpus:
    """6,000 tokens of a reproducible pattern over eleven characters."""
    k = torch.arange(6000)
    return Corpus(tokens_N=((k * k + 3 * k) % 11).to(torch.uint8), vocabulary="abcdefghijk")


def tiny_problem(spec: TrainSpec, nodes: tuple[int, ...], device: str = "cpu") -> Problem:
    data = TextData(
        tiny_corpus(), nodes=nodes, batch_size=spec.batch_size, seed=spec.data_seed, context=8, validation_batches=2
    )
    return problem_of(build_model(spec, data), data, device)


class Line(nn.Module):
    """Two parameters: y = slope x + level, squared error."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor([[0.5]]))
        self.level = nn.Parameter(torch.tensor([-0.25]))

    def forward(self, x_B: Tensor, y_B: Tensor) -> Tensor:
        return (self.slope[0] * x_B + self.level - y_B).square().mean()


def line_batch(node: int, step: int) -> Batch:
    """Four points on y = 2 x + 1, bent differently for every node."""
    x_B = torch.tensor([((7 * node + 5 * step + 3 * k) % 16) / 8 - 1 for k in range(4)])
    return x_B, 2 * x_B + 1 + 0.1 * node * x_B.square()


def line_problem() -> Problem:
    return Problem(module=Line(), batch=line_batch, validation=(line_batch(0, 0),), tokens_per_step=4)


def same_everywhere_problem() -> Problem:
    """All nodes see the same batches."""
    return Problem(
        module=Line(), batch=lambda _, k: line_batch(0, k), validation=(line_batch(0, 0),), tokens_per_step=4
    )


@dataclass
class Group:
    """Workers that are threads, each with its executor and what it emitted."""

    executors: list[Executor]
    transports: list[ThreadTransport]
    rows: list[list[Row]]

    @classmethod
    def of(
        cls, trace: Trace, spec: TrainSpec, problem: Callable[[], Problem], workers: int, places: int | None = None
    ) -> Group:
        transports = thread_group(workers)
        rows: list[list[Row]] = [[] for _ in transports]
        executors = [
            Executor(
                trace=trace,
                spec=spec,
                problem=problem(),
                transport=transport,
                owners=place(trace.fleet_nodes, workers),
                emit=rows[transport.rank].append,
                places=places,
            )
            for transport in transports
        ]
        return cls(executors=executors, transports=transports, rows=rows)

    def run(self, spec: TrainSpec, limit: int | None = None) -> None:
        """Run all workers up to a cut, or to the end; an exception in any of them is raised here."""
        errors: list[BaseException] = []

        def work(executor: Executor) -> None:
            try:
                configure(spec)
                executor.run(Gate(start=executor.position, limit=limit, leave=True))
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(e,), daemon=True) for e in self.executors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def saved(self) -> tuple[dict[int, Saved], Saved]:
        nodes = {node: saved for e in self.executors for node, saved in e.save_nodes().items()}
        return nodes, self.executors[0].save_shared()

    def all_rows(self) -> list[Row]:
        return sorted((row for rows in self.rows for row in rows), key=lambda row: row["op"])
