"""Collects the operations of a simulation and turns them into a trace."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

from orbital_train.schedule.fault_times import FaultTimes
from orbital_train.schedule.faults import Outage
from orbital_train.schedule.known import Adoption
from orbital_train.schedule.network import Hop
from orbital_train.schedule.node import Node, Run
from orbital_train.schedule.ops.base import Op
from orbital_train.schedule.ops.merging import Combine, Contribution, GroupSnapshot, Merge, Mix, Rebase, Snapshot
from orbital_train.schedule.ops.nodes import Adopt, Lose, Restore, Step, SyncStep
from orbital_train.schedule.ops.run import Deliver, Evaluate, Stage
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.trace import NodeAccount, Trace
from orbital_train.schedule.transfers import Transfer
from orbital_train.schedule.upsets import upset_ops
from orbital_train.schedule.values import GLOBAL, WHOLE, OwnVersions, Part, group_snapshot_value, snapshot_value

MAX_STEPS_PER_OP = 32  # bounds how long an executor is inside one operation
FAR_NODE = 1 << 62  # behind all nodes


@dataclass
class Recorder:
    """Operations in the order in which the simulation recorded them.

    In the trace they are in the order in which they were known: each when it ended, a block of steps that is shorter
    than others when it was known that it ends there, and the last evaluation when the run ended. Blocks of steps go
    before what else is known at that moment, by node, and the rest as it was recorded. That order is topological, and
    nothing of it depends on what happens later: what is known at a moment stands before all else whatever comes.
    """

    scenario: Scenario
    holders: tuple[int, ...]  # nodes that hold the global model
    ops: list[Op] = field(default_factory=list)
    known_us: dict[int, int] = field(default_factory=dict)  # of what was known after its end, by its place in ``ops``
    transfers: list[Transfer] = field(default_factory=list)
    local_state: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    saved_state: dict[int, int] = field(default_factory=dict)  # what the store of a node that failed has
    saved_us: dict[int, int] = field(default_factory=lambda: defaultdict(int))  # since when
    stores_us: dict[int, tuple[int, int]] = field(default_factory=dict)  # each node's last two savings, if it is saved
    last_block: dict[int, int] = field(default_factory=dict)  # steps of each node's last operation, if it was of steps
    sums: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))  # formed, by site and fragment
    snapshots: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.owlt_us = [ceil(owlt_s * 1e6) for owlt_s in self.scenario.contacts.owlt_s.tolist()]

    def sent(self, hop: Hop, value: str, *, lost: bool = False, until_us: int | None = None) -> None:
        """Record a message on its way from one node to the next; its sender may stop before it is through."""
        for contact, start_us, end_us, bits in hop.pieces:
            if until_us is not None and until_us < end_us:
                if until_us <= start_us:
                    break
                bits, end_us = bits * (until_us - start_us) // (end_us - start_us), until_us
            owlt_us = self.owlt_us[contact]
            self.transfers.append(Transfer(contact, hop.source, hop.dest, start_us, end_us, owlt_us, bits, value, lost))

    def steps(self, node: int, runs: list[Run], progress_at_zero: float, progress_per_step: float) -> None:
        """Record whole inner steps; ``progress_at_zero`` is the learning-rate progress of the node's step 0."""
        tokens = self.scenario.workload.tokens_per_step
        for run in runs:
            for done in range(0, run.n, MAX_STEPS_PER_OP):
                n, first = min(MAX_STEPS_PER_OP, run.n - done), run.first + done
                start_us, end_us = run.start_us + done * run.step_us, run.start_us + (done + n) * run.step_us
                progress = progress_at_zero + first * progress_per_step
                state = self._next_state(node)
                self.last_block[node] = n
                self._save(node, end_us)
                if n < MAX_STEPS_PER_OP:
                    self.known_us[len(self.ops)] = max(end_us, run.known_us)
                self.ops.append(
                    Step(-1, start_us, end_us, node, state, first, n, n * tokens, progress, progress_per_step)
                )

    def sync_steps(self, first: int, n: int, to_version: int, sent: list[Transfer]) -> None:
        """Record synchronous steps of all training nodes that make a version, with all that they send."""
        group, workload = self.scenario.training_nodes, self.scenario.workload
        per_step = len(group) / self.scenario.budget_steps
        self.ops.append(
            SyncStep(
                id=-1,
                start_us=first * workload.step_us,
                end_us=(first + n) * workload.step_us,
                group=group,
                first=first,
                n=n,
                tokens=n * len(group) * workload.tokens_per_step,
                lr_progress=first * per_step,
                lr_progress_per_step=per_step,
                from_version=to_version - 1,
                to_version=to_version,
            )
        )
        self.transfers += sent

    def snapshot(self, node: int, at_us: int, fragment: int, base_version: int, steps: int, scope: str = GLOBAL) -> str:
        """Record an outer gradient; returns its name.

        One that was refused and is offered again by a node that has not trained since is the same outer gradient.
        """
        state = self.local_state[node]
        self.last_block.pop(node, None)  # it is saved now
        self._save(node, at_us)
        value = snapshot_value(node, fragment, state)
        if value not in self.snapshots:
            self.snapshots.add(value)
            workload = self.scenario.workload
            tokens = steps * workload.tokens_per_step
            self.ops.append(
                Snapshot(-1, at_us, at_us, node, state, fragment, base_version, steps, tokens, workload.codec, scope)
            )
        return value

    def combine(
        self,
        at_us: int,
        site: int,
        fragment: int,
        inputs: tuple[str, ...],
        weights: tuple[float, ...],
        codec: str,
        part: Part = WHOLE,
    ) -> str:
        """Record a sum formed on the way; returns its name."""
        number = self.sums[site, fragment]
        self.sums[site, fragment] += 1
        op = Combine(-1, at_us, at_us, site, number, fragment, inputs, weights, codec, part)
        self.ops.append(op)
        return op.value

    def merge(
        self,
        at_us: int,
        site: int,
        fragment: int,
        from_version: int,
        to_version: int,
        contributions: tuple[Contribution, ...],
        inputs: tuple[str, ...],
        input_weights: tuple[float, ...],
        share: float,
        scope: str = GLOBAL,
        holders: tuple[int, ...] | None = None,
    ) -> None:
        """Record an outer step."""
        self.ops.append(
            Merge(
                id=-1,
                start_us=at_us,
                end_us=at_us,
                scope=scope,
                site=site,
                holders=self.holders if holders is None else holders,
                fragment=fragment,
                from_version=from_version,
                to_version=to_version,
                contributions=contributions,
                inputs=inputs,
                input_weights=input_weights,
                momentum="replicated",
                codec=self.scenario.workload.codec,
                share=share,
            )
        )

    def group_snapshot(
        self, group: int, node: int, at_us: int, fragment: int, base_version: int, version: int, steps: int
    ) -> str:
        """Record a group's outer gradient; returns its name. One that is sent again is the same."""
        value = group_snapshot_value(group, node, fragment, version)
        if value not in self.snapshots:
            self.snapshots.add(value)
            workload = self.scenario.workload
            tokens, codec = steps * workload.tokens_per_step, workload.codec
            self.ops.append(
                GroupSnapshot(-1, at_us, at_us, group, node, fragment, base_version, version, steps, tokens, codec)
            )
        return value

    def rebase(self, at_us: int, group: int, fragment: int, old: int, since: int, taken: int, to_version: int) -> None:
        """Record that a group took a global version."""
        self.ops.append(Rebase(-1, at_us, at_us, group, fragment, old, since, taken, to_version))

    def mix(
        self,
        node: int,
        at_us: int,
        fragment: int,
        from_version: int,
        contributions: tuple[Contribution, ...],
        slow_versions: tuple[int, ...],
    ) -> None:
        """Record that a node made the next version of its own slow weights."""
        codec, to = self.scenario.workload.state_codec, from_version + 1
        self.ops.append(Mix(-1, at_us, at_us, node, fragment, from_version, to, contributions, slow_versions, codec))

    def adopt(
        self,
        node: int,
        at_us: int,
        fragment: int,
        base_version: int,
        version: int,
        since: str | None,
        how: Adoption,
        scope: str = GLOBAL,
    ) -> None:
        """Record that a node took a version."""
        exact = node in self.holders or scope != GLOBAL
        state, codec = self._next_state(node), None if exact else self.scenario.workload.state_codec
        base, alpha = base_version, how.alpha
        self._save(node, at_us)
        self.ops.append(
            Adopt(-1, at_us, at_us, node, state, fragment, base, version, since, how.mode, alpha, codec, scope)
        )

    def unsaved_steps(self, node: int) -> int:
        """Steps that a node's on-board store does not have when it fails in the middle of a block."""
        return self.last_block.get(node, 0) % MAX_STEPS_PER_OP

    def lose(self, node: int, at_us: int, outage: Outage, unsaved: int, unheard: int | None = None) -> None:
        """Record that a node failed."""
        self.saved_state[node] = self.local_state[node] - (1 if unsaved else 0)
        self.saved_us[node] = self.stores_us.get(node, (0, 0))[0 if unsaved else 1]
        self.ops.append(Lose(-1, at_us, at_us, node, outage.cause, outage.loses_state, unsaved, unheard))

    def restore_own(self, node: int, at_us: int) -> None:
        """Record that a node went on from its own store."""
        saved, state = self.saved_state[node], self._next_state(node)
        self._save(node, at_us)  # it was read whole
        self.ops.append(Restore(-1, at_us, at_us, node, state, node, saved, (), 0, None))

    def restore(
        self, node: int, at_us: int, source: int, versions: tuple[int, ...], request: int, own: tuple[int, ...] = ()
    ) -> None:
        """Record that a node was sent the model by another."""
        codec = None if node in self.holders else self.scenario.workload.state_codec
        self._save(node, at_us)
        state = self._next_state(node)
        self.ops.append(Restore(-1, at_us, at_us, node, state, source, -1, versions, request, codec, own))

    def stage(self, node: int, at_us: int) -> None:
        """Record that a node can begin."""
        self.ops.append(Stage(-1, 0, at_us, node))

    def deliver(self, start_us: int, end_us: int, site: int, source: int, versions: tuple[int, ...]) -> None:
        """Record that the final model came down."""
        self.ops.append(Deliver(-1, start_us, end_us, site, source, versions))

    def evaluate(
        self,
        at_us: int,
        versions: tuple[int, ...],
        merged_steps: int,
        own: OwnVersions = (),
        known_us: int | None = None,
    ) -> None:
        """Record a validation of the global model, or of the mean of what nodes have of their own; that it is the last
        one may be known only later."""
        tokens = merged_steps * self.scenario.workload.tokens_per_step
        scope, versions = ("mean", ()) if own else (GLOBAL, versions)
        if known_us is not None:
            self.known_us[len(self.ops)] = known_us
        self.ops.append(Evaluate(-1, at_us, at_us, scope, versions, merged_steps, tokens, own))

    def trace(
        self,
        policy: str,
        versions: tuple[int, ...],
        merged_steps: int,
        end_us: int,
        nodes: list[Node],
        own: OwnVersions = (),
    ) -> Trace:
        """The finished trace; all nodes must have been advanced to ``end_us``.

        Messages that had not begun when the run ended, as those of the last merge's result, never happen and are left
        out. The operations of this recorder are given away: it cannot be asked again.
        """
        self.ops += upset_ops(self.scenario, self.ops, self.transfers, end_us, gossips=bool(own))
        ops = tuple(self.ops[k] for k in sorted(range(len(self.ops)), key=self._place))
        for i, op in enumerate(ops):
            object.__setattr__(op, "id", i)  # nobody has seen them yet, and millions of copies would take minutes
        workload = self.scenario.workload
        return Trace(
            policy=policy,
            fleet_nodes=self.scenario.training_nodes,
            fragments=workload.fragments,
            versions=versions,
            budget_steps=self.scenario.budget_steps,
            merged_steps=merged_steps,
            own=own,
            end_us=end_us,
            step_us=workload.step_us,
            tokens_per_step=workload.tokens_per_step,
            message_bits=workload.message_bits,
            state_bits=workload.state_bits,
            transfers=tuple(t for t in self.transfers if t.start_us < end_us or t.arrival_us <= end_us),
            ops=ops,
            accounts=accounts(self.scenario, nodes, end_us),
        )

    def _save(self, node: int, at_us: int) -> None:
        self.stores_us[node] = self.stores_us.get(node, (0, 0))[1], at_us

    def _place(self, k: int) -> tuple[int, int, int]:
        """In the order of a trace."""
        op = self.ops[k]
        node = op.node if isinstance(op, Step) else FAR_NODE
        return self.known_us.get(k, op.end_us), node, k

    def _next_state(self, node: int) -> int:
        state = self.local_state[node]
        self.local_state[node] = state + 1
        self.last_block.pop(node, None)
        return state


