"""Execution of a trace on one worker: its nodes' operations, its part of sums, and all merges, in id order."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from orbital_train.schedule.trace import (
    GLOBAL,
    Adopt,
    Combine,
    Deliver,
    Evaluate,
    GroupSnapshot,
    Lose,
    Merge,
    Mix,
    Op,
    Rebase,
    Restore,
    Snapshot,
    Stage,
    Step,
    SyncStep,
    Trace,
    local_value,
)
from orbital_train.train.adopt import adopted, base_codecs, moved_mark, received
from orbital_train.train.bench import Bench
from orbital_train.train.contributions import (
    as_sent,
    check_merging,
    is_finite,
)
from orbital_train.train.flat import Layout, flatten
from orbital_train.train.gate import Gate
from orbital_train.train.inner import Replica, clip, lr_at
from orbital_train.train.liveness import drops, goes_back, holders, is_mark, kept_states, mark_value
from orbital_train.train.outer import average, outer_step, rebased
from orbital_train.train.own_weights import OwnWeights
from orbital_train.train.placement import Owners
from orbital_train.train.problem import Problem
from orbital_train.train.spec import TrainSpec
from orbital_train.train.state import NodeState, Saved, load_replica, replica_state
from orbital_train.train.sums import Sums
from orbital_train.train.transport import Transport
from orbital_train.train.versions import Versions

Row = dict[str, Any]  # one line of metrics.jsonl

_NOT_FINITE = "it is not finite"


class Executor:
    """One worker's part of a run. The same trace gives the same bits on any number of workers.

    Every worker holds all live versions of the global model; replicas, snapshots, sums, marks and, in gossip, slow
    weights of nodes' own are held by the worker that hosts their node.

    Args:
        trace: what to do; InputError where it has more fragments than the model has tensors, or sums where each
            contribution is needed by itself.
        spec: how to train.
        problem: what to train; all workers give equal ones.
        transport: to the other workers.
        owners: the rank that hosts each training node.
        emit: takes the rows of ``metrics.jsonl``; each row comes from exactly one worker.
        progress: called after every operation, with the operation.
    """

    def __init__(
        self,
        *,
        trace: Trace,
        spec: TrainSpec,
        problem: Problem,
        transport: Transport,
        owners: Owners,
        emit: Callable[[Row], None],
        progress: Callable[[Op], None] | None = None,
    ) -> None:
        spec = replace(spec, outer=spec.outer.of_fleet(len(trace.fleet_nodes)))
        self._trace, self._spec, self._problem = trace, spec, problem
        self._transport = transport
        self._emit, self._progress = emit, progress
        check_merging(spec.outer, sums=any(trace.of_kind(Combine)), gossips=bool(trace.own))
        self.layout = Layout.of(problem.module, trace.fragments)
        initial_P = flatten(problem.module, self.layout)
        self._bench = Bench(problem.module, self.layout, getattr(torch, spec.dtype), spec.inner.micro_batches)
        self._versions = Versions(self.layout, initial_P, spec.outer)
        self._nodes = {n: NodeState(replica=self._replica(initial_P)) for n in sorted(self._own_replicas(owners))}
        self._final_P: Tensor | None = None  # in gossip, once the trace is done
        self._sync = self._replica(initial_P) if any(trace.of_kind(SyncStep)) else None
        self._drops, self._holders = drops(trace), holders(trace)
        self._kept_states, self._base_codecs = kept_states(trace), base_codecs(trace)
        self._sums = Sums(
            nodes=self._nodes,
            holders=self._holders,
            owners=owners,
            transport=transport,
            layout=self.layout,
            spec=spec.outer,
            device=initial_P.device,
        )
        self._own_weights = OwnWeights(trace, self.layout, self._nodes, self._sums)
        for node in self._nodes:
            self._keep(node, 0)
        if trace.own:
            self._own_weights.begin(initial_P)
        self._evaluator = {op.id: k % transport.size for k, op in enumerate(trace.of_kind(Evaluate))}
        self._execute: dict[type[Op], Callable[[Any], None]] = {
            Step: self._step,
            SyncStep: self._sync_step,
            Snapshot: self._snapshot,
            GroupSnapshot: self._group_snapshot,
            Combine: self._combine,
            Merge: self._merge,
            Rebase: self._rebase,
            Mix: self._mix,
            Adopt: self._adopt,
            Lose: self._lose,
            Restore: self._restore,
            Stage: self._nothing,
            Deliver: self._nothing,
            Evaluate: self._evaluate,
        }
        self.position = 0  # all operations with a lower id are done

    def run(self, gate: Gate) -> bool:
        """Execute operations from ``position`` on, as far as the gate allows; returns whether the trace is done."""
        for op_id in range(self.position, len(self._trace.ops)):
            if not gate.enter(op_id):
                self._transport.flush()
                return False
            op = self._trace.ops[op_id]
            self._execute[type(op)](op)
            if isinstance(op, Step | Adopt | Restore):
                self._keep(op.node, op.state + 1)
            self._drop(op_id)
            self.position = op_id + 1
            if self._progress:
                self._progress(op)
        if self._trace.own:
            self._final_P = self._own_weights.mean_P(self._trace.own)
        self._transport.flush()
        return gate.enter(len(self._trace.ops))

    def parameters(self) -> dict[str, Tensor]:
        """The named parameters and buffers of the final model: the global one, in gossip the nodes' mean."""
        return self.layout.tensors(self._final_model_P())

    def final_module(self) -> nn.Module:
        """The module with the final model, once the trace is done."""
        self._bench.bind(self._final_model_P())
        return self._problem.module

    def _final_model_P(self) -> Tensor:
        return self._versions.whole_P(self._trace.versions) if self._final_P is None else self._final_P

    def digest(self) -> str:
        """SHA-256 of the final model: the raw little-endian float32 of its tensors in the layout's order."""
        content = hashlib.sha256()
        for tensor in self.layout.views(self._final_model_P()).values():
            content.update(tensor.cpu().numpy().astype("<f4", copy=False).tobytes())
        return content.hexdigest()

    # -- state -------------------------------------------------------------------------------------------------------

    def save_nodes(self, *, moved_only: bool = False) -> dict[int, Saved]:
        """State of this worker's nodes. To be called while the executor stands at the gate.

        Args:
            moved_only: leave out nodes of which no operation has changed anything since the last call, or since they
                were loaded.
        """
        nodes = {node: state for node, state in self._nodes.items() if state.moved or not moved_only}
        for state in nodes.values():
            state.moved = False
        return {node: state.save() for node, state in nodes.items()}

    def save_shared(self) -> Saved:
        """State that all workers have in common: the live versions of the global model, and the synchronous replica."""
        saved = Saved(tensors=self._versions.tensors(), meta={})
        if self._sync:
            saved |= replica_state(self._sync).named("sync/")
        return saved.on("cpu")

    def load(self, position: int, nodes: Mapping[int, Saved], shared: Saved) -> None:
        """Continue from a saved state, bit for bit; ``nodes`` has at least this worker's nodes."""
        self.position = position
        self._versions.load(shared.tensors)
        if self._sync:
            load_replica(self._sync, shared.part("sync/"))
        for node, state in self._nodes.items():
            state.load(nodes[node])
            state.moved = False

    def _changing(self, node: int) -> NodeState | None:
        """State of a node that is about to change, if this worker has it."""
        state = self._nodes.get(node)
        if state is not None:
            state.moved = True
        return state

    def _replica(self, initial_P: Tensor) -> Replica:
        return Replica(initial_P.clone(), self._bench.gradient_P, self.layout, self._spec.inner)

    def _own_replicas(self, owners: Owners) -> set[int]:
        """Nodes of this worker that have a replica of their own (those of synchronous steps share one)."""
        kinds = Step | Snapshot | GroupSnapshot | Adopt | Restore
        nodes = {op.node for op in self._trace.ops if isinstance(op, kinds)}
        if self._trace.own:
            nodes = set(self._trace.fleet_nodes)
        return {node for node in nodes if owners[node] == self._transport.rank}

    def _keep(self, node: int, state: int) -> None:
        """Keep a copy of a replica that its node will go back to."""
        if node in self._nodes and (name := local_value(node, state)) in self._kept_states:
            self._nodes[node].keep(name)

    def _drop(self, op_id: int) -> None:
        for node, name in self._drops.get(op_id, ()):
            if node is None:
                self._versions.drop(name)
            elif state := self._changing(node):
                state.drop(name)

    # -- operations --------------------------------------------------------------------------------------------------

    def _lrs(self, op: Step | SyncStep) -> list[float]:
        return [lr_at(self._spec.inner, op.lr_progress + k * op.lr_progress_per_step) for k in range(op.n)]

    def _step(self, op: Step) -> None:
        node = self._changing(op.node)
        if node is None or node.replica.stopped:
            return
        replica, gradient_P = node.replica, self._bench.gradient_P
        self._bench.bind(replica.parameters_P)
        losses, loss_sum = [], torch.zeros((), device=gradient_P.device)
        for step, lr in enumerate(self._lrs(op), start=op.first):
            losses.append(self._bench.gradient(self._problem.batch(op.node, step)))
            loss_sum += losses[-1]
            clip(gradient_P, self._spec.inner.clip_norm)
            replica.step(lr)
        total = loss_sum.item()  # read once, so that no step waits for the device
        if not math.isfinite(total):
            replica.stopped = True
            first = next((k for k, loss in enumerate(losses) if not math.isfinite(loss.item())), op.n - 1)
            row = {"node": op.node, "step": op.first + first, "problem": "the loss is not finite"}
            self._emit({**_row("stop", op), **row})
            return
        self._emit({**_row("step", op), "node": op.node, "first": op.first, "n": op.n, "loss": total / op.n})

    def _sync_step(self, op: SyncStep) -> None:
        replica, layout = self._sync, self.layout
        assert replica is not None
        before = self._versions.get(0, op.from_version)  # the trace has one fragment: the whole model
        replica.parameters_P.copy_(before.parameters_F)
        self._bench.bind(replica.parameters_P)
        loss_sum, refused = torch.zeros((), device=self._bench.gradient_P.device), []
        for step, lr in enumerate(self._lrs(op), start=op.first):
            mean, refused_G = self._mean_of_group(replica, op.group, step)
            self._bench.gradient_P.copy_(mean[: layout.trained])
            replica.parameters_P.detach()[layout.trained :] = mean[layout.trained : layout.size]
            replica.parameters_P.detach()[layout.averaged :].round_()
            loss_sum += mean[-1]
            refused.append(refused_G)
            clip(self._bench.gradient_P, self._spec.inner.clip_norm)
            replica.step(lr)
        self._versions.put(0, op.to_version, replace(before, parameters_F=replica.parameters_P.clone()))
        if self._transport.rank == 0:
            for k, g in torch.stack(refused).nonzero().tolist():
                self._emit({**_row("refuse", op), "node": op.group[g], "step": op.first + k, "problem": _NOT_FINITE})
            self._emit({**_row("sync_step", op), "n": op.n, "loss": loss_sum.item() / op.n})

    def _mean_of_group(self, replica: Replica, group: tuple[int, ...], step: int) -> tuple[Tensor, Tensor]:
        """Means over the group, and who is not in them, since they are not finite; the same bits on all workers.

        The means are those of the gradients, of the buffers after the batch and, as a last element, of the losses.
        """
        contributions = {}
        buffers = replica.parameters_P.detach()[self.layout.trained :]
        before = buffers.clone()
        for k, node in enumerate(group):
            if self._sums.hosts(node):
                buffers.copy_(before)
                loss = self._bench.gradient(self._problem.batch(node, step))
                vector = torch.cat([self._bench.gradient_P, buffers, loss.view(1)])
                finite = torch.isfinite(vector).all()
                refused_G = loss.new_zeros(len(group))
                refused_G[k] = ~finite
                contributions[node] = torch.cat([torch.where(finite, vector, 0.0), refused_G])
        nodes, size = tuple(sorted(group)), self.layout.size + 1
        total = self._sums.everywhere(contributions, nodes, size + len(group))
        return total[:size] / (len(group) - total[size:].sum()).clamp(min=1.0), total[size:]

    def _snapshot(self, op: Snapshot) -> None:
        node = self._changing(op.node)
        if node is None:
            return
        trained = self.layout.fragment_trained(op.fragment)
        local_F = self.layout.take(node.replica.parameters_P.detach(), op.fragment)
        delta_F = self._base(op) - local_F
        if node.replica.stopped or not is_finite(delta_F):
            delta_F, node.refused[op.value] = torch.zeros_like(delta_F), 1.0
            row = {"node": op.node, "fragment": op.fragment, "problem": _NOT_FINITE}
            self._emit({**_row("refuse", op), **row})
        clip(delta_F[:trained], self._spec.outer.clip_norm)
        node.hold(op.value, delta_F, op.codec, trained)
        node.held[mark_value(op.value)] = local_F.clone()

    def _combine(self, op: Combine) -> None:
        total_F, where = self._sums.total(op), self.layout.part(op.fragment, op.part)
        node = self._changing(self._holders[op.value])
        if node is None:
            return
        if total_F is None:  # nothing that it adds has a weight
            total_F = torch.zeros(where.stop - where.start + 1, device=self._bench.gradient_P.device)
        if refused := total_F[-1].item():
            node.refused[op.value] = refused
        trained = max(0, self.layout.fragment_trained(op.fragment) - where.start)
        node.hold(op.value, total_F[:-1], op.codec, trained)

    def _merge(self, op: Merge) -> None:
        before, trained = self._versions.get(op.fragment, op.from_version), self.layout.fragment_trained(op.fragment)
        average_F, refused = self._sums.average(op)
        outer_gradient_F = as_sent(average_F, op.codec, trained)  # as it is sent back to the nodes
        if op.scope == GLOBAL:
            after = outer_step(before, outer_gradient_F, self._spec.outer, trained)
        else:
            after = average(before, outer_gradient_F)
        self._versions.put(op.fragment, op.to_version, after)
        if self._transport.rank == 0:
            row = {
                "scope": op.scope,
                "fragment": op.fragment,
                "to_version": op.to_version,
                "contributors": sum(1 for c in op.contributions if c.weight),
                "outer_gradient_norm": torch.linalg.vector_norm(outer_gradient_F[:trained]).item(),
            }
            self._emit({**_row("merge", op), **row, **({"refused_weight": refused} if refused else {})})

    def _group_snapshot(self, op: GroupSnapshot) -> None:
        """Where it is taken is of no consequence: all workers have both versions."""
        if node := self._changing(op.node):
            base, own = (self._versions.get(op.fragment, v).parameters_F for v in (op.base_version, op.version))
            delta_F, trained = base - own, self.layout.fragment_trained(op.fragment)
            clip(delta_F[:trained], self._spec.outer.clip_norm)
            node.hold(op.value, delta_F, op.codec, trained)

    def _rebase(self, op: Rebase) -> None:
        versions = (op.from_version, op.since_version, op.global_version)
        own, since, taken = (self._versions.get(op.fragment, version) for version in versions)
        self._versions.put(op.fragment, op.to_version, rebased(own, since, taken))

    def _mix(self, op: Mix) -> None:
        row = self._own_weights.mix(op, self._spec.outer)
        if row is not None:
            what = {"node": op.node, "fragment": op.fragment, "to_version": op.to_version}
            self._emit({**_row("mix", op), **what, **row})

    def _adopt(self, op: Adopt) -> None:
        node = self._changing(op.node)
        if node is None:
            return
        local_P = node.replica.parameters_P.detach()
        local_F = self.layout.take(local_P, op.fragment)
        after_F = adopted(op, local_F, self._received(op, op.version, op.codec), self._since(node, op))
        after_F[self.layout.fragment_averaged(op.fragment) :].round_()  # a blend of integers is one
        for name, held in node.held.items():
            if is_mark(name, op.node, op.fragment):
                node.held[name] = moved_mark(op, held, local_F, after_F)
        self.layout.put(local_P, op.fragment, after_F)

    def _since(self, node: NodeState, op: Adopt) -> Tensor | None:
        """Where the progress began that an adoption keeps."""
        if op.mode != "keep":
            return None
        if op.since_snapshot is not None:
            return node.held[mark_value(op.since_snapshot)]
        return self._base(op)

    def _base(self, op: Snapshot | Adopt) -> Tensor:
        """The version that a node adopted last, as the node has it."""
        return self._received(op, op.base_version, self._base_codecs.get(op.id))

    def _received(self, op: Snapshot | Adopt, version: int, codec: str | None) -> Tensor:
        """A version of the global model, or of the node's own, as a node has it that was sent it by this codec."""
        if op.scope == GLOBAL:
            version_F = self._versions.get(op.fragment, version).parameters_F
        else:
            version_F = self._own_weights.get_F(op.node, op.fragment, version)
        return received(version_F, codec, self.layout.fragment_trained(op.fragment))

    def _lose(self, op: Lose) -> None:
        """What a node loses it does not read again: nothing is to be done."""
        if op.node in self._nodes:
            row = {"node": op.node, "cause": op.cause, "loses_state": op.loses_state, "steps": op.steps}
            self._emit({**_row("lose", op), **row})

    def _nothing(self, op: Stage | Deliver) -> None:
        """It takes simulated time only."""

    def _restore(self, op: Restore) -> None:
        if op.own_versions:
            self._own_weights.restore(op)
        node = self._changing(op.node)
        if node is None:
            return
        if goes_back(op):
            node.go_back(op.reads[0])
        elif op.source != op.node:
            for fragment, version in enumerate(() if op.own_versions else op.versions):
                version_F = self._versions.get(fragment, version).parameters_F
                received_F = received(version_F, op.codec, self.layout.fragment_trained(fragment))
                self.layout.put(node.replica.parameters_P.detach(), fragment, received_F)
            node.replica.start_anew()
        self._emit({**_row("restore", op), "node": op.node, "source": op.source, "versions": list(op.versions)})

    def _evaluate(self, op: Evaluate) -> None:
        """On one worker; workers take turns. In gossip all give their part of the mean, and of the spread about it."""
        model_P = self._own_weights.mean_P(op.own) if op.own else None
        spread = {} if model_P is None else {"nodes": len(op.own), "spread": self._own_weights.spread(op.own, model_P)}
        if self._evaluator[op.id] != self._transport.rank:
            return
        self._bench.bind(self._versions.whole_P(op.versions) if model_P is None else model_P)
        row = {
            "versions": list(op.versions),
            "merged_steps": op.merged_steps,
            "trained_tokens": op.merged_steps * self._problem.tokens_per_step,
            "loss": self._bench.mean_loss(self._problem.validation),
            **spread,
        }
        self._emit({**_row("evaluate", op), **row})


def _row(event: str, op: Op) -> Row:
    return {"event": event, "op": op.id, "sim_s": op.end_us / 1e6}
