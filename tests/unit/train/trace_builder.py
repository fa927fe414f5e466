"""Builds traces by hand, operation by operation."""

from __future__ import annotations

from dataclasses import dataclass, field

from orbital_train.schedule.faults import FlipTarget
from orbital_train.schedule.ops.base import Op
from orbital_train.schedule.ops.merging import Combine, Contribution, GroupSnapshot, Merge, Mix, Rebase, Snapshot
from orbital_train.schedule.ops.nodes import Adopt, AdoptMode, Lose, Restore, Step, SyncStep, Upset
from orbital_train.schedule.ops.run import Evaluate
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.values import (
    GLOBAL,
    OwnVersions,
    group_scope,
    group_snapshot_value,
    own_scope,
    part_value,
    snapshot_value,
    sum_value,
)


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
