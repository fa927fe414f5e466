"""Execution of a trace on one worker: its nodes' operations, its part of sums, and all merges, in id order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from orbital_train.schedule.ops.base import Op
from orbital_train.schedule.ops.nodes import Step, SyncStep
from orbital_train.schedule.ops.run import Evaluate
from orbital_train.schedule.trace import Trace
from orbital_train.train.bench import Binding
from orbital_train.train.benches import node_bench, skeleton
from orbital_train.train.devices import ONE_DEVICE, Devices, all_finite
from orbital_train.train.flat import Layout, flatten
from orbital_train.train.gate import Gate
from orbital_train.train.inner import Replica, lr_at
from orbital_train.train.operations import NOT_FINITE, Operations
from orbital_train.train.parking import Parking
from orbital_train.train.placement import Owners
from orbital_train.train.problem import Problem
from orbital_train.train.rows import Row, row_of
from orbital_train.train.shards import Shards
from orbital_train.train.spec import TrainSpec
from orbital_train.train.state import Saved, load_replica, replica_state
from orbital_train.train.transport import Transport


class Executor(Operations):
    """One worker's part of a run. The same trace gives the same bits on any number of workers.

    Args:
        trace: what to do; InputError where it has more fragments than the model has tensors, or sums where each
            contribution is needed by itself.
        spec: how to train.
        problem: what to train; all workers give equal ones.
        transport: to the other workers; where nodes span several devices, to those at this place among theirs.
        owners: the rank that hosts each training node.
        emit: takes the rows of ``metrics.jsonl``; each row comes from exactly one worker.
        devices: of each node.
        mesh: those devices, to shard the module over; None is data parallel.
        progress: called after every operation, with the operation.
        lasting: as of :class:`~orbital_train.train.operations.Operations`.
        places: so many replicas are on the device at once, and the others in host memory; None: all are.
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
        devices: Devices = ONE_DEVICE,
        mesh: DeviceMesh | None = None,
        progress: Callable[[Op], None] | None = None,
        lasting: bool = False,
        places: int | None = None,
    ) -> None:
        self._spec, self._problem = spec, problem
        shards = Shards(whole=Layout.of(problem.module, trace.fragments), devices=devices)
        initial_P = shards.split(flatten(problem.module, shards.whole))
        self._final_P: Tensor | None = None
        self._final_module = problem.module if mesh is None else skeleton(problem.module)
        self._bench = node_bench(problem.module, shards, getattr(torch, spec.dtype), spec.inner.micro_batches, mesh)
        super().__init__(
            trace=trace,
            outer=spec.outer,
            seed=spec.data_seed + (devices.rank << 32),  # every device rounds what is its own
            shards=shards,
            initial_P=initial_P,
            replica=self._replica,
            transport=transport,
            owners=owners,
            emit=emit if devices.rank == 0 else _by_another,
            validate=self._validated,
            progress=progress,
            screening=spec.screening,
            lasting=lasting,
            parking=None if places is None else Parking(places, initial_P.device),
        )
        self._sync = self._replica(initial_P.clone()) if any(trace.of_kind(SyncStep)) else None

    def run(self, gate: Gate) -> bool:
        """Execute operations from ``position`` on, as far as the gate allows; returns whether the trace is done."""
        for op in self.walk(gate):
            if isinstance(op, Step):
                self._step(op)
            else:
                self._sync_step(op)
        return self.position == len(self._trace.ops) and gate.enter(self.position)

    def final_P(self) -> Tensor:
        """See :meth:`Operations.final_P`; it is kept, so that one device alone can ask again."""
        if self._final_P is None:
            self._final_P = super().final_P()
        return self._final_P

    def final_module(self) -> nn.Module:
        """The module with the final model, once the trace is done."""
        Binding(self._final_module, self.shards.whole).bind(self.final_P())
        return self._final_module

    def save_shared(self) -> Saved:
        """State that all workers have in common: the live versions of the global model, and the synchronous replica."""
        saved = super().save_shared()
        return saved | replica_state(self._sync).named("sync/").on("cpu") if self._sync else saved

    def load(self, position: int, nodes: Mapping[int, Saved], shared: Saved) -> None:
        """Continue from a saved state, bit for bit; ``nodes`` has at least this worker's nodes."""
        super().load(position, nodes, shared)
        self._final_P = None
        if self._sync:
            load_replica(self._sync, shared.part("sync/"))

    def _replica(self, parameters_P: Tensor) -> Replica:
        return self._bench.replica(parameters_P, self._spec.inner)

    def _validated(self, op: Evaluate, whole_P: Tensor) -> Row:
        self._bench.bind(whole_P)
        tokens = op.merged_steps * self._problem.tokens_per_step
        return {"trained_tokens": tokens, "loss": self._bench.mean_loss(self._problem.validation)}

    # -- inner steps -------------------------------------------------------------------------------------------------

    def _lrs(self, op: Step | SyncStep) -> list[float]:
        return [lr_at(self._spec.inner, op.lr_progress + k * op.lr_progress_per_step) for k in range(op.n)]

    def _step(self, op: Step) -> None:
        node = self.changing(op.node)
        if node is None or node.replica.stopped:
            return
        replica = node.replica
        self._bench.bind(replica.parameters_P)
        losses = []
        for k, lr in enumerate(self._lrs(op)):
            self.upsets.strike(op, k)
            losses.append(self._bench.gradient(self._problem.batch(op.node, op.first + k)))
            self.upsets.strike(op, k, self._bench.gradient_P)
            self._bench.clip(self._spec.inner.clip_norm)
            replica.step(lr)
        self._bench.write_back()
        self.stepped(op, losses)

    def _sync_step(self, op: SyncStep) -> None:
        replica, layout = self._sync, self.layout
        assert replica is not None
        before = self._versions.get(0, op.from_version)  # the trace has one fragment: the whole model
        replica.parameters_P.copy_(before.parameters_F)
        self._bench.bind(replica.parameters_P)
        loss_sum, refused = torch.zeros((), device=self._bench.gradient_P.device), []
        for step, lr in enumerate(self._lrs(op), start=op.first):
            mean, refused_G = self._mean_of_group(replica, op.group, step)
            self._bench.put_gradient_shard(mean[: layout.trained])
            replica.parameters_P.detach()[layout.trained :] = mean[layout.trained : layout.size]
            replica.parameters_P.detach()[layout.averaged :].round_()
            loss_sum += mean[-1]
            refused.append(refused_G)
            self._bench.clip(self._spec.inner.clip_norm)
            replica.step(lr)
        self._bench.write_back()
        self._versions.put(0, op.to_version, replace(before, parameters_F=replica.parameters_P.clone()))
        if self._transport.rank == 0:
            for k, g in torch.stack(refused).nonzero().tolist():
                self._emit({**row_of("refuse", op), "node": op.group[g], "step": op.first + k, "problem": NOT_FINITE})
            self._emit({**row_of("sync_step", op), "n": op.n, "loss": loss_sum.item() / op.n})

    def _mean_of_group(self, replica: Replica, group: tuple[int, ...], step: int) -> tuple[Tensor, Tensor]:
        """Means over the group, and who is not in them, since they are not finite; the same bits on all workers.

        The means are those of the gradients, of the buffers after the batch and, as a last element, of the losses.
        """
        contributions = {}
        buffers = replica.parameters_P.detach()[self.layout.trained :]
        before = buffers.clone()
        for k, node in enumerate(group):
            if self._owners[node] == self._transport.rank:
                buffers.copy_(before)
                loss = self._bench.gradient(self._problem.batch(node, step))
                vector = torch.cat([self._bench.gradient_shard(), buffers, loss.view(1)])
                finite = all_finite(vector, self.shards.devices)
                refused_G = loss.new_zeros(len(group))
                refused_G[k] = ~finite
                contributions[node] = torch.cat([torch.where(finite, vector, 0.0), refused_G])
        nodes, size = tuple(sorted(group)), self.layout.size + 1
        total = self._sums.everywhere(contributions, nodes, size + len(group))
        return total[:size] / (len(group) - total[size:].sum()).clamp(min=1.0), total[size:].clone()


def _by_another(row: Row) -> None:
    """The node's first device emits its rows."""
