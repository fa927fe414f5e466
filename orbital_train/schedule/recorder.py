"""Collects the operations of a simulation and turns them into a trace."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from orbital_train.schedule.network import Route
from orbital_train.schedule.node import Node, Run
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.trace import (
    Adopt,
    AdoptMode,
    Contribution,
    Evaluate,
    Merge,
    NodeAccount,
    Op,
    Snapshot,
    Step,
    SyncStep,
    Trace,
    Transfer,
    global_value,
    local_value,
    snapshot_value,
)

FRAGMENT = 0  # the whole model is one fragment
MAX_STEPS_PER_OP = 32  # bounds how long an executor is inside one operation


@dataclass
class Recorder:
    """Operations in the order in which the simulation knew of them; sorted by (end, order known) at the end.

    That order is topological: what an operation reads was written by one that ended no later and was known before.
    """

    scenario: Scenario
    ops: list[Op] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    local_state: dict[int, int] = field(default_factory=dict)
    snapshots: dict[str, int] = field(default_factory=dict)  # where in ``ops`` each outer gradient was taken

    def sent(self, route: Route, value: str) -> tuple[int, ...]:
        """Record the transfers of a message, one a piece; returns their indices."""
        first, owlt_s = len(self.transfers), self.scenario.contacts.owlt_s
        for hop in route:
            for piece in hop.pieces:
                self.transfers.append(
                    Transfer(
                        contact=piece.contact,
                        source=hop.source,
                        dest=hop.dest,
                        start_us=piece.start_us,
                        end_us=piece.end_us,
                        owlt_us=math.ceil(owlt_s[piece.contact] * 1e6),
                        bits=piece.bits,
                        value=value,
                    )
                )
        return tuple(range(first, len(self.transfers)))

    def steps(self, node: int, runs: list[Run], progress_at_zero: float, progress_per_step: float) -> None:
        """Record whole inner steps; ``progress_at_zero`` is the learning-rate progress of the node's step 0."""
        step_us = self.scenario.workload.step_us
        for run in runs:
            for done in range(0, run.n, MAX_STEPS_PER_OP):
                n, first = min(MAX_STEPS_PER_OP, run.n - done), run.first + done
                start_us = run.start_us + done * step_us
                reads, writes = self._next_local(node)
                self.ops.append(
                    Step(
                        id=-1,
                        start_us=start_us,
                        end_us=start_us + n * step_us,
                        reads=(reads,),
                        writes=(writes,),
                        node=node,
                        first=first,
                        n=n,
                        tokens=n * self.scenario.workload.tokens_per_step,
                        lr_progress=progress_at_zero + first * progress_per_step,
                        lr_progress_per_step=progress_per_step,
                    )
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
                reads=(global_value(FRAGMENT, to_version - 1),),
                writes=(global_value(FRAGMENT, to_version),),
                transfers=tuple(range(len(self.transfers), len(self.transfers) + len(sent))),
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

    def snapshot(self, node: int, at_us: int, base_version: int, steps: int) -> str:
        """Record an outer gradient; returns its name. :meth:`attach` adds the transfers.

        One that was refused and is offered again by a node that has not trained since is the same outer gradient.
        """
        state = self.local_state.setdefault(node, 0)
        value = snapshot_value(node, FRAGMENT, state)
        if value in self.snapshots:
            return value
        self.snapshots[value] = len(self.ops)
        self.ops.append(
            Snapshot(
                id=-1,
                start_us=at_us,
                end_us=at_us,
                reads=(local_value(node, state), global_value(FRAGMENT, base_version)),
                writes=(value,),
                node=node,
                fragment=FRAGMENT,
                base_version=base_version,
                steps=steps,
                tokens=steps * self.scenario.workload.tokens_per_step,
                codec=self.scenario.workload.codec,
            )
        )
        return value

    def attach(self, snapshot: str, transfers: tuple[int, ...]) -> None:
        """Give an outer gradient the transfers by which it travels (again, if it was refused before)."""
        k = self.snapshots[snapshot]
        self.ops[k] = replace(self.ops[k], transfers=transfers)

    def merge(self, at_us: int, site: int, to_version: int, contributions: tuple[Contribution, ...]) -> None:
        """Record an outer step."""
        self.ops.append(
            Merge(
                id=-1,
                start_us=at_us,
                end_us=at_us,
                reads=(global_value(FRAGMENT, to_version - 1), *(c.snapshot for c in contributions)),
                writes=(global_value(FRAGMENT, to_version),),
                scope="global",
                site=site,
                holders=self.scenario.training_nodes,
                fragment=FRAGMENT,
                from_version=to_version - 1,
                to_version=to_version,
                contributions=contributions,
                momentum="replicated",
                codec=self.scenario.workload.codec,
            )
        )

    def adopt(
        self,
        node: int,
        at_us: int,
        base_version: int,
        version: int,
        since_snapshot: str | None,
        mode: AdoptMode,
        transfers: tuple[int, ...],
    ) -> None:
        """Record that a node took a version."""
        reads, writes = self._next_local(node)
        marks = () if mode == "replace" else (since_snapshot or global_value(FRAGMENT, base_version),)
        self.ops.append(
            Adopt(
                id=-1,
                start_us=at_us,
                end_us=at_us,
                reads=(reads, global_value(FRAGMENT, version), *marks),
                writes=(writes,),
                transfers=transfers,
                node=node,
                fragment=FRAGMENT,
                version=version,
                since_snapshot=since_snapshot,
                mode=mode,
            )
        )

    def evaluate(self, at_us: int, version: int, merged_steps: int) -> None:
        """Record a validation of the global model."""
        self.ops.append(
            Evaluate(
                id=-1,
                start_us=at_us,
                end_us=at_us,
                reads=(global_value(FRAGMENT, version),),
                writes=(),
                scope="global",
                version=version,
                merged_steps=merged_steps,
                merged_tokens=merged_steps * self.scenario.workload.tokens_per_step,
            )
        )

    def trace(self, policy: str, merged_steps: int, end_us: int, nodes: list[Node]) -> Trace:
        """The finished trace; all nodes must have been advanced to ``end_us``.

        Transfers that were booked and had not begun when the run ended, as those of the last merge's result, never
        happen and are left out.
        """
        order = sorted(range(len(self.ops)), key=lambda k: (self.ops[k].end_us, k))
        used = {t for op in self.ops for t in op.transfers}
        kept = [t for t, transfer in enumerate(self.transfers) if t in used or transfer.start_us < end_us]
        number = {t: k for k, t in enumerate(kept)}
        ops = tuple(
            replace(self.ops[k], id=i, transfers=tuple(number[t] for t in self.ops[k].transfers))
            for i, k in enumerate(order)
        )
        workload = self.scenario.workload
        return Trace(
            policy=policy,
            fleet_nodes=self.scenario.training_nodes,
            budget_steps=self.scenario.budget_steps,
            merged_steps=merged_steps,
            end_us=end_us,
            step_us=workload.step_us,
            tokens_per_step=workload.tokens_per_step,
            message_bits=workload.message_bits,
            transfers=tuple(self.transfers[t] for t in kept),
            ops=ops,
            accounts=accounts(self.scenario, nodes, end_us),
        )

    def _next_local(self, node: int) -> tuple[str, str]:
        state = self.local_state.setdefault(node, 0)
        self.local_state[node] = state + 1
        return local_value(node, state), local_value(node, state + 1)


def accounts(scenario: Scenario, nodes: list[Node], end_us: int) -> tuple[NodeAccount, ...]:
    """What every node did up to ``end_us``, beside what its energy would have allowed."""
    unhindered = scenario.build_nodes()
    rows = []
    for i, node in enumerate(nodes):
        unhindered[i].train()
        unhindered[i].advance(end_us)
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