def accounts(scenario: Scenario, nodes: list[Node], end_us: int) -> tuple[NodeAccount, ...]:
    """What every node did up to ``end_us``, beside what its energy and its outages would have allowed."""
    unhindered = unhindered_nodes(scenario, end_us)
    rows = []
    for i, node in enumerate(nodes):
        rows.append(
            NodeAccount(
                name=scenario.contacts.node_names[i],
                trains=node.setting.trains,
                steps=node.steps,
                steps_allowed=unhindered[i].steps,
                steps_always_powered=end_us // node.setting.step_us if node.setting.trains else 0,
                training_us=node.training_us,
                no_energy_us=node.no_energy_us,
                waiting_us=node.waiting_us,
                down_us=node.down_us,
                restoring_us=node.restoring_us,
                harvested_wh=node.harvested_wh,
                curtailed_wh=node.curtailed_wh,
                consumed_wh=node.consumed_wh,
                battery_loss_wh=node.loss_wh,
                unserved_wh=node.unserved_wh,
                battery_us=tuple(t for t, _ in node.battery),
                battery_wh=tuple(e for _, e in node.battery),
            )
        )
    return tuple(rows)


def unhindered_nodes(scenario: Scenario, end_us: int) -> list[Node]:
    """All nodes at ``end_us``, had they trained whenever energy, outages and their pace allowed it."""
    nodes, times = scenario.build_nodes(), FaultTimes(scenario.faults, scenario.contacts)
    changes: list[tuple[int, int, Callable[[Node], None]]] = []
    for outage in scenario.faults.down:
        changes.append((outage.start_us, outage.node, lambda node: node.put_out("down")))
        if outage.end_us is not None and not times.is_down(outage.node, outage.end_us):
            changes.append((outage.end_us, outage.node, lambda node: node.put_out("")))
    for i in scenario.training_nodes:
        for at_us, factor in times.factors(i):
            changes.append((at_us, i, lambda node, factor=factor: node.set_pace(factor)))  # type: ignore[misc]
    for node in nodes:
        node.train()
    for at_us, i, change in sorted(changes, key=lambda row: row[:2]):
        if at_us < end_us:
            nodes[i].advance(at_us)
            change(nodes[i])
    for node in nodes:
        node.advance(end_us)
    return nodes
